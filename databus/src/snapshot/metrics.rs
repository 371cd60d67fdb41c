//! What snapshots count, per source and table.

use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};

/// All snapshot metrics; one registration for all sources.
#[derive(Debug, Clone)]
pub(crate) struct SnapshotMetrics {
    rows: IntCounterVec,
    chunks: IntCounterVec,
    remaining: IntGaugeVec,
    pending: IntGaugeVec,
}

impl SnapshotMetrics {
    /// Registers everything.
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            rows: IntCounterVec::new(
                Opts::new(
                    "databus_snapshot_rows_total",
                    "rows that snapshots read: published, or superseded by a change of the stream",
                ),
                &["source", "table", "outcome"],
            )?,
            chunks: IntCounterVec::new(
                Opts::new(
                    "databus_snapshot_chunks_total",
                    "chunks that snapshots read: done, or to be read again",
                ),
                &["source", "table", "outcome"],
            )?,
            remaining: IntGaugeVec::new(
                Opts::new(
                    "databus_snapshot_rows_remaining",
                    "rows that the snapshot of the table still has to read, by the server's estimate; 0 when none runs",
                ),
                &["source", "table"],
            )?,
            pending: IntGaugeVec::new(
                Opts::new("databus_snapshots_pending", "snapshots of tables that wait or run"),
                &["source"],
            )?,
        };
        registry.register(Box::new(metrics.rows.clone()))?;
        registry.register(Box::new(metrics.chunks.clone()))?;
        registry.register(Box::new(metrics.remaining.clone()))?;
        registry.register(Box::new(metrics.pending.clone()))?;
        Ok(metrics)
    }

    /// The metrics of one source.
    pub(crate) fn of(&self, source: &str) -> SourceSnapshotMetrics {
        SourceSnapshotMetrics { all: self.clone(), source: source.to_owned() }
    }
}

/// One source's snapshot metrics.
#[derive(Debug, Clone)]
pub(crate) struct SourceSnapshotMetrics {
    all: SnapshotMetrics,
    source: String,
}

impl SourceSnapshotMetrics {
    pub(super) fn chunk_done(&self, table: &str, published: u64, superseded: u64) {
        let rows = |outcome| self.all.rows.with_label_values(&[&self.source, table, outcome]);
        rows("published").inc_by(published);
        rows("superseded").inc_by(superseded);
        self.all.chunks.with_label_values(&[&self.source, table, "done"]).inc();
    }

    pub(super) fn chunk_again(&self, table: &str) {
        self.all.chunks.with_label_values(&[&self.source, table, "again"]).inc();
    }

    pub(super) fn remaining(&self, table: &str, rows: u64) {
        self.all
            .remaining
            .with_label_values(&[&self.source, table])
            .set(i64::try_from(rows).unwrap_or(i64::MAX));
    }

    pub(super) fn pending(&self, snapshots: usize) {
        let gauge = self.all.pending.with_label_values(&[&self.source]);
        gauge.set(i64::try_from(snapshots).unwrap_or(i64::MAX));
    }
}
