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

mod continuation;
mod counts;
mod fault;
mod group;
mod outline;
mod progress;
mod read;
mod release;
mod resume;
mod sink;
mod statements;
mod step;
#[cfg(test)]
mod tests;
mod transaction;
mod xa;

use super::{
    envelope::SourcePrefix,
    place::StreamError,
    row_writer::{Buffers, Orders},
    tables::Tables,
};
use crate::binlog::{
    column::ToldColumn,
    event::{Kind, RawEvent},
    gtid::{self, Gtid},
    payload::Payload,
    statement::{Statement, TableRef},
    xid,
};
use change_event::checkpoint::{BinlogPosition, Inside};
use group::{End, Group, Mode};
use outline::Outline;
use resume::HandedOut;
use std::collections::{BTreeMap, HashSet};

pub use counts::Counts;
pub(crate) use read::ReadTable;
pub(crate) use resume::Resume;
pub(crate) use sink::ChangeSink;
pub(crate) use step::Step;
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
    /// What had been handed out at the last place between two transactions.
    whole: HandedOut,
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
            whole: HandedOut::before(&resume),
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
}

/// TRANSACTION_PAYLOAD_EVENT.
const PAYLOAD_TYPE: u8 = 40;
