//! What databus counts, per source.

use crate::{
    snapshot::{SnapshotMetrics, SourceSnapshotMetrics},
    stream::Counts,
};
use change_event::Timestamp;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};
use std::time::{SystemTime, UNIX_EPOCH};

/// All metrics; one registration for all sources.
#[derive(Debug, Clone)]
pub struct Metrics {
    rows: IntCounterVec,
    transactions: IntCounterVec,
    commits: HistogramVec,
    seq: IntGaugeVec,
    file: IntGaugeVec,
    pos: IntGaugeVec,
    lag: IntGaugeVec,
    restarts: IntCounterVec,
    snapshots: SnapshotMetrics,
    role: IntGaugeVec,
    state: IntGaugeVec,
}

impl Metrics {
    /// Registers everything.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let by_source = ["source"];
        let gauge = |name: &str, help: &str| IntGaugeVec::new(Opts::new(name, help), &by_source);
        let counter = |name: &str, help: &str| IntCounterVec::new(Opts::new(name, help), &by_source);
        let metrics = Self {
            rows: IntCounterVec::new(
                Opts::new("databus_rows_total", "rows of captured tables: seen = published + repeated (G1)"),
                &["source", "outcome"],
            )?,
            transactions: counter("databus_transactions_total", "source transactions completed")?,
            commits: HistogramVec::new(
                HistogramOpts::new("databus_commit_seconds", "time of a kafka commit")
                    .buckets(vec![0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0]),
                &by_source,
            )?,
            seq: gauge("databus_seq", "version of the last published change")?,
            file: gauge("databus_binlog_file_number", "number of the binlog file that is read")?,
            pos: gauge("databus_binlog_position_bytes", "end of the last committed transaction in its file")?,
            lag: gauge("databus_lag_milliseconds", "age of what is published, by the source's own clock")?,
            restarts: counter(
                "databus_stream_restarts_total",
                "times the stream went back to its checkpoint",
            )?,
            snapshots: SnapshotMetrics::register(registry)?,
            role: gauge(
                "databus_role",
                "1 where this process reads the source, 0 where it stands by or has none",
            )?,
            state: IntGaugeVec::new(
                Opts::new("databus_source_state", "1 for the state the source is in, 0 for all others"),
                &["source", "state"],
            )?,
        };
        registry.register(Box::new(metrics.rows.clone()))?;
        registry.register(Box::new(metrics.transactions.clone()))?;
        registry.register(Box::new(metrics.commits.clone()))?;
        registry.register(Box::new(metrics.restarts.clone()))?;
        for gauge in [&metrics.seq, &metrics.file, &metrics.pos, &metrics.lag, &metrics.role, &metrics.state]
        {
            registry.register(Box::new(gauge.clone()))?;
        }
        Ok(metrics)
    }

    /// The metrics of one source.
    pub fn of(&self, source: &str) -> SourceMetrics {
        let by = [source];
        SourceMetrics {
            seen: self.rows.with_label_values(&[source, "seen"]),
            published: self.rows.with_label_values(&[source, "published"]),
            repeated: self.rows.with_label_values(&[source, "repeated"]),
            transactions: self.transactions.with_label_values(&by),
            commits: self.commits.with_label_values(&by),
            seq: self.seq.with_label_values(&by),
            file: self.file.with_label_values(&by),
            pos: self.pos.with_label_values(&by),
            lag: self.lag.with_label_values(&by),
            restarts: self.restarts.with_label_values(&by),
            snapshots: self.snapshots.of(source),
        }
    }

    /// Where a source's role and state show: the role, and one gauge for each state in the order given.
    pub(crate) fn state_of<const N: usize>(
        &self,
        source: &str,
        states: [&str; N],
    ) -> (IntGauge, [IntGauge; N]) {
        let role = self.role.with_label_values(&[source]);
        (role, states.map(|state| self.state.with_label_values(&[source, state])))
    }
}

/// One source's metrics.
#[derive(Debug, Clone)]
pub struct SourceMetrics {
    seen: IntCounter,
    published: IntCounter,
    repeated: IntCounter,
    transactions: IntCounter,
    /// Seconds of each Kafka commit.
    pub commits: Histogram,
    /// Version of the last published change.
    pub seq: IntGauge,
    /// Number of the binlog file.
    pub file: IntGauge,
    /// Place in it.
    pub pos: IntGauge,
    /// Milliseconds.
    pub lag: IntGauge,
    /// Times the stream went back to its checkpoint.
    pub restarts: IntCounter,
    /// What snapshots count.
    pub(crate) snapshots: SourceSnapshotMetrics,
}

impl SourceMetrics {
    /// Tells how old what is published is by now. A source that cannot be reached ages too.
    pub fn observe_lag(&self, as_of: Option<Timestamp>) {
        if let Some(as_of) = as_of {
            let now =
                SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64);
            self.lag.set((now - as_of.micros()).max(0) / 1_000);
        }
    }

    /// Adds what was counted since `before`.
    pub fn add(&self, before: Counts, now: Counts) {
        self.seen.inc_by(now.seen - before.seen);
        self.published.inc_by(now.published - before.published);
        self.repeated.inc_by(now.repeated - before.repeated);
        self.transactions.inc_by(now.transactions - before.transactions);
    }
}
