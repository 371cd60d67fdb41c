//! The session's side: which tables are to be read, how far they are, and when a chunk's rows may enter the stream.

use super::{
    metrics::SourceSnapshotMetrics,
    piece::Piece,
    reader::{self, Desk, Job},
    window::{Since, Window},
};
use crate::{
    publish::{Inbox, Mark, PublishError, Publisher},
    source::compare,
    stream::{Assembler, ChangeSink, ReadTable, StreamError},
};
use change_event::{
    checkpoint::{BinlogPosition, SnapshotCause, TableSnapshot},
    envelope::Op,
};
use pipeline_config::{SnapshotMode, Source};
use secrecy::SecretString;
use std::{cmp::Ordering, collections::BTreeMap, sync::Arc};
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
    task::AbortHandle,
};

/// Messages of the reading tasks that wait at most.
const MESSAGES: usize = 64;
/// Messages that are taken at most before the stream has its turn.
const MESSAGES_AT_ONCE: usize = 64;

/// Where the stream was when a window opened.
#[derive(Debug, Clone)]
pub(super) struct Opened {
    pub(super) position: BinlogPosition,
    /// The last transaction before it; `None` where none was read yet.
    pub(super) gtid: Option<String>,
}

/// What became of a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Its rows are in the stream.
    Emitted,
    /// A statement about the table stands between window and stream: what was read may be old.
    Altered,
    /// The stream changed more keys meanwhile than can be remembered.
    TooMuch,
}

/// What the reading tasks say.
#[derive(Debug)]
pub(super) enum Message {
    /// The table can be read and has about so many rows.
    Begin { rows: u64 },
    /// Remember keys from here on for this slot.
    Open { slot: u64, reply: oneshot::Sender<Opened> },
    /// Nobody reads this slot for now.
    Close { slot: u64 },
    /// What was read for this slot, and the place that it stands for.
    Rows { slot: u64, piece: Piece, position: BinlogPosition, reply: oneshot::Sender<Verdict> },
    /// There are so many slots.
    End { slots: u64 },
    /// Definite: this cannot be read as asked.
    Refused { why: String },
}

/// What reading tables takes.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    /// Where the tables are.
    pub source: Arc<Source>,
    /// For the source's user.
    pub password: SecretString,
    /// The server's id, for the envelope.
    pub server_id: u32,
    /// How many connections read.
    pub connections: usize,
    /// Most rows of a chunk.
    pub most_rows: u64,
    /// Where the reading tasks run.
    pub runtime: Handle,
    /// Where it is counted.
    pub metrics: SourceSnapshotMetrics,
}

/// All snapshots of one source, within one session.
#[derive(Debug)]
pub(crate) struct Snapshots {
    context: Context,
    /// The first one is being read; all of it goes into every checkpoint.
    progress: Vec<TableSnapshot>,
    active: Option<Active>,
    window: Window,
    /// Requests answered in the open Kafka transaction.
    answered: Vec<String>,
}

/// The table that is being read.
#[derive(Debug)]
struct Active {
    table: ReadTable,
    messages: mpsc::Receiver<Message>,
    tasks: AbortHandle,
    slots: BTreeMap<u64, Slot>,
    /// Windows that open as soon as the stream is between two transactions.
    to_open: Vec<(u64, oneshot::Sender<Opened>)>,
    /// The slot whose rows come next: keys enter the stream in their order, so that one key tells the progress.
    next: u64,
    /// How many slots there are, once that is known.
    end: Option<u64>,
    /// Rows of the table, by the server's estimate.
    estimate: u64,
    refused: Option<String>,
}

impl Drop for Active {
    fn drop(&mut self) {
        self.tasks.abort();
    }
}

#[derive(Debug)]
struct Slot {
    since: Since,
    spoilt: Option<Verdict>,
    ready: Option<Ready>,
}

#[derive(Debug)]
struct Ready {
    piece: Piece,
    position: BinlogPosition,
    reply: oneshot::Sender<Verdict>,
}

impl Snapshots {
    /// Goes on where a checkpoint stands.
    pub(crate) fn new(context: Context, progress: Vec<TableSnapshot>) -> Self {
        context.metrics.pending(progress.len());
        Self { context, progress, active: None, window: Window::default(), answered: Vec::new() }
    }

    /// What the next checkpoint says of snapshots.
    pub(crate) fn progress(&self) -> &[TableSnapshot] {
        &self.progress
    }

    /// Whether a table is being read: the session then looks here often.
    pub(crate) fn is_busy(&self) -> bool {
        self.active.is_some()
    }

    /// Whether a table is still to be read without which stage 1 is not whole.
    pub(crate) fn are_owed(&self) -> bool {
        self.progress.iter().any(|snapshot| snapshot.cause != SnapshotCause::Request)
    }

    /// Requests whose answers are durable now that the open transaction is.
    pub(crate) fn take_answered(&mut self) -> Vec<String> {
        std::mem::take(&mut self.answered)
    }

    /// Goes on with everything that can go on at this place of the stream.
    pub(crate) fn step(
        &mut self,
        assembler: &mut Assembler,
        publisher: &mut Publisher,
        inbox: &mut Inbox,
    ) -> Result<(), StreamError> {
        self.take_requests(publisher, inbox)?;
        if self.active.is_none() {
            self.start();
        }
        if self.active.is_none() {
            return Ok(());
        }
        for _ in 0..MESSAGES_AT_ONCE {
            let Some(Ok(message)) = self.active.as_mut().map(|active| active.messages.try_recv()) else {
                break;
            };
            self.take(message, publisher)?;
        }
        if assembler.is_between_transactions() {
            self.open_windows(assembler);
            self.emit(assembler, publisher)?;
        }
        self.finish(publisher)
    }

    /// Takes up what operators asked for.
    fn take_requests(&mut self, publisher: &mut Publisher, inbox: &mut Inbox) -> Result<(), StreamError> {
        inbox.look();
        while let Some((id, request)) = inbox.next(|id| {
            self.answered.iter().any(|known| known == id) || self.progress.iter().any(|known| known.id == id)
        }) {
            let table = request
                .table
                .split_once('.')
                .filter(|(database, table)| self.context.source.captures(database, table));
            let Some((database, table)) = table else {
                let why = format!("refused: {} is not among the source's tables", request.table);
                tracing::warn!(source = %self.context.source.name, request = id, why, "snapshot");
                publisher.answer(&id, &why)?;
                self.answered.push(id);
                continue;
            };
            tracing::info!(source = %self.context.source.name, request = id, table = request.table, filter = request.filter, "snapshot asked for");
            self.progress.push(waiting(id, database, table, SnapshotCause::Request, request.filter.clone()));
            self.context.metrics.pending(self.progress.len());
        }
        Ok(())
    }

    /// Begins to read the first table that waits.
    fn start(&mut self) {
        let Some(snapshot) = self.progress.first().cloned() else { return };
        let Context { source, password, server_id, connections, most_rows, runtime, .. } = &self.context;
        let (sender, messages) = mpsc::channel(MESSAGES);
        let table = ReadTable::new(&snapshot.database, &snapshot.table, *server_id);
        tracing::info!(source = %source.name, table = table.name(), snapshot = snapshot.id, cause = snapshot.cause.as_str(),
            after = ?snapshot.after, "snapshot begins");
        let job = Job {
            source: source.clone(),
            password: password.clone(),
            snapshot,
            connections: *connections,
            most_rows: *most_rows,
            desk: Desk(sender),
        };
        let tasks = runtime.spawn(reader::run(job)).abort_handle();
        self.window.release(None);
        self.active = Some(Active {
            table,
            messages,
            tasks,
            slots: BTreeMap::new(),
            to_open: Vec::new(),
            next: 0,
            end: None,
            estimate: 0,
            refused: None,
        });
    }

    fn take(&mut self, message: Message, publisher: &mut Publisher) -> Result<(), StreamError> {
        let (Some(active), Some(snapshot)) = (&mut self.active, self.progress.first_mut()) else {
            return Ok(());
        };
        match message {
            Message::Begin { rows } => {
                active.estimate = rows;
                if !snapshot.begun {
                    publisher.mark(&mark("snapshot-begin", snapshot, None))?;
                    snapshot.begun = true;
                }
            }
            Message::Open { slot, reply } => active.to_open.push((slot, reply)),
            Message::Close { slot } => {
                active.slots.remove(&slot);
                self.window.release(active.slots.values().map(|slot| slot.since).min());
            }
            Message::Rows { slot, piece, position, reply } => {
                if let Some(slot) = active.slots.get_mut(&slot) {
                    slot.ready = Some(Ready { piece, position, reply });
                }
            }
            Message::End { slots } => active.end = Some(slots),
            Message::Refused { why } => active.refused = Some(why),
        }
        Ok(())
    }

    fn open_windows(&mut self, assembler: &Assembler) {
        let Some(active) = &mut self.active else { return };
        for (slot, reply) in active.to_open.drain(..) {
            let slot_state = Slot { since: self.window.open(), spoilt: None, ready: None };
            if reply
                .send(Opened {
                    position: assembler.position().clone(),
                    gtid: assembler.last_gtid().map(str::to_owned),
                })
                .is_ok()
            {
                active.slots.insert(slot, slot_state);
            }
        }
    }

    /// Puts the rows of the next slot into the stream, once that has come to the place that they stand for.
    fn emit(&mut self, assembler: &mut Assembler, publisher: &mut Publisher) -> Result<(), StreamError> {
        let (Some(active), Some(snapshot)) = (&mut self.active, self.progress.first_mut()) else {
            return Ok(());
        };
        for slot in active.slots.values_mut() {
            if slot.ready.is_some()
                && let Some(verdict) = slot.spoilt.take()
            {
                self.context.metrics.chunk_again(active.table.name());
                // whoever reads it has gone away only when the whole session ends
                let _ = slot.ready.take().map(|ready| ready.reply.send(verdict));
            }
        }
        let Some(slot) = active.slots.get_mut(&active.next) else { return Ok(()) };
        let due = slot.ready.take_if(|ready| {
            matches!(compare(&ready.position, assembler.position()), Some(Ordering::Less | Ordering::Equal))
        });
        let Some(Ready { piece, reply, .. }) = due else { return Ok(()) };
        let mut superseded = 0;
        for (key, after) in piece.rows() {
            if self.window.changed(key, slot.since) {
                superseded += 1;
            } else {
                assembler.publish_read(&active.table, piece.read_ms, key, after, publisher)?;
            }
        }
        let rows = piece.len() as u64;
        snapshot.rows += rows;
        snapshot.chunks += 1;
        snapshot.after.clone_from(&piece.upto);
        let table = active.table.name();
        self.context.metrics.chunk_done(table, rows - superseded, superseded);
        self.context.metrics.remaining(table, active.estimate.saturating_sub(snapshot.rows));
        active.slots.remove(&active.next);
        if piece.last {
            active.next += 1;
        }
        self.window.release(active.slots.values().map(|slot| slot.since).min());
        let _ = reply.send(Verdict::Emitted);
        Ok(())
    }

    fn finish(&mut self, publisher: &mut Publisher) -> Result<(), StreamError> {
        let (Some(active), Some(snapshot)) = (&self.active, self.progress.first()) else { return Ok(()) };
        let outcome = match (&active.refused, active.end) {
            (Some(why), _) => format!("refused: {why}"),
            (None, Some(end)) if end == active.next => "done".to_owned(),
            _ => return Ok(()),
        };
        if snapshot.begun {
            publisher.mark(&mark("snapshot-end", snapshot, Some(&outcome)))?;
        }
        if snapshot.cause == SnapshotCause::Request {
            publisher.answer(
                &snapshot.id,
                &format!("{outcome}: {} rows in {} chunks", snapshot.rows, snapshot.chunks),
            )?;
            self.answered.push(snapshot.id.clone());
        }
        tracing::info!(source = %self.context.source.name, table = active.table.name(), snapshot = snapshot.id,
            rows = snapshot.rows, chunks = snapshot.chunks, outcome, "snapshot ends");
        self.context.metrics.remaining(active.table.name(), 0);
        self.active = None;
        self.window.release(None);
        self.progress.remove(0);
        self.context.metrics.pending(self.progress.len());
        Ok(())
    }

    /// The stream published a change.
    fn saw(&mut self, table: &str, key: &[u8]) {
        let Some(active) = &mut self.active else { return };
        if active.table.name() != table || self.window.saw(key).is_ok() {
            return;
        }
        for slot in active.slots.values_mut() {
            slot.spoilt = Some(Verdict::TooMuch);
        }
        self.window.release(None);
    }

    fn altered(&mut self, table: &str) {
        let Some(active) = self.active.as_mut().filter(|active| active.table.name() == table) else { return };
        for slot in active.slots.values_mut() {
            slot.spoilt = Some(Verdict::Altered);
        }
    }

    /// Puts a table behind those that wait already. One that waits for the same whole table and has not begun will do.
    fn needed(&mut self, table: &str, why: &str) {
        if self.context.source.snapshot == SnapshotMode::Never {
            tracing::warn!(
                table,
                why,
                "a statement changed rows unseen and `snapshot` is \"never\": ask for one with `databus snapshot`"
            );
        } else {
            tracing::info!(table, why, "a statement changed rows unseen, so the table is read anew");
            self.add(table, SnapshotCause::Statement);
        }
    }

    fn add(&mut self, table: &str, cause: SnapshotCause) {
        let Some((database, name)) = table.split_once('.') else { return };
        let same = |known: &TableSnapshot| {
            !known.begun && known.filter.is_none() && known.database == database && known.table == name
        };
        let reading = usize::from(self.active.is_some());
        if !self.progress.iter().skip(reading).any(same) {
            let id = format!("{}-{}", cause.as_str(), now_micros());
            self.progress.push(waiting(id, database, name, cause, None));
            self.context.metrics.pending(self.progress.len());
        }
    }
}

/// A snapshot of every table.
pub(crate) fn of_all(source: &Source, cause: SnapshotCause) -> Vec<TableSnapshot> {
    let id = format!("{}-{}", cause.as_str(), now_micros());
    source
        .tables
        .iter()
        .map(|table| waiting(id.clone(), table.database(), table.table(), cause, None))
        .collect()
}

fn waiting(
    id: String,
    database: &str,
    table: &str,
    cause: SnapshotCause,
    filter: Option<String>,
) -> TableSnapshot {
    TableSnapshot {
        id,
        database: database.to_owned(),
        table: table.to_owned(),
        cause,
        filter,
        begun: false,
        after: None,
        rows: 0,
        chunks: 0,
    }
}

fn now_micros() -> i64 {
    time::OffsetDateTime::now_utc().unix_timestamp_nanos().checked_div(1_000).unwrap_or_default() as i64
}

fn mark<'a>(kind: &'a str, snapshot: &'a TableSnapshot, outcome: Option<&'a str>) -> Mark<'a> {
    let mut headers = vec![
        ("databus.mark", kind),
        ("databus.db", &snapshot.database),
        ("databus.table", &snapshot.table),
        ("databus.snapshot", &snapshot.id),
        ("databus.cause", snapshot.cause.as_str()),
    ];
    if let Some(filter) = &snapshot.filter {
        headers.push(("databus.filter", filter));
    }
    if let Some(outcome) = outcome {
        headers.push(("databus.outcome", outcome));
    }
    Mark(headers)
}

/// The stream's way to Kafka, past the snapshots that watch it.
#[derive(Debug)]
pub(crate) struct Tap<'a> {
    /// Takes the changes.
    pub publisher: &'a mut Publisher,
    /// Watch them.
    pub snapshots: &'a mut Snapshots,
}

impl ChangeSink for Tap<'_> {
    fn publish(&mut self, table: &str, key: &[u8], value: &[u8]) -> Result<(), PublishError> {
        self.publisher.publish(table, key, value)?;
        self.snapshots.saw(table, key);
        Ok(())
    }

    fn tally(&mut self, table: &str, op: Op, changes: u64) {
        self.publisher.tally(table, op, changes);
    }

    fn mark(&mut self, mark: &crate::stream::Mark<'_>) -> Result<(), PublishError> {
        ChangeSink::mark(self.publisher, mark)
    }

    fn table_altered(&mut self, table: &str) {
        self.snapshots.altered(table);
    }

    fn needs_snapshot(&mut self, table: &str, why: &str) {
        self.snapshots.needed(table, why);
    }
}
