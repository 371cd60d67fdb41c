//! What one source looks like at this moment, for the status page and the metrics that are more than counters.

use crate::{ages::RecentAges, source::Retention};
use change_event::checkpoint::{BinlogPosition, Checkpoint};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Shared by the stream, which tells, and by those who ask.
#[derive(Debug, Clone)]
pub(crate) struct Live(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    checkpoint: Option<Checkpoint>,
    ages: RecentAges,
    seen: Option<Seen>,
}

/// What the server said of its binlog, and when.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// Where its binlog ended.
    pub(crate) end: Option<BinlogPosition>,
    /// Bytes of binlog from our position to that end.
    pub(crate) lag_bytes: Option<u64>,
    /// Seconds from then until it removes a file that we need.
    pub(crate) seconds_to_purge: Option<f64>,
    /// When.
    pub(crate) at: Instant,
}

impl Seen {
    /// What a look at the server means for a reader at this position.
    pub(crate) fn of(
        retention: &Retention,
        position: &BinlogPosition,
        finished: Option<u64>,
        growth: Option<f64>,
    ) -> Self {
        let end = retention.end();
        // the stream may have passed the end that we were told
        let lag_bytes = end.as_ref().map(|end| retention.bytes_between(position, end).unwrap_or(0));
        let seconds_to_purge = retention.seconds_to_purge(&position.file, finished, growth);
        Self { end, lag_bytes, seconds_to_purge, at: Instant::now() }
    }

    /// Seconds from now; time goes on while the server does not answer.
    pub(crate) fn seconds_to_purge_now(&self) -> Option<f64> {
        self.seconds_to_purge.map(|seconds| (seconds - self.at.elapsed().as_secs_f64()).max(0.0))
    }
}

impl Live {
    /// Of a source that is not read yet.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(Inner { checkpoint: None, ages: RecentAges::new(), seen: None })))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A checkpoint is durable.
    pub(crate) fn committed(&self, checkpoint: &Checkpoint) {
        self.lock().checkpoint = Some(checkpoint.clone());
    }

    /// A change was published so long after it was committed.
    pub(crate) fn published(&self, age: Duration) {
        self.lock().ages.add(age);
    }

    /// The server was asked; `None`: this process is not the one that reads.
    pub(crate) fn saw(&self, seen: Option<Seen>) {
        let mut inner = self.lock();
        if seen.is_none() {
            inner.checkpoint = None;
        }
        inner.seen = seen;
    }

    /// The last durable checkpoint, while this process reads.
    pub(crate) fn checkpoint(&self) -> Option<Checkpoint> {
        self.lock().checkpoint.clone()
    }

    /// The last look at the server.
    pub(crate) fn seen(&self) -> Option<Seen> {
        self.lock().seen.clone()
    }

    /// Ages of the last minute's changes in milliseconds: p50, p95, p99.
    pub(crate) fn ages(&self) -> Option<[u64; 3]> {
        self.lock().ages.quantiles([0.5, 0.95, 0.99])
    }
}
