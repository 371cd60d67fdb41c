//! Follows the binlog event by event: knows its place, the open transaction and its tables, and turns rows into change events.
//!
//! ```text
//! Outside ──GTID──► Transaction ──rows──► XID / COMMIT ──► Outside      checkpoints lie between two of them
//!    └────GTID (standalone)──► Standalone ──statement──► Outside        DDL and the like
//!
//! within a transaction:  Hold ── its end is known, its rows go out at once (what was rolled back does not)
//!                          └─ more than 4 MiB ─► Scan to its end ──jump back──► Publish in pieces
//! XA PREPARE: kept, or read again from its start, when XA COMMIT comes
//! ```
//!
//! Nothing of a transaction is published before its end has been read (docs/adr/0005).

mod group;
mod outline;
mod read;
mod release;
mod statements;
#[cfg(test)]
mod tests;
mod xa;

use super::{
    envelope::SourcePrefix,
    mark::Mark,
    place::{Place, StreamError},
    row_writer::{Buffers, Orders},
    tables::{Table, Tables},
};
use crate::{
    binlog::{
        DecodeError,
        column::ToldColumn,
        event::{Kind, RawEvent},
        gtid::{self, GroupKind, Gtid},
        gtid_state::GtidState,
        payload::Payload,
        rows,
        statement::{Statement, TableRef},
        xid,
    },
    publish::PublishError,
};
use change_event::{
    Version,
    checkpoint::{BinlogPosition, Inside, PreparedXa},
    envelope::Op,
};
use group::{End, Group, Held, Mode, Open};
use outline::Outline;
use std::collections::{BTreeMap, HashSet};

pub(crate) use read::ReadTable;

/// Takes finished change events, in order.
pub(crate) trait ChangeSink {
    /// Adds one change of `table` (`database.table`) to the open Kafka transaction (opens one if there is none). It is durable only
    /// once that commits.
    fn publish(&mut self, table: &str, key: &[u8], value: &[u8]) -> Result<(), PublishError>;

    /// So many changes of `table` with this op were published; told once a rows event.
    fn tally(&mut self, _table: &str, _op: Op, _changes: u64) {}

    /// Adds a mark: a record with a null value.
    fn mark(&mut self, mark: &Mark<'_>) -> Result<(), PublishError>;

    /// A statement that stands in the stream here is about captured `table`: what a snapshot read of it before is read again.
    fn table_altered(&mut self, _table: &str) {}

    /// Rows of captured `table` changed in a way that the stream does not show; a snapshot of it, begun from here on, repairs that.
    fn needs_snapshot(&mut self, _table: &str, _why: &str) {}
}

/// Where to go on: the checkpoint's content as the stream needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Resume {
    /// End of the last completed transaction.
    pub position: BinlogPosition,
    /// Rows events of the transaction after it that are published already.
    pub events_done_in_next: u64,
    /// The last change's version.
    pub seq: Version,
    /// GTID of the last completed transaction.
    pub gtid: Option<String>,
    /// GTIDs of all transactions up to there, where they are known.
    pub gtids: Option<GtidState>,
    /// What of the next transaction is published, told so that a server that wrote it in other events can be read on.
    pub inside: Option<Inside>,
    /// Whether the position is one of the server that is being read; after a start by GTID only from the first transaction on.
    pub arrived: bool,
    /// XA transactions that are prepared and undecided.
    pub prepared_xa: Vec<PreparedXa>,
}

/// What an event meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Rows or bookkeeping; the transaction, if any, goes on.
    Inside,
    /// Between transactions: everything before is complete.
    Boundary,
    /// The server has nothing to send.
    Heartbeat,
    /// Between transactions; and the next event to hand in is the one at [`Assembler::next_position`], which is elsewhere.
    Jump,
}

/// Follows one source's binlog.
#[derive(Debug)]
pub(crate) struct Assembler {
    source: SourcePrefix,
    tables: Tables,
    group: Group,
    /// Where the next event starts.
    file: String,
    pos: u64,
    resume: Resume,
    /// Rows events of the first transaction that must not be published again.
    skip_events: u64,
    /// Changes of it that must not be, where they are not told in events of this server.
    skip_changes: Option<Inside>,
    gtid: String,
    current: Gtid,
    counts: Counts,
    /// The counters where the current file began.
    file_base: (String, Counts),
    buffers: Buffers,
    /// The record of a row that a snapshot read.
    reads: Vec<u8>,
    orders: Orders,
    /// The transaction that was read to its end and starts here: how it ended.
    judged: Option<(BinlogPosition, Outline)>,
    prepared: BTreeMap<String, xa::Prepared>,
    replay: Option<xa::Replay>,
    /// When the XA transaction whose rows go out was committed, in Unix seconds.
    commit_timestamp: Option<u32>,
    /// A compressed transaction whose events are being read, and the place of the event that holds them.
    payload: Option<(Payload, u64)>,
    /// Temporary tables of sessions that log statements: server, session, table.
    temporary: HashSet<(u32, u32, TableRef)>,
}

/// What was seen and what became of it (G1): `seen = published + repeated + undone` at every commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Rows of captured tables read.
    pub seen: u64,
    /// Rows handed to Kafka; a changed primary key is one row and two changes.
    pub published: u64,
    /// Rows read again after a restart within a transaction, whose changes are in Kafka already.
    pub repeated: u64,
    /// Rows that a rollback, or the source's death, undid.
    pub undone: u64,
    /// Transactions completed.
    pub transactions: u64,
    /// Truncate marks.
    pub truncates: u64,
    /// Snapshots asked for.
    pub snapshots_needed: u64,
    /// Changes in statement format in databases without captured tables.
    pub statements_elsewhere: u64,
}

impl Counts {
    /// What was counted since `before`.
    pub fn since(self, before: Self) -> Self {
        Self {
            seen: self.seen - before.seen,
            published: self.published - before.published,
            repeated: self.repeated - before.repeated,
            undone: self.undone - before.undone,
            transactions: self.transactions - before.transactions,
            truncates: self.truncates - before.truncates,
            snapshots_needed: self.snapshots_needed - before.snapshots_needed,
            statements_elsewhere: self.statements_elsewhere - before.statements_elsewhere,
        }
    }

    /// Whether every row that was read became something (G1).
    pub fn add_up(self) -> bool {
        self.seen == self.published + self.repeated + self.undone
    }
}

impl Assembler {
    /// A stream that goes on at `resume`. `captured`: (database, table).
    pub(crate) fn new(source: &str, captured: Vec<(String, String)>, resume: Resume) -> Self {
        let mut assembler = Self {
            source: SourcePrefix::new(source),
            tables: Tables::new(captured),
            group: Group::Outside,
            file: resume.position.file.clone(),
            pos: resume.position.pos,
            skip_events: resume.events_done_in_next,
            skip_changes: resume.inside.clone().filter(|_| resume.events_done_in_next == 0),
            gtid: String::new(),
            current: Gtid::Anonymous,
            counts: Counts::default(),
            file_base: (resume.position.file.clone(), Counts::default()),
            buffers: Buffers::default(),
            reads: Vec::new(),
            orders: Orders::default(),
            judged: None,
            prepared: BTreeMap::new(),
            replay: None,
            commit_timestamp: None,
            payload: None,
            temporary: HashSet::new(),
            resume,
        };
        let undecided = std::mem::take(&mut assembler.resume.prepared_xa);
        assembler.recall(&undecided);
        assembler
    }

    /// The same, with the types of columns that the log shows as binary.
    pub(crate) fn told(mut self, columns: Vec<ToldColumn>) -> Self {
        self.tables.tell(columns);
        self
    }

    /// Where a restart would go on if everything handed out so far were durable.
    pub(crate) fn resume(&self) -> Resume {
        let resume = Resume { prepared_xa: self.undecided(), ..self.resume.clone() };
        let Some(outline) = self.publishing() else {
            return Resume {
                events_done_in_next: self.skip_events,
                inside: self.skip_changes.clone().or_else(|| self.resume.inside.clone()),
                ..resume
            };
        };
        let mut changes = self.tables.orders();
        for (table, done) in self.skip_changes.iter().flat_map(|skip| &skip.changes) {
            let reached = changes.entry(table.clone()).or_default();
            *reached = (*reached).max(*done);
        }
        Resume {
            events_done_in_next: if self.resume.arrived { outline.events().max(self.skip_events) } else { 0 },
            inside: Some(Inside { gtid: self.gtid.clone(), changes }),
            ..resume
        }
    }

    /// What this pass has seen of the open transaction, if its rows go out as they come.
    fn publishing(&self) -> Option<&Outline> {
        match &self.group {
            Group::Transaction(open) if matches!(open.mode, Mode::Publish(_)) => Some(&open.outline),
            _ => None,
        }
    }

    /// When the last transaction was committed, in Unix seconds; `last_event`: the last event's time.
    pub(crate) fn committed_at(&self, last_event: u32) -> u32 {
        self.commit_timestamp.unwrap_or(last_event)
    }

    /// Where the next event starts.
    pub(crate) fn next_position(&self) -> BinlogPosition {
        BinlogPosition { file: self.file.clone(), pos: self.pos }
    }

    /// The counters of G1.
    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// The counters of G1 since the current file began, or since this process began in it.
    pub(crate) fn file_counts(&self) -> Counts {
        self.counts.since(self.file_base.1)
    }

    /// Takes the next event. Ask [`go_on`](Self::go_on) for more steps before the next one.
    pub(crate) fn handle(
        &mut self,
        event: RawEvent,
        sink: &mut impl ChangeSink,
    ) -> Result<Step, StreamError> {
        let start = self.advance(&event);
        let step = self.dispatch(event, start, sink)?;
        Ok(self.settle(step))
    }

    /// One more step of what was handed in already; `None`: the next event is wanted.
    pub(crate) fn go_on(&mut self, sink: &mut impl ChangeSink) -> Result<Option<Step>, StreamError> {
        let Some((mut payload, start)) = self.payload.take() else { return Ok(None) };
        loop {
            let event = match payload.next_event() {
                Ok(Some(event)) => event,
                Ok(None) => return Ok(Some(Step::Inside)),
                Err(reason) => {
                    let place = self.place_at(start, PAYLOAD_TYPE, None);
                    return Err(StreamError::Undecodable { place, reason });
                }
            };
            let step = self.dispatch(event, start, sink)?;
            if step != Step::Inside {
                return Ok(Some(self.settle(step)));
            }
            if self.publishing().is_some() {
                // a batch may end here
                self.payload = Some((payload, start));
                return Ok(Some(step));
            }
        }
    }

    /// A boundary is where a restart goes on; except while a prepared transaction is read again, which belongs to its XA COMMIT, and in
    /// front of the first transaction after a start by GTID: there the heads of files are passed over.
    fn settle(&mut self, step: Step) -> Step {
        match step {
            Step::Boundary if !self.resume.arrived => Step::Inside,
            Step::Boundary => {
                self.group = Group::Outside;
                if self.replay.is_none() {
                    self.resume.position = self.next_position();
                }
                step
            }
            Step::Inside | Step::Heartbeat | Step::Jump => step,
        }
    }

    /// Moves past the event; returns where it starts. Events that the server made up have no place in the file.
    fn advance(&mut self, event: &RawEvent) -> u64 {
        let start = self.pos;
        let header = &event.header;
        let kind = header.kind();
        let in_file = !header.is_artificial() && !matches!(kind, Kind::Heartbeat | Kind::Rotate);
        let replayed_description = kind == Kind::FormatDescription && header.end_pos == 0;
        if in_file && !replayed_description {
            // the server's 32-bit position wraps at 4 GiB and is 0 inside transactions of MariaDB >= 11.4: events are contiguous, so
            // lengths tell, and where the server does say it, its word is the place nearest to that
            let by_length = self.pos + u64::from(header.event_len);
            self.pos = match header.end_pos {
                0 => by_length,
                end => by_length.saturating_add_signed(i64::from(end.wrapping_sub(by_length as u32) as i32)),
            };
            // after a start by GTID the server leaves out what we have
            return self.pos.saturating_sub(u64::from(header.event_len));
        }
        start
    }

    fn dispatch(
        &mut self,
        event: RawEvent,
        start: u64,
        sink: &mut impl ChangeSink,
    ) -> Result<Step, StreamError> {
        match event.header.kind() {
            Kind::Rotate => self.rotate(&event, start),
            Kind::FormatDescription => self.new_file(&event, sink),
            Kind::MariaGtid => self.begin(&event, start, gtid::parse(&event)),
            Kind::MysqlGtid => self.begin(&event, start, gtid::parse_mysql(&event)),
            Kind::TableMap => self.table_map(event, start),
            Kind::Rows { .. } => self.rows(event, start, sink),
            Kind::UnreadableRows => self.unreadable_rows(&event, start),
            Kind::Xid => self.end(&event, start, End::Committed, sink),
            Kind::XaPrepare => {
                let end =
                    xid::parse(event.body()).map_err(|reason| self.undecodable(&event, start, None, reason))?;
                let end = if end.one_phase { End::Committed } else { End::Prepared(end.xid) };
                self.end(&event, start, end, sink)
            }
            Kind::Query => self.statement(&event, start, Statement::parse(event.body()), sink),
            Kind::CompressedQuery => {
                self.statement(&event, start, Statement::parse_compressed(event.body()), sink)
            }
            Kind::LoadQuery => self.statement(&event, start, Statement::parse_load(event.body()), sink),
            Kind::Heartbeat => Ok(self.heartbeat(&event)),
            Kind::Harmless | Kind::UnknownIgnorable => Ok(self.outside_or_inside()),
            Kind::TransactionPayload => self.payload(&event, start, sink),
            Kind::Unknown => Err(self.cannot_follow(
                &event,
                start,
                None,
                "the event's type is not known to this version, so it is not known whether rows change; a newer databus may read it",
            )),
        }
    }

    /// The server has nothing to send. Where a start by GTID found nothing to read, this is its place: MariaDB says it only at the end of
    /// its binlog (MySQL also on the way there).
    fn heartbeat(&mut self, event: &RawEvent) -> Step {
        let at_end = matches!(self.resume.gtids, Some(GtidState::MariaDb(_)))
            && matches!(self.group, Group::Outside)
            && self.judged.is_none()
            && self.replay.is_none();
        if !self.resume.arrived
            && at_end
            && self.skip_changes.is_none()
            && event.header.end_pos > 0
            && let Ok(file) = std::str::from_utf8(event.body().0)
            && file == self.file
        {
            self.pos = u64::from(event.header.end_pos);
            self.resume.arrived = true;
            return Step::Boundary;
        }
        Step::Heartbeat
    }

    /// Bookkeeping events between transactions move the checkpoint; inside one they do not.
    fn outside_or_inside(&self) -> Step {
        if matches!(self.group, Group::Outside) { Step::Boundary } else { Step::Inside }
    }

    fn rotate(&mut self, event: &RawEvent, start: u64) -> Result<Step, StreamError> {
        let mut body = event.body();
        let target = body.uint(8).and_then(|pos| {
            let name = std::str::from_utf8(body.0)
                .map_err(|_| DecodeError::Malformed("a file name that is not UTF-8"))?;
            Ok((pos, name.to_owned()))
        });
        let (pos, file) = target.map_err(|reason| self.undecodable(event, start, None, reason))?;
        if self.replay.is_none() && self.file_base.0 != file {
            self.file_base = (file.clone(), self.counts);
        }
        // an open transaction is still to be given up, with the table maps of the file that it was cut off in
        if matches!(self.group, Group::Outside) {
            self.tables.forget();
        }
        self.file = file;
        self.pos = pos;
        Ok(self.outside_or_inside())
    }

    /// A transaction never spans files: one that is open here was cut off when the source died while it wrote it, and was never committed.
    fn new_file(&mut self, event: &RawEvent, sink: &mut impl ChangeSink) -> Result<Step, StreamError> {
        // format version (2 bytes), server version (50 bytes), when the server started (0: this is not its first file)
        let mut body = event.body();
        if body.take(52).is_ok() && body.uint(4).is_ok_and(|started| started != 0) {
            self.temporary.clear();
        }
        if matches!(self.group, Group::Transaction(_)) {
            let step = self.end(event, self.pos, End::Cut, sink)?;
            self.tables.describe(event.body().0);
            return Ok(step);
        }
        self.tables.forget();
        self.tables.describe(event.body().0);
        Ok(Step::Boundary)
    }

    fn begin(
        &mut self,
        event: &RawEvent,
        start: u64,
        parsed: Result<(Gtid, GroupKind), DecodeError>,
    ) -> Result<Step, StreamError> {
        if !matches!(self.group, Group::Outside) {
            return Err(self.cannot_follow(
                event,
                start,
                None,
                "a transaction begins before the one before it has ended",
            ));
        }
        let (gtid, kind) = parsed.map_err(|reason| self.undecodable(event, start, None, reason))?;
        let here = BinlogPosition { file: self.file.clone(), pos: start };
        let expected =
            self.judged.as_ref().map(|(start, _)| start).or(self.replay.as_ref().map(|replay| &replay.start));
        if expected.is_some_and(|expected| *expected != here) {
            return Err(self.cannot_follow(
                event,
                start,
                None,
                "the transaction that was to be read again does not begin here: the binlog is not what it was",
            ));
        }
        self.gtid.clear();
        match &self.replay {
            Some(replay) => self.gtid.push_str(&replay.gtid),
            None => {
                self.commit_timestamp = None;
                self.current = gtid;
                let written = std::fmt::Write::write_fmt(&mut self.gtid, format_args!("{gtid}"));
                debug_assert!(written.is_ok(), "a String takes any text");
            }
        }
        if let Some(skip) = self.skip_changes.as_ref().filter(|skip| skip.gtid != self.gtid) {
            return Err(StreamError::NotContinued {
                place: self.place_at(start, event.header.type_code, None),
                reason: format!(
                    "transaction {} is published in part, and {} comes here",
                    skip.gtid, self.gtid
                ),
            });
        }
        self.tables.restart_orders();
        self.orders = Orders::default();
        match kind {
            GroupKind::Standalone => self.group = Group::Standalone,
            GroupKind::Announced => self.group = Group::Announced { start: here },
            GroupKind::Transaction => self.open(here),
        }
        Ok(Step::Inside)
    }

    /// Opens a transaction: one that was read to its end before goes out in pieces, every other one waits for its end.
    fn open(&mut self, start: BinlogPosition) {
        let mode = match self.judged.take() {
            Some((_, outline)) => Mode::Publish(outline),
            None => Mode::Hold(Held::default()),
        };
        self.group = Group::Transaction(Box::new(Open { start, outline: Outline::default(), mode }));
    }

    /// MySQL's compressed transaction: its events stand in one, without its GTID.
    fn payload(
        &mut self,
        event: &RawEvent,
        start: u64,
        sink: &mut impl ChangeSink,
    ) -> Result<Step, StreamError> {
        if !matches!(self.group, Group::Announced { .. }) {
            return Err(self.cannot_follow(event, start, None, "a compressed transaction without its GTID"));
        }
        let payload =
            Payload::parse(event.body()).map_err(|reason| self.undecodable(event, start, None, reason))?;
        self.payload = Some((payload, start));
        Ok(self.go_on(sink)?.unwrap_or(Step::Inside))
    }

    fn table_map(&mut self, event: RawEvent, start: u64) -> Result<Step, StreamError> {
        match self.tables.learn(event.body()) {
            Ok(false) => {}
            Ok(true) => {
                if let Group::Transaction(open) = &mut self.group {
                    open.keep(event, start, 0);
                }
            }
            Err((table, reason)) => return Err(self.undecodable(&event, start, table, reason)),
        }
        Ok(Step::Inside)
    }

    /// The end of a transaction: what waited for it goes out, unless it was too much to wait.
    fn end(
        &mut self,
        event: &RawEvent,
        start: u64,
        end: End,
        sink: &mut impl ChangeSink,
    ) -> Result<Step, StreamError> {
        let open = match std::mem::replace(&mut self.group, Group::Outside) {
            Group::Transaction(open) => *open,
            Group::Outside | Group::Announced { .. } | Group::Standalone => return self.finish(),
        };
        let mut outline = open.outline;
        if matches!(end, End::RolledBack | End::Cut) {
            outline.undo_all();
        }
        if let (End::Prepared(xid), None) = (&end, &self.replay) {
            let held = match open.mode {
                Mode::Hold(held) => Some(held),
                Mode::Scan | Mode::Publish(_) => None,
            };
            self.prepare(xid.clone(), open.start, held, outline);
            return self.finish();
        }
        match open.mode {
            Mode::Hold(held) => self.release(held, &outline, &open.start.file, sink)?,
            Mode::Scan => {
                let start = open.start.clone();
                self.judged = Some((start.clone(), outline));
                return Ok(self.jump(start));
            }
            Mode::Publish(judged) if judged.events() == outline.events() => {}
            Mode::Publish(_) => {
                return Err(self.cannot_follow(
                    event,
                    start,
                    None,
                    "the transaction has another length than when it was read before: the binlog is not what it was",
                ));
            }
        }
        if end == End::Cut {
            if self.skip_events > 0 {
                return Err(StreamError::NotContinued {
                    place: self.place_at(start, event.header.type_code, None),
                    reason: format!(
                        "transaction {} is published in part, and here its end was never written",
                        self.gtid
                    ),
                });
            }
            tracing::warn!(
                file = open.start.file,
                pos = open.start.pos,
                gtid = self.gtid,
                "the source died while it wrote this transaction; it was never committed, and nothing of it is published"
            );
            self.tables.forget();
            return Ok(Step::Boundary);
        }
        self.assert_continued(event, start)?;
        self.finish()
    }

    /// A transaction that was read in part from another server must bring at least what was published of it.
    fn assert_continued(&self, event: &RawEvent, start: u64) -> Result<(), StreamError> {
        let Some(skip) = &self.skip_changes else { return Ok(()) };
        let orders = self.tables.orders();
        let short =
            skip.changes.iter().find(|(table, done)| orders.get(*table).copied().unwrap_or(0) < **done);
        let Some((table, done)) = short else { return Ok(()) };
        Err(StreamError::NotContinued {
            place: self.place_at(start, event.header.type_code, Some(table.clone())),
            reason: format!(
                "{done} changes of transaction {} are published, and here it has fewer",
                skip.gtid
            ),
        })
    }

    /// A group is complete.
    fn finish(&mut self) -> Result<Step, StreamError> {
        self.counts.transactions += 1;
        self.skip_events = 0;
        self.skip_changes = None;
        self.resume.inside = None;
        self.resume.arrived = true;
        if let Some(gtids) = &mut self.resume.gtids {
            gtids.add(self.current);
        }
        self.resume.gtid = if self.gtid.is_empty() { None } else { Some(self.gtid.clone()) };
        match self.replay.take() {
            Some(replay) => Ok(self.end_replay(replay)),
            None => Ok(Step::Boundary),
        }
    }

    /// Rows that cannot be read stop the stream only where they are captured.
    fn unreadable_rows(&mut self, event: &RawEvent, start: u64) -> Result<Step, StreamError> {
        let table_id = rows::parse_table_id(&mut event.body())
            .map_err(|reason| self.undecodable(event, start, None, reason))?;
        let table = match self.tables.get(table_id) {
            Some(Table::Foreign) => {
                self.count_event();
                return Ok(Step::Inside);
            }
            Some(Table::Captured(captured)) => Some(captured.name.clone()),
            None => None,
        };
        let reason = "the update changes a part of a JSON value only, which is not decoded yet; set binlog_row_value_options empty on \
                      the source";
        Err(self.cannot_follow(event, start, table, reason))
    }

    fn place_at(&self, start: u64, type_code: u8, table: Option<String>) -> Place {
        Place { file: self.file.clone(), pos: start, type_code, table }
    }

    fn undecodable(
        &self,
        event: &RawEvent,
        start: u64,
        table: Option<String>,
        reason: DecodeError,
    ) -> StreamError {
        StreamError::Undecodable { place: self.place_at(start, event.header.type_code, table), reason }
    }

    fn cannot_follow(
        &self,
        event: &RawEvent,
        start: u64,
        table: Option<String>,
        reason: &str,
    ) -> StreamError {
        let place = self.place_at(start, event.header.type_code, table);
        StreamError::CannotFollow { place, reason: reason.to_owned() }
    }
}

/// TRANSACTION_PAYLOAD_EVENT.
const PAYLOAD_TYPE: u8 = 40;
