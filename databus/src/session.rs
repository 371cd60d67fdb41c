//! One stretch of streaming: from a checkpoint until a stop, the loss of the role, a broken link, or an error.
//!
//! ```text
//! Feed (own thread, bounded) ──event──► Assembler ──change──► Publisher (open Kafka transaction)
//!                 Snapshots ──row, between two transactions──┤
//!                                            └──── boundary, caught up or batch full ───► commit: changes + checkpoint
//! ```

use crate::{
    metrics::SourceMetrics,
    publish::{Inbox, PublishError, Publisher},
    snapshot::{Snapshots, Tap},
    source::{Feed, Horizon, PreflightError, TransportError},
    status::Status,
    stream::{Assembler, Counts, Step, StreamError},
};
use change_event::checkpoint::{BinlogPosition, Checkpoint, SourceIdentity};
use pipeline_config::Databus;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

/// How long an idle loop waits before it looks at the stop request again.
const IDLE_WAIT: Duration = Duration::from_millis(100);
/// The same while a table is read: its next chunk may be there at any moment.
const SNAPSHOT_WAIT: Duration = Duration::from_millis(1);
/// How often the checkpoint moves while no captured row does, so that an idle table never holds on to old binlogs.
const IDLE_CHECKPOINT: Duration = Duration::from_secs(1);

/// How often the lag is told, busy or not.
const OBSERVE: Duration = Duration::from_secs(1);

/// Transactions of one Kafka commit whose ages are noted; the rest are like them.
const MOST_AGES: usize = 4_096;

/// How many times the limits of one commit may grow while a backlog is read.
const MOST_LARGER: u32 = 5;

/// How far back a transaction's second lies; nothing for the one that is running.
fn behind(timestamp: u32) -> Duration {
    let end = Duration::from_secs(u64::from(timestamp) + 1);
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(end)
}

/// How many times larger than usual a commit may be: a quarter of the delay that is there anyway is added at most.
fn larger_by(behind: Duration, longest: Duration) -> u32 {
    let times = (behind / 4).as_millis() / longest.as_millis().max(1);
    u32::try_from(times).map_or(MOST_LARGER, |times| times.clamp(1, MOST_LARGER))
}

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The link to the source.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// Another server that answers in its place may not be read.
    #[error(transparent)]
    Preflight(#[from] PreflightError),
    /// The binlog's content, or Kafka while taking it.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// Kafka while committing.
    #[error(transparent)]
    Publish(#[from] PublishError),
}

/// Everything one session works with.
pub(crate) struct Session<'a> {
    /// Events.
    pub feed: Feed,
    /// Reads on from somewhere else.
    pub reopen: &'a dyn Fn(&BinlogPosition) -> Result<Feed, TransportError>,
    /// Follows them.
    pub assembler: Assembler,
    /// Takes what comes out.
    pub publisher: &'a mut Publisher,
    /// The last durable checkpoint; moves with each commit.
    pub checkpoint: &'a mut Checkpoint,
    /// The server being read.
    pub identity: SourceIdentity,
    /// How far the source is.
    pub horizon: watch::Receiver<Option<Horizon>>,
    /// The tables as they stand, read beside the stream.
    pub snapshots: Snapshots,
    /// What operators ask for.
    pub inbox: &'a mut Inbox,
    /// Cadence.
    pub limits: &'a Databus,
    /// Where it is counted.
    pub metrics: &'a SourceMetrics,
    /// Hears that the stream goes round.
    pub status: &'a Status,
}

/// Why the stream is to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Halt {
    /// The process ends: what is complete is committed.
    Drain,
    /// The role is gone: what is open is left to the next one, who ends it without effect.
    GiveUp,
}

/// How a session without an error ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// As asked for, with everything complete committed.
    Drained,
    /// Without the role; the producer must not be used any more.
    GaveUp,
}

/// What was counted by the last commit, and what waits for the next one.
#[derive(Default)]
struct Counted {
    counts: Counts,
    /// Open changes at the last boundary: a transaction that adds none is not about captured tables.
    changes: u64,
    /// Commits so far.
    commits: u32,
    /// When the transactions that wait were committed at the source, in Unix milliseconds.
    committed_at: Vec<i64>,
}

impl Counted {
    /// A transaction is complete; `timestamp` is its last event's, in whole seconds.
    fn completed(&mut self, timestamp: u32, open_changes: u64) {
        if open_changes > self.changes && self.committed_at.len() < MOST_AGES {
            // within that second, but not after we had it
            let latest = i64::from(timestamp) * 1_000 + 999;
            let now =
                SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
            self.committed_at.push(latest.min(now));
        }
        self.changes = open_changes;
    }

    fn start_anew(&mut self, counts: Counts) {
        self.counts = counts;
        self.commits = self.commits.saturating_add(1);
        self.changes = 0;
        self.committed_at.clear();
    }
}

impl Session<'_> {
    /// Streams until `halt` says so; then commits what is complete, or gives up. What is complete in front of a fault in the log is
    /// committed, too; on any other error nothing that is open becomes visible.
    pub(crate) fn run(mut self, halt: impl Fn() -> Option<Halt>) -> Result<Ended, SessionError> {
        let mut counted = Counted::default();
        let mut outcome = self.stream(&halt, &mut counted);
        if self.publisher.open_changes() > 0
            && outcome.as_ref().is_err_and(|error| self.is_whole_before(error))
        {
            match self.commit(&mut counted) {
                // the fault is what is to be told
                Ok(()) | Err(PublishError::Definite(_)) => {}
                // it is met again once Kafka takes what is in front of it
                Err(failed) => outcome = Err(failed.into()),
            }
        }
        match &outcome {
            Ok(_) => {}
            // such a producer can do nothing any more, not even abort; the broker ends what it left open
            Err(
                SessionError::Publish(PublishError::Fenced { .. } | PublishError::Unknown(_))
                | SessionError::Stream(StreamError::Publish(
                    PublishError::Fenced { .. } | PublishError::Unknown(_),
                )),
            ) => {}
            Err(_) => self.publisher.abort()?,
        }
        outcome
    }

    /// Whether the error is a fault in the log, and only whole transactions in front of it were handed out.
    fn is_whole_before(&self, error: &SessionError) -> bool {
        let at_a_fault = match error {
            SessionError::Stream(error) => error.is_of_one_place(),
            SessionError::Transport(TransportError::PositionRefused(_) | TransportError::Damaged { .. }) => {
                true
            }
            SessionError::Transport(_) | SessionError::Preflight(_) | SessionError::Publish(_) => false,
        };
        at_a_fault && self.assembler.is_whole()
    }

    fn stream(
        &mut self,
        halt: &impl Fn() -> Option<Halt>,
        counted: &mut Counted,
    ) -> Result<Ended, SessionError> {
        let mut between = true;
        let mut last_checkpoint = Instant::now();
        let mut last_observed = Instant::now();
        // of the last event
        let mut timestamp = 0;
        let halt = loop {
            if let Some(halt) = halt() {
                break halt;
            }
            // nothing waits: what is complete goes out at once
            let (wait, caught_up) = if between && self.has_news(counted.counts) {
                (Duration::ZERO, true)
            } else if self.snapshots.is_busy() {
                (SNAPSHOT_WAIT, false)
            } else {
                (IDLE_WAIT, false)
            };
            let mut sink = Tap { publisher: self.publisher, snapshots: &mut self.snapshots };
            let step = match self.assembler.go_on(&mut sink)? {
                Some(step) => Some(step),
                None => match self.feed.next(wait)? {
                    Some(event) => {
                        timestamp = event.header.timestamp;
                        Some(self.assembler.handle(event, &mut sink)?)
                    }
                    None => None,
                },
            };
            match step {
                Some(step) => {
                    match step {
                        Step::Boundary | Step::Jump => {
                            between = true;
                            let committed_at = self.assembler.committed_at(timestamp);
                            counted.completed(committed_at, self.publisher.open_changes());
                        }
                        Step::Inside => between = false,
                        Step::Heartbeat => {}
                    }
                    if step == Step::Jump {
                        if self.publisher.open_changes() > 0 {
                            self.commit(counted)?;
                            last_checkpoint = Instant::now();
                        }
                        self.feed = (self.reopen)(&self.assembler.next_position())?;
                    }
                }
                None if caught_up => {
                    self.commit(counted)?;
                    last_checkpoint = Instant::now();
                }
                None => {}
            }
            if between {
                self.snapshots.step(&mut self.assembler, self.publisher, self.inbox)?;
            }
            if self.is_due(timestamp, counted.commits) {
                self.commit(counted)?;
                last_checkpoint = Instant::now();
            }
            if last_observed.elapsed() >= OBSERVE {
                self.metrics.observe_lag(self.checkpoint.as_of);
                self.status.beat();
                last_observed = Instant::now();
            }
            if between && last_checkpoint.elapsed() >= IDLE_CHECKPOINT {
                if self.publisher.open_changes() > 0 || self.has_moved() {
                    self.commit(counted)?;
                }
                last_checkpoint = Instant::now();
            }
        };
        if halt == Halt::GiveUp {
            return Ok(Ended::GaveUp);
        }
        if self.publisher.open_changes() > 0 {
            self.commit(counted)?;
        }
        Ok(Ended::Drained)
    }

    /// Whether something is open that nothing should wait for. Rows of a snapshot alone wait for each other.
    fn has_news(&self, committed: Counts) -> bool {
        self.publisher.open_changes() > 0
            && (!self.snapshots.is_busy() || self.assembler.counts().published > committed.published)
    }

    /// Whether the open Kafka transaction is large or old enough. `timestamp` is that of the event in hand: while it lies far back,
    /// what counts is to catch up, and each commit holds the stream up for the same few milliseconds. The first ones after a start are
    /// small all the same: they show readers that it goes on.
    fn is_due(&self, timestamp: u32, commits: u32) -> bool {
        let Some(since) = self.publisher.open_since() else { return false };
        let (most, longest) = (self.limits.commit_max_rows, self.limits.commit_max_wait);
        let (rows, waited) = (self.publisher.open_changes(), since.elapsed());
        if rows < most && waited < longest {
            return false;
        }
        let larger = larger_by(behind(timestamp), longest).min(commits.saturating_add(1));
        rows >= most * u64::from(larger) || waited >= longest * larger
    }

    fn has_moved(&self) -> bool {
        let next = self.next_checkpoint();
        next.position != self.checkpoint.position
            || next.as_of != self.checkpoint.as_of
            || next.snapshots != self.checkpoint.snapshots
    }

    fn next_checkpoint(&self) -> Checkpoint {
        let resume = self.assembler.resume();
        let passed = self
            .horizon
            .borrow()
            .as_ref()
            // places of two servers do not compare
            .filter(|horizon| {
                resume.arrived
                    && horizon.server_id == self.identity.server_id
                    && horizon.is_passed_by(&resume.position)
            })
            .map(|horizon| horizon.as_of);
        Checkpoint {
            source_identity: if resume.arrived {
                self.identity.clone()
            } else {
                self.checkpoint.source_identity.clone()
            },
            epoch: self.checkpoint.epoch,
            seq: resume.seq,
            gtid: resume.gtid,
            position: resume.position,
            events_done_in_next: resume.events_done_in_next,
            inside: resume.inside,
            gtids: resume.gtids.map(|gtids| gtids.to_string()),
            // while tables are read that the stream does not make whole, not everything is published
            as_of: if self.snapshots.are_owed() {
                self.checkpoint.as_of
            } else {
                passed.max(self.checkpoint.as_of)
            },
            prepared_xa: resume.prepared_xa,
            snapshots: self.snapshots.progress().to_vec(),
        }
    }

    fn commit(&mut self, counted: &mut Counted) -> Result<(), PublishError> {
        let next = self.next_checkpoint();
        let counts = self.assembler.counts();
        if !counts.add_up() {
            return Err(PublishError::Definite(format!(
                "rows do not add up at {}:{}: {counts:?}; nothing of this batch was committed (G1)",
                next.position.file, next.position.pos
            )));
        }
        let started = Instant::now();
        self.publisher.commit(&next)?;
        self.metrics.commits.observe(started.elapsed().as_secs_f64());
        self.metrics.add(counts.since(counted.counts));
        self.metrics.observe_file(self.assembler.file_counts(), next.prepared_xa.len());
        self.metrics.published(&counted.committed_at);
        let metrics = self.metrics;
        self.publisher.take_tally(|table, op, count| metrics.changes(table, op, count));
        counted.start_anew(counts);
        self.metrics.at(&next);
        *self.checkpoint = next;
        for id in self.snapshots.take_answered() {
            self.inbox.settle(id);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commits_grow_with_the_delay_and_only_so_far() {
        let longest = Duration::from_millis(100);
        for (behind_ms, larger) in [(0, 1), (700, 1), (800, 2), (1_999, 4), (2_000, 5), (86_400_000, 5)] {
            assert_eq!(larger_by(Duration::from_millis(behind_ms), longest), larger, "{behind_ms}");
        }
        assert_eq!(larger_by(Duration::MAX, Duration::ZERO), MOST_LARGER);
        assert_eq!(behind(u32::MAX), Duration::ZERO);
    }
}
