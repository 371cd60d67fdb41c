//! The write under way: a task on the runtime that tries until its batch is durable.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, sync_channel},
    },
    time::{Duration, Instant},
};

use backon::BackoffBuilder as _;
use change_event::stage2::BillRecord;
use tokio::{runtime::Handle, task::AbortHandle};

use crate::{
    metrics::Metrics,
    sink::{Sink, SinkError},
};

use super::fold::Offsets;

/// Longest pause between two tries on a sink that is down.
const RETRY_CAP: Duration = Duration::from_secs(2);
const REMINDER: Duration = Duration::from_secs(30);

/// A batch that is being written.
pub(super) struct HandOver {
    done: Receiver<Result<(), SinkError>>,
    task: AbortHandle,
    offsets: Offsets,
    started: Instant,
}

/// How it stands.
pub(super) enum Progress {
    UnderWay(HandOver),
    /// These offsets may be committed.
    Durable(Offsets),
    /// The sink refused a record for good.
    Refused(SinkError),
}

impl HandOver {
    /// Starts writing.
    pub(super) fn start<S: Sink>(
        runtime: &Handle,
        sink: &Arc<S>,
        metrics: &Metrics,
        batch: Vec<BillRecord>,
        offsets: Offsets,
    ) -> Self {
        let (sender, done) = sync_channel(1);
        let (sink, metrics) = (Arc::clone(sink), metrics.clone());
        let task = runtime.spawn(async move {
            // the receiver is gone only when nobody wants to know any more
            let _ = sender.send(write(sink.as_ref(), &metrics, batch).await);
        });
        Self { done, task: task.abort_handle(), offsets, started: Instant::now() }
    }

    /// Waits up to `timeout` for the end.
    pub(super) fn wait(self, timeout: Duration) -> Progress {
        match self.done.recv_timeout(timeout) {
            Ok(Ok(())) => Progress::Durable(self.offsets),
            Ok(Err(refused)) => Progress::Refused(refused),
            Err(RecvTimeoutError::Timeout) => Progress::UnderWay(self),
            // the task ended without a word: it panicked; what is durable is not known, so nothing is committed
            Err(RecvTimeoutError::Disconnected) => Progress::Refused(SinkError::Transient {
                left: Vec::new(),
                cause: "the write task ended without a result".to_owned(),
            }),
        }
    }

    /// How long it has taken so far.
    pub(super) fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// Leaves these partitions out of the offsets that its end sets free.
    pub(super) fn forget(&mut self, partitions: &[i32]) {
        self.offsets.retain(|partition, _| !partitions.contains(partition));
    }

    /// Gives up. What was written already is harmless: the next reader of these offsets writes it again under the gate.
    pub(super) fn abandon(self) {
        self.task.abort();
    }
}

async fn write<S: Sink>(sink: &S, metrics: &Metrics, mut batch: Vec<BillRecord>) -> Result<(), SinkError> {
    let group = sink.group();
    let mut delays = service_kit::retry::unbounded(RETRY_CAP).build();
    let mut failures = 0_u64;
    let mut reminded: Option<Instant> = None;
    metrics.batch.with_label_values(&[group]).observe(batch.len() as f64);
    while !batch.is_empty() {
        let timer = metrics.write_seconds.with_label_values(&[group]).start_timer();
        let written = sink.write(&batch).await;
        timer.observe_duration();
        let (left, cause) = match written {
            Ok(()) => break,
            Err(SinkError::Transient { left, cause }) => (left, cause),
            Err(definite) => return Err(definite),
        };
        failures += 1;
        metrics.retries.with_label_values(&[group]).inc();
        if reminded.is_none_or(|at| at.elapsed() >= REMINDER) {
            tracing::warn!(group, failures, left = left.len(), cause, "write failed, trying again");
            reminded = Some(Instant::now());
        }
        if left.len() < batch.len() {
            let mut index = 0;
            batch.retain(|_| {
                index += 1;
                left.binary_search(&(index - 1)).is_ok()
            });
        }
        tokio::time::sleep(delays.next().unwrap_or(RETRY_CAP)).await;
    }
    if failures > 0 {
        tracing::info!(group, failures, "write succeeded again");
    }
    Ok(())
}
