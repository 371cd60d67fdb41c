//! The write under way: a task on the runtime that tries until its batch is durable.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, sync_channel},
    },
    time::{Duration, Instant},
};

use backon::BackoffBuilder as _;
use change_event::{barrier::Barrier, progress::Mark};
use tokio::{runtime::Handle, task::AbortHandle};

use crate::{
    metrics::Metrics,
    quarantine::Outbox,
    sink::{Sink, SinkError},
};

use super::fold::{Batch, Offsets};

/// Longest pause between two tries on a sink that is down.
const RETRY_CAP: Duration = Duration::from_secs(2);
const REMINDER: Duration = Duration::from_secs(30);

/// A batch that is being written.
pub(super) struct HandOver {
    /// Marks that the sink did not take.
    done: Receiver<Vec<(i32, Mark)>>,
    task: AbortHandle,
    offsets: Offsets,
    started: Instant,
}

/// How it stands.
pub(super) enum Progress {
    UnderWay(HandOver),
    /// These offsets may be committed; these marks were not stored.
    Durable(Offsets, Vec<(i32, Mark)>),
    /// The task ended without a word: it panicked, and what is durable is not known.
    Died,
}

impl HandOver {
    /// Starts writing.
    pub(super) fn start<S: Sink>(
        runtime: &Handle,
        sink: &Arc<S>,
        outbox: &Outbox,
        metrics: &Metrics,
        topic: &str,
        mut batch: Batch,
    ) -> Self {
        let (sender, done) = sync_channel(1);
        let (sink, outbox, metrics) = (Arc::clone(sink), outbox.clone(), metrics.clone());
        let (offsets, marks) = (std::mem::take(&mut batch.offsets), std::mem::take(&mut batch.marks));
        let barriers = std::mem::take(&mut batch.barriers);
        let topic = topic.to_owned();
        let task = runtime.spawn(async move {
            if !batch.records.is_empty() {
                write(sink.as_ref(), &outbox, &metrics, batch).await;
            }
            for barrier in &barriers {
                end_older(sink.as_ref(), &metrics, barrier).await;
                for key in outbox.ended_by(barrier) {
                    outbox.heal(key).await;
                }
            }
            let mut unmarked = Vec::new();
            if !marks.is_empty()
                && let Err(cause) = sink.mark(&topic, &marks).await
            {
                metrics.retries.with_label_values(&[sink.group()]).inc();
                tracing::debug!(group = sink.group(), cause, "progress is not stored, trying again");
                unmarked = marks;
            }
            // the receiver is gone only when nobody wants to know any more
            let _ = sender.send(unmarked);
        });
        Self { done, task: task.abort_handle(), offsets, started: Instant::now() }
    }

    /// Waits up to `timeout` for the end.
    pub(super) fn wait(self, timeout: Duration) -> Progress {
        match self.done.recv_timeout(timeout) {
            Ok(unmarked) => Progress::Durable(self.offsets, unmarked),
            Err(RecvTimeoutError::Timeout) => Progress::UnderWay(self),
            Err(RecvTimeoutError::Disconnected) => Progress::Died,
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

/// Returns once every record is durable, or set aside where its bytes are durable.
async fn write<S: Sink>(sink: &S, outbox: &Outbox, metrics: &Metrics, mut batch: Batch) {
    let group = sink.group();
    let mut delays = service_kit::retry::unbounded(RETRY_CAP).build();
    let mut failures = 0_u64;
    let mut reminded: Option<Instant> = None;
    metrics.batch.with_label_values(&[group]).observe(batch.records.len() as f64);
    let mut healed = outbox.healed_by(&batch.records);
    while !batch.records.is_empty() {
        let timer = metrics.write_seconds.with_label_values(&[group]).start_timer();
        let written = sink.write(&batch.records).await;
        timer.observe_duration();
        let (left, cause) = match written {
            Ok(()) => break,
            Err(SinkError::Transient { left, cause }) => (left, cause),
            Err(SinkError::Definite { refused, left }) => {
                for (item, cause) in refused {
                    if let (Some(record), Some(place)) = (batch.records.get(item), batch.places.get(item)) {
                        let key = outbox.set_aside(record, *place, &cause).await;
                        healed.retain(|healed| *healed != key);
                    }
                }
                batch.keep(&left);
                continue;
            }
        };
        failures += 1;
        metrics.retries.with_label_values(&[group]).inc();
        if reminded.is_none_or(|at| at.elapsed() >= REMINDER) {
            tracing::warn!(group, failures, left = left.len(), cause, "write failed, trying again");
            reminded = Some(Instant::now());
        }
        if left.len() < batch.records.len() {
            batch.keep(&left);
        }
        tokio::time::sleep(delays.next().unwrap_or(RETRY_CAP)).await;
    }
    for key in healed {
        outbox.heal(key).await;
    }
    if failures > 0 {
        tracing::info!(group, failures, "write succeeded again");
    }
}

/// Returns once every older bill of the barrier's is ended.
async fn end_older<S: Sink>(sink: &S, metrics: &Metrics, barrier: &Barrier) {
    let group = sink.group();
    let mut delays = service_kit::retry::unbounded(RETRY_CAP).build();
    let started = Instant::now();
    let mut reminded: Option<Instant> = None;
    let ended = loop {
        match sink.end_older(barrier).await {
            Ok(ended) => break ended,
            Err(cause) => {
                metrics.retries.with_label_values(&[group]).inc();
                if reminded.is_none_or(|at| at.elapsed() >= REMINDER) {
                    tracing::warn!(group, cause, pipelines = ?barrier.pipelines, "cannot end the bills of an emptied table, trying again");
                    reminded = Some(Instant::now());
                }
                tokio::time::sleep(delays.next().unwrap_or(RETRY_CAP)).await;
            }
        }
    };
    let took = started.elapsed();
    tracing::info!(group, pipelines = ?barrier.pipelines, version = %barrier.version, ended, ?took, "an emptied table's bills are ended");
}
