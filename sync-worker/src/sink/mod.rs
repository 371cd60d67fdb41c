//! Where bills end up. Each sink has its own writer, its own consumer group and its own pace (G9).

pub mod elasticsearch;
pub mod mysql;

use std::{future::Future, time::Duration};

use change_event::{barrier::Barrier, progress::Mark, quarantine::Stage, stage2::BillRecord};

/// A place that holds the newest state of every bill.
///
/// - **Order.** A batch holds at most one record per (account, bill), sorted by that key. Batches of one writer come one
///   after the other; batches of two writers may overlap during a hand-over, which the version gate makes harmless.
/// - **Gate (G5).** A record is taken only if its version is not older than what is held; taking it twice equals once.
///   A delete leaves a tombstone with its version under the same gate, so a late older image cannot bring a bill back.
/// - **Durability.** `Ok` means that every record is durable, or that something newer already was. Only then does the
///   writer move its offset (G6).
/// - **Errors.** Any part of the batch may be written then: the writer gives `left` again, for ever, and sets aside what is refused.
pub trait Sink: Send + Sync + 'static {
    /// Its name in the quarantine.
    fn stage(&self) -> Stage;

    /// `bill-store` or `bill-index`: consumer group and metric label.
    fn group(&self) -> &'static str {
        self.stage().as_str()
    }

    /// Writes one folded batch.
    fn write(&self, batch: &[BillRecord]) -> impl Future<Output = Result<(), SinkError>> + Send;

    /// Leaves a tombstone with the barrier's version in place of every older bill of its pipelines, whatever partition it is of; answers how many.
    /// An error is transient, and any part may be done then: the barrier is given again.
    fn end_older(&self, barrier: &Barrier) -> impl Future<Output = Result<u64, String>> + Send;

    /// How often progress is stored at most.
    fn mark_every(&self) -> Duration;

    /// Stores how far sources are in partitions of `topic`, once readers of the sink see all that the marks cover. A mark that says less than
    /// the one that is stored changes nothing. An error is transient: the next mark says more.
    fn mark(&self, topic: &str, marks: &[(i32, Mark)]) -> impl Future<Output = Result<(), String>> + Send;
}

/// A batch that was not wholly written.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// Nothing about the records themselves: the sink is down, busy or misconfigured. Trying again may help.
    #[error("{cause}")]
    Transient {
        /// Indexes into the batch that must be written again.
        left: Vec<usize>,
        /// What the sink said.
        cause: String,
    },
    /// The sink will never take some of the records.
    #[error("{} records are refused", .refused.len())]
    Definite {
        /// Indexes into the batch, with what the sink said.
        refused: Vec<(usize, String)>,
        /// Indexes of others that must be written again.
        left: Vec<usize>,
    },
}

impl SinkError {
    /// A transient error of the whole batch.
    pub(crate) fn down(batch: &[BillRecord], cause: impl ToString) -> Self {
        Self::Transient { left: (0..batch.len()).collect(), cause: cause.to_string() }
    }
}
