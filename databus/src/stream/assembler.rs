//! Follows the binlog event by event: knows its place, the open transaction and its tables, and turns rows into change events.
//!
//! ```text
//! Outside ──GTID──► Inside ──rows──► Inside ──XID / COMMIT──► Outside   a transaction; checkpoints lie between two of them
//!    └────GTID (standalone)──► Standalone ──statement──► Outside         DDL and the like
//! ```

use super::{
    envelope::{EventFacts, SourcePrefix},
    place::{Place, StreamError},
    row_writer::{Buffers, RowError, RowWriter, now_ms},
    tables::{Captured, Table, Tables},
};
use crate::{
    binlog::{
        DecodeError,
        column::ToldColumn,
        event::{Kind, RawEvent, RowsKind},
        gtid::{self, GroupKind, Gtid},
        gtid_state::GtidState,
        rows,
        statement::{Effect, Statement},
    },
    publish::PublishError,
};
use change_event::{
    Version,
    checkpoint::{BinlogPosition, Inside},
    envelope::Op,
};

/// Takes finished change events, in order.
pub(crate) trait ChangeSink {
    /// Adds one change of `table` (`database.table`) to the open Kafka transaction (opens one if there is none). It is durable only
    /// once that commits.
    fn publish(&mut self, table: &str, key: &[u8], value: &[u8]) -> Result<(), PublishError>;

    /// So many changes of `table` with this op were published; told once a rows event.
    fn tally(&mut self, _table: &str, _op: Op, _changes: u64) {}

    /// A statement that stands in the stream here is about captured `table`: what a snapshot read of it before is read again.
    fn table_altered(&mut self, _table: &str) {}

    /// Rows of captured `table` changed in a way that the stream does not show; a snapshot of it, begun from here on, repairs that.
    #[expect(dead_code, reason = "statements that change rows unseen still stop the stream")]
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
}

#[derive(Debug)]
enum Group {
    Outside,
    /// MySQL: a GTID came, and the next statement tells what it stands for.
    Announced,
    Standalone,
    Transaction {
        prepared_xa: bool,
        /// Rows events so far, over all tables.
        events: u64,
        /// Changes of captured tables so far.
        total_order: u64,
    },
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
    buffers: Buffers,
    /// The record of a row that a snapshot read.
    reads: Vec<u8>,
}

/// What was seen and what became of it (G1): `seen = published + republished` at every commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Rows of captured tables read.
    pub seen: u64,
    /// Rows handed to Kafka; a changed primary key is one row and two changes.
    pub published: u64,
    /// Rows read again after a restart within a transaction, whose changes are in Kafka already.
    pub repeated: u64,
    /// Transactions completed.
    pub transactions: u64,
}

/// Whether a statement is about or names a table (database, table).
type Names<'a> = fn(&Statement<'a>, &str, &str) -> bool;

impl Assembler {
    /// A stream that goes on at `resume`. `captured`: (database, table).
    pub(crate) fn new(source: &str, captured: Vec<(String, String)>, resume: Resume) -> Self {
        Self {
            source: SourcePrefix::new(source),
            tables: Tables::new(captured),
            group: Group::Outside,
            file: resume.position.file.clone(),
            pos: resume.position.pos,
            skip_events: resume.events_done_in_next,
            skip_changes: resume.inside.clone().filter(|_| resume.events_done_in_next == 0),
            resume,
            gtid: String::new(),
            current: Gtid::Anonymous,
            counts: Counts::default(),
            buffers: Buffers::default(),
            reads: Vec::new(),
        }
    }

    /// The same, with the types of columns that the log shows as binary.
    pub(crate) fn told(mut self, columns: Vec<ToldColumn>) -> Self {
        self.tables.tell(columns);
        self
    }

    /// Where a restart would go on if everything handed out so far were durable.
    pub(crate) fn resume(&self) -> Resume {
        let Group::Transaction { events, .. } = &self.group else {
            return Resume {
                events_done_in_next: self.skip_events,
                inside: self.skip_changes.clone().or_else(|| self.resume.inside.clone()),
                ..self.resume.clone()
            };
        };
        let mut changes = self.tables.orders();
        for (table, done) in self.skip_changes.iter().flat_map(|skip| &skip.changes) {
            let reached = changes.entry(table.clone()).or_default();
            *reached = (*reached).max(*done);
        }
        Resume {
            events_done_in_next: if self.resume.arrived { (*events).max(self.skip_events) } else { 0 },
            inside: Some(Inside { gtid: self.gtid.clone(), changes }),
            ..self.resume.clone()
        }
    }

    /// The counters of G1.
    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// Takes the next event.
    pub(crate) fn handle(
        &mut self,
        event: &RawEvent,
        sink: &mut impl ChangeSink,
    ) -> Result<Step, StreamError> {
        let start = self.advance(event);
        let step = self.dispatch(event, start, sink)?;
        if step == Step::Boundary && !self.resume.arrived {
            // the heads of files that were passed over on the way to the first transaction
            return Ok(Step::Inside);
        }
        if step == Step::Boundary {
            self.group = Group::Outside;
            self.resume.position = BinlogPosition { file: self.file.clone(), pos: self.pos };
        }
        Ok(step)
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
        event: &RawEvent,
        start: u64,
        sink: &mut impl ChangeSink,
    ) -> Result<Step, StreamError> {
        match event.header.kind() {
            Kind::Rotate => self.rotate(event, start),
            Kind::FormatDescription => self.new_file(event, start),
            Kind::MariaGtid => self.begin(event, start, gtid::parse(event)),
            Kind::MysqlGtid => self.begin(event, start, gtid::parse_mysql(event)),
            Kind::TableMap => match self.tables.learn(event.body()) {
                Ok(()) => Ok(Step::Inside),
                Err((table, reason)) => Err(self.undecodable(event, start, table, reason)),
            },
            Kind::Rows { kind, extra } => self.rows(event, start, kind, extra, sink),
            Kind::UnreadableRows => self.unreadable_rows(event, start),
            Kind::Xid | Kind::XaPrepare => {
                self.assert_continued(event, start)?;
                self.commit()
            }
            Kind::Query => self.statement(event, start, Statement::parse(event.body()), sink),
            Kind::LoadQuery => self.statement(event, start, Statement::parse_load(event.body()), sink),
            Kind::Heartbeat => Ok(self.heartbeat(event)),
            Kind::Harmless | Kind::UnknownIgnorable => Ok(self.outside_or_inside()),
            Kind::CompressedQuery => Err(self.cannot_follow(
                event,
                start,
                None,
                "the statement is compressed, which is not decoded yet; set log_bin_compress=OFF on the source",
            )),
            Kind::TransactionPayload => Err(self.cannot_follow(
                event,
                start,
                None,
                "the transaction is compressed, which is not decoded yet; set binlog_transaction_compression=OFF on the source",
            )),
            Kind::Unknown => Err(self.cannot_follow(
                event,
                start,
                None,
                "the event's type is not known to this version, so it is not known whether rows change; a newer databus may read it",
            )),
        }
    }

    /// The server has nothing to send. Where a start by GTID found nothing to read, this is its place: MariaDB says it only at the end of
    /// its binlog (MySQL also on the way there).
    fn heartbeat(&mut self, event: &RawEvent) -> Step {
        let at_end =
            matches!(self.resume.gtids, Some(GtidState::MariaDb(_))) && matches!(self.group, Group::Outside);
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
        self.tables.forget();
        self.file = file;
        self.pos = pos;
        Ok(self.outside_or_inside())
    }

    /// A transaction never spans files: one that is open here was cut off when the source died while it wrote it, and was never committed.
    fn new_file(&mut self, event: &RawEvent, start: u64) -> Result<Step, StreamError> {
        self.tables.forget();
        self.tables.describe(event.body().0);
        if matches!(self.group, Group::Transaction { total_order, .. } if total_order > 0) {
            return Err(self.cannot_follow(
                event,
                start,
                None,
                "the source died while it wrote the transaction before this place, so rows of captured tables in it were never \
                 committed; such a cut cannot be followed yet",
            ));
        }
        if !matches!(self.group, Group::Outside) {
            // no captured row was in it
            self.skip_events = 0;
            self.skip_changes = None;
            self.resume.inside = None;
        }
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
        self.current = gtid;
        self.gtid.clear();
        let written = std::fmt::Write::write_fmt(&mut self.gtid, format_args!("{gtid}"));
        debug_assert!(written.is_ok(), "a String takes any text");
        if let Some(skip) = self.skip_changes.as_ref().filter(|skip| skip.gtid != self.gtid) {
            return Err(StreamError::NotContinued {
                place: self.place(event, start, None),
                reason: format!(
                    "transaction {} is published in part, and {} comes here",
                    skip.gtid, self.gtid
                ),
            });
        }
        self.tables.restart_orders();
        self.group = match kind {
            GroupKind::Announced => Group::Announced,
            GroupKind::Standalone => Group::Standalone,
            GroupKind::Transaction => Group::Transaction { prepared_xa: false, events: 0, total_order: 0 },
            GroupKind::PreparedXa => Group::Transaction { prepared_xa: true, events: 0, total_order: 0 },
        };
        Ok(Step::Inside)
    }

    /// A transaction that was read in part from another server must bring at least what was published of it.
    fn assert_continued(&self, event: &RawEvent, start: u64) -> Result<(), StreamError> {
        let Some(skip) = &self.skip_changes else { return Ok(()) };
        let orders = self.tables.orders();
        let short =
            skip.changes.iter().find(|(table, done)| orders.get(*table).copied().unwrap_or(0) < **done);
        let Some((table, done)) = short else { return Ok(()) };
        Err(StreamError::NotContinued {
            place: self.place(event, start, Some(table.clone())),
            reason: format!(
                "{done} changes of transaction {} are published, and here it has fewer",
                skip.gtid
            ),
        })
    }

    fn commit(&mut self) -> Result<Step, StreamError> {
        self.counts.transactions += 1;
        self.skip_events = 0;
        self.skip_changes = None;
        self.resume.inside = None;
        self.resume.arrived = true;
        if let Some(gtids) = &mut self.resume.gtids {
            gtids.add(self.current);
        }
        if self.gtid.is_empty() {
            self.resume.gtid = None;
        } else {
            self.resume.gtid = Some(self.gtid.clone());
        }
        Ok(Step::Boundary)
    }

    fn statement(
        &mut self,
        event: &RawEvent,
        start: u64,
        parsed: Result<Statement<'_>, DecodeError>,
        sink: &mut impl ChangeSink,
    ) -> Result<Step, StreamError> {
        let statement = parsed.map_err(|reason| self.undecodable(event, start, None, reason))?;
        let effect = statement.effect();
        if let Some((table, reason)) = self.touched(&statement, effect) {
            return Err(self.cannot_follow(event, start, Some(table), &reason));
        }
        if !matches!(effect, Effect::Commit | Effect::Rollback | Effect::RollbackToSavepoint) {
            for (database, table) in self.tables.captured() {
                if statement.names_table(database, table) {
                    sink.table_altered(&format!("{database}.{table}"));
                }
            }
        }
        let published = matches!(self.group, Group::Transaction { total_order, .. } if total_order > 0);
        if matches!(self.group, Group::Announced) {
            if statement.opens() {
                self.group = Group::Transaction { prepared_xa: false, events: 0, total_order: 0 };
                return Ok(Step::Inside);
            }
            self.group = Group::Standalone;
        }
        match effect {
            Effect::Rollback | Effect::RollbackToSavepoint if published => Err(self.cannot_follow(
                event,
                start,
                None,
                "part of a transaction is rolled back after rows of captured tables; such mixed transactions cannot be followed yet",
            )),
            Effect::Commit | Effect::Rollback => self.commit(),
            _ if matches!(self.group, Group::Standalone) => self.commit(),
            _ => Ok(self.outside_or_inside()),
        }
    }

    /// The captured table whose rows the statement changes without row events, or may, and how.
    fn touched<'a>(&self, statement: &Statement<'a>, effect: Effect) -> Option<(String, String)> {
        const AWAY: &str =
            "which cannot be followed yet; take the table out of `tables` until a snapshot can repair it";
        const FORMAT: &str = "its rows are not in the binlog; set binlog_format=ROW for every session";
        let (by_name, reason): (Names<'a>, String) = match effect {
            Effect::MovesRows(verb) => (
                Statement::names_table,
                format!("{verb} of a captured table changes rows without row events, {AWAY}"),
            ),
            Effect::RemovesDatabase => (
                |statement, database, _| statement.drops_database(database),
                format!(
                    "DROP DATABASE of a captured table's database removes rows without row events, {AWAY}"
                ),
            ),
            Effect::Hides(how) => (
                Statement::is_about,
                format!(
                    "{how} in a captured table changes rows that the binlog does not show as such, {AWAY}"
                ),
            ),
            Effect::ChangesRows(verb) => {
                (Statement::names_table, format!("{verb} in statement format: {FORMAT}"))
            }
            Effect::CallsCode => (
                |statement, database, _| statement.names_database(database),
                format!(
                    "a stored function changed rows in statement format, perhaps of this table: {FORMAT}"
                ),
            ),
            Effect::Commit | Effect::Rollback | Effect::RollbackToSavepoint | Effect::None => return None,
        };
        let (database, table) =
            self.tables.captured().iter().find(|(database, table)| by_name(statement, database, table))?;
        Some((format!("{database}.{table}"), reason))
    }

    /// Rows that cannot be read stop the stream only where they are captured.
    fn unreadable_rows(&mut self, event: &RawEvent, start: u64) -> Result<Step, StreamError> {
        let table_id = rows::parse_table_id(&mut event.body())
            .map_err(|reason| self.undecodable(event, start, None, reason))?;
        let table = match self.tables.get_mut(table_id) {
            Some(Table::Foreign) => {
                self.count_event();
                return Ok(Step::Inside);
            }
            Some(Table::Captured(captured)) => Some(captured.name.clone()),
            None => None,
        };
        let reason = "the rows are compressed or partial, which is not decoded yet; set log_bin_compress=OFF \
                      (MySQL: binlog_row_value_options empty) on the source";
        Err(self.cannot_follow(event, start, table, reason))
    }

    /// Counts a rows event; true if its rows must be published.
    fn count_event(&mut self) -> bool {
        match &mut self.group {
            Group::Transaction { events, .. } => {
                *events += 1;
                *events > self.skip_events
            }
            _ => true,
        }
    }

    fn rows(
        &mut self,
        event: &RawEvent,
        start: u64,
        kind: RowsKind,
        extra: bool,
        sink: &mut impl ChangeSink,
    ) -> Result<Step, StreamError> {
        /// An event that only says "end of statement".
        const DUMMY_TABLE_ID: u64 = 0xff_ffff;
        let mut body = event.body();
        let table_id =
            rows::parse_table_id(&mut body).map_err(|reason| self.undecodable(event, start, None, reason))?;
        let publish = self.count_event();
        if table_id == DUMMY_TABLE_ID {
            return Ok(Step::Inside);
        }
        let prepared_xa = matches!(self.group, Group::Transaction { prepared_xa: true, .. });
        let outside = !matches!(self.group, Group::Transaction { .. });
        let captured = match self.tables.get_mut(table_id) {
            None => {
                return Err(self.cannot_follow(event, start, None, "rows of a table whose map was not seen"));
            }
            Some(Table::Foreign) => return Ok(Step::Inside),
            Some(Table::Captured(captured)) => captured,
        };
        let refusal = if prepared_xa {
            Some("an XA transaction changes a captured table, which cannot be followed yet")
        } else if outside {
            Some("rows outside a transaction")
        } else {
            None
        };
        if let Some(reason) = refusal {
            let table = Some(captured.name.clone());
            return Err(self.cannot_follow(event, start, table, reason));
        }
        let total_order = match &mut self.group {
            Group::Transaction { total_order, .. } => total_order,
            _ => return Ok(Step::Inside),
        };
        let Captured { name, shape, prefix, order, .. } = captured.as_mut();
        let mut writer = RowWriter {
            event: EventFacts {
                source: &self.source,
                gtid: &self.gtid,
                file: &self.file,
                pos: start,
                server_id: event.header.server_id,
                source_ts_ms: i64::from(event.header.timestamp) * 1_000,
                ts_ms: now_ms(),
            },
            prefix,
            table: name,
            table_order: order,
            buffers: &mut self.buffers,
            seq: &mut self.resume.seq,
            total_order,
            counts: &mut self.counts,
            skip_changes: self
                .skip_changes
                .as_ref()
                .and_then(|skip| skip.changes.get(name))
                .copied()
                .unwrap_or(0),
            publish,
        };
        match writer.write_all(body, shape, kind, extra, sink) {
            Ok(()) => Ok(Step::Inside),
            Err(RowError::Decode(reason)) => {
                let table = Some(name.clone());
                Err(self.undecodable(event, start, table, reason))
            }
            Err(RowError::Stream(error)) => Err(error),
        }
    }

    fn place(&self, event: &RawEvent, start: u64, table: Option<String>) -> Place {
        Place { file: self.file.clone(), pos: start, type_code: event.header.type_code, table }
    }

    fn undecodable(
        &self,
        event: &RawEvent,
        start: u64,
        table: Option<String>,
        reason: DecodeError,
    ) -> StreamError {
        StreamError::Undecodable { place: self.place(event, start, table), reason }
    }

    fn cannot_follow(
        &self,
        event: &RawEvent,
        start: u64,
        table: Option<String>,
        reason: &str,
    ) -> StreamError {
        StreamError::CannotFollow { place: self.place(event, start, table), reason: reason.to_owned() }
    }
}

mod read;
#[cfg(test)]
mod tests;

pub(crate) use read::ReadTable;
