//! What databus counts, per source.

use crate::{
    live::Live,
    publish::PublishError,
    session::SessionError,
    snapshot::{SnapshotMetrics, SourceSnapshotMetrics},
    source::{LostPosition, TransportError, file_number},
    stream::{Counts, StreamError},
};
use change_event::{Timestamp, checkpoint::Checkpoint};
use prometheus::{
    GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry,
};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// All metrics; one registration for all sources.
#[derive(Debug, Clone)]
pub struct Metrics {
    rows: IntCounterVec,
    file_rows: IntGaugeVec,
    marks: IntCounterVec,
    prepared_xa: IntGaugeVec,
    statements: IntCounterVec,
    transactions: IntCounterVec,
    commits: HistogramVec,
    seq: IntGaugeVec,
    file: IntGaugeVec,
    pos: IntGaugeVec,
    lag: IntGaugeVec,
    restarts: IntCounterVec,
    snapshots: SnapshotMetrics,
    changes: IntCounterVec,
    ages: HistogramVec,
    age_quantiles: IntGaugeVec,
    lag_bytes: IntGaugeVec,
    time_to_purge: GaugeVec,
    lost: IntGaugeVec,
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
                Opts::new(
                    "databus_rows_total",
                    "rows of captured tables: seen = published + repeated + undone (G1)",
                ),
                &["source", "outcome"],
            )?,
            file_rows: IntGaugeVec::new(
                Opts::new(
                    "databus_binlog_file_rows",
                    "rows of captured tables in the binlog file that is read now, since it or this process began: seen = published + repeated + undone (G1)",
                ),
                &["source", "outcome"],
            )?,
            marks: IntCounterVec::new(
                Opts::new(
                    "databus_marks_total",
                    "captured tables that were emptied, or that need a snapshot, by a statement",
                ),
                &["source", "mark"],
            )?,
            statements: counter(
                "databus_statements_elsewhere_total",
                "changes in statement format in databases without captured tables: lost if a view, trigger or routine there writes to one",
            )?,
            prepared_xa: gauge("databus_xa_prepared", "XA transactions that are prepared and undecided")?,
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
            restarts: IntCounterVec::new(
                Opts::new("databus_stream_restarts_total", "times the stream went back to its checkpoint, by what broke"),
                &["source", "reason"],
            )?,
            changes: IntCounterVec::new(
                Opts::new("databus_changes_total", "changes published, by captured table and op (c, u, d)"),
                &["source", "table", "op"],
            )?,
            ages: HistogramVec::new(
                HistogramOpts::new(
                    "databus_publish_age_seconds",
                    "from the source's commit to the kafka commit, by transaction; up to 1 s too small where the source tells whole seconds",
                )
                .buckets(vec![0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0]),
                &by_source,
            )?,
            age_quantiles: IntGaugeVec::new(
                Opts::new(
                    "databus_publish_age_milliseconds",
                    "quantiles of databus_publish_age_seconds over the last minute; absent where nothing was published",
                ),
                &["source", "quantile"],
            )?,
            lag_bytes: gauge("databus_lag_bytes", "bytes of binlog from the checkpoint to the source's end, over all files")?,
            time_to_purge: GaugeVec::new(
                Opts::new(
                    "databus_time_to_purge_seconds",
                    "until the source removes the oldest binlog file that is still needed; +Inf: it never does; absent: not known",
                ),
                &by_source,
            )?,
            lost: IntGaugeVec::new(
                Opts::new("databus_lost_position", "1 where the source has stopped because its position is lost, by the way it is lost"),
                &["source", "reason"],
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
        registry.register(Box::new(metrics.file_rows.clone()))?;
        registry.register(Box::new(metrics.marks.clone()))?;
        registry.register(Box::new(metrics.statements.clone()))?;
        registry.register(Box::new(metrics.prepared_xa.clone()))?;
        registry.register(Box::new(metrics.transactions.clone()))?;
        registry.register(Box::new(metrics.commits.clone()))?;
        for counter in [&metrics.restarts, &metrics.changes] {
            registry.register(Box::new(counter.clone()))?;
        }
        registry.register(Box::new(metrics.ages.clone()))?;
        registry.register(Box::new(metrics.time_to_purge.clone()))?;
        for gauge in [&metrics.age_quantiles, &metrics.lag_bytes, &metrics.lost] {
            registry.register(Box::new(gauge.clone()))?;
        }
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
            undone: self.rows.with_label_values(&[source, "undone"]),
            file_rows: ["seen", "published", "repeated", "undone"]
                .map(|outcome| self.file_rows.with_label_values(&[source, outcome])),
            truncates: self.marks.with_label_values(&[source, "truncate"]),
            snapshots_needed: self.marks.with_label_values(&[source, "snapshot-needed"]),
            statements_elsewhere: self.statements.with_label_values(&by),
            prepared_xa: self.prepared_xa.with_label_values(&by),
            transactions: self.transactions.with_label_values(&by),
            commits: self.commits.with_label_values(&by),
            seq: self.seq.with_label_values(&by),
            file: self.file.with_label_values(&by),
            pos: self.pos.with_label_values(&by),
            lag: self.lag.with_label_values(&by),
            snapshots: self.snapshots.of(source),
            ages: self.ages.with_label_values(&by),
            source: source.to_owned(),
            all: self.clone(),
            live: Live::new(),
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
    undone: IntCounter,
    file_rows: [IntGauge; 4],
    truncates: IntCounter,
    snapshots_needed: IntCounter,
    prepared_xa: IntGauge,
    statements_elsewhere: IntCounter,
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
    /// What snapshots count.
    pub(crate) snapshots: SourceSnapshotMetrics,
    ages: Histogram,
    source: String,
    all: Metrics,
    /// What the status page shows.
    pub(crate) live: Live,
}

impl SourceMetrics {
    /// Reading goes on here, or a checkpoint is durable.
    pub(crate) fn at(&self, checkpoint: &Checkpoint) {
        self.seq.set(checkpoint.seq.get());
        let file = file_number(&checkpoint.position.file).and_then(|number| i64::try_from(number).ok());
        self.file.set(file.unwrap_or(0));
        self.pos.set(i64::try_from(checkpoint.position.pos).unwrap_or(i64::MAX));
        self.live.committed(checkpoint);
    }

    /// Transactions that the source committed at these times, in Unix milliseconds, are published now.
    pub(crate) fn published(&self, committed_at: &[i64]) {
        let now = unix_ms();
        for at in committed_at {
            let age = Duration::from_millis(u64::try_from(now - at).unwrap_or(0));
            self.ages.observe(age.as_secs_f64());
            self.live.published(age);
        }
    }

    /// Changes of a table that are durable now.
    pub(crate) fn changes(&self, table: &str, op: &str, count: u64) {
        self.all.changes.with_label_values(&[self.source.as_str(), table, op]).inc_by(count);
    }

    /// The stream went back to its checkpoint.
    pub(crate) fn restarted(&self, error: &SessionError) {
        self.all.restarts.with_label_values(&[self.source.as_str(), restart_reason(error)]).inc();
    }

    /// The source has stopped: its position is lost.
    pub(crate) fn lost(&self, lost: &LostPosition) {
        self.all.lost.with_label_values(&[self.source.as_str(), lost.label()]).set(1);
    }

    /// Brings the gauges to what is known now; what is not known shows as nothing.
    pub(crate) fn show_live(&self) {
        let by = [self.source.as_str()];
        let ages = self.live.ages();
        for (at, quantile) in ["0.5", "0.95", "0.99"].into_iter().enumerate() {
            let labels = [self.source.as_str(), quantile];
            match ages.and_then(|ages| ages.get(at).copied()) {
                Some(ms) => self
                    .all
                    .age_quantiles
                    .with_label_values(&labels)
                    .set(i64::try_from(ms).unwrap_or(i64::MAX)),
                // an error only says that it was not there
                None => drop(self.all.age_quantiles.remove_label_values(&labels)),
            }
        }
        let seen = self.live.seen();
        match seen.as_ref().and_then(|seen| seen.lag_bytes) {
            Some(bytes) => {
                self.all.lag_bytes.with_label_values(&by).set(i64::try_from(bytes).unwrap_or(i64::MAX))
            }
            None => drop(self.all.lag_bytes.remove_label_values(&by)),
        }
        match seen.and_then(|seen| seen.seconds_to_purge_now()) {
            Some(seconds) => self.all.time_to_purge.with_label_values(&by).set(seconds),
            None => drop(self.all.time_to_purge.remove_label_values(&by)),
        }
    }

    /// Rows published, transactions and Kafka commits so far.
    pub(crate) fn totals(&self) -> (u64, u64, u64) {
        (self.published.get(), self.transactions.get(), self.commits.get_sample_count())
    }

    /// Tells how old what is published is by now. A source that cannot be reached ages too.
    pub fn observe_lag(&self, as_of: Option<Timestamp>) {
        if let Some(as_of) = as_of {
            self.lag.set((unix_ms() - as_of.micros() / 1_000).max(0));
        }
    }

    /// Adds what was counted since the last time.
    pub fn add(&self, counted: Counts) {
        self.seen.inc_by(counted.seen);
        self.published.inc_by(counted.published);
        self.repeated.inc_by(counted.repeated);
        self.undone.inc_by(counted.undone);
        self.transactions.inc_by(counted.transactions);
        self.truncates.inc_by(counted.truncates);
        self.snapshots_needed.inc_by(counted.snapshots_needed);
        self.statements_elsewhere.inc_by(counted.statements_elsewhere);
    }

    /// Tells what was counted in the current file, and how many XA transactions wait for their decision.
    pub fn observe_file(&self, counts: Counts, prepared_xa: usize) {
        let outcomes = [counts.seen, counts.published, counts.repeated, counts.undone];
        for (gauge, rows) in self.file_rows.iter().zip(outcomes) {
            gauge.set(i64::try_from(rows).unwrap_or(i64::MAX));
        }
        self.prepared_xa.set(i64::try_from(prepared_xa).unwrap_or(i64::MAX));
    }
}

fn unix_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

/// The `reason` label of `databus_stream_restarts_total`.
fn restart_reason(error: &SessionError) -> &'static str {
    match error {
        SessionError::Transport(TransportError::Damaged { .. }) => "damaged_event",
        SessionError::Transport(_) | SessionError::Preflight(_) => "source_lost",
        SessionError::Publish(cause) | SessionError::Stream(StreamError::Publish(cause)) => match cause {
            PublishError::Unknown(_) => "kafka_outcome_unknown",
            _ => "kafka",
        },
        SessionError::Stream(_) => "stream",
    }
}
