//! Rows to bills: pure, no clock, no I/O. The router and `replay` both use it, so there is one definition of a bill.
//!
//! ```text
//!  before ──► bills, one per side whose `when` holds ─┐  in before, not in after: delete
//!  after  ──► bills ──────────────────────────────────┘  all of after: upsert      (deletes first)
//!                 └─ a side that cannot become a bill: a Refusal with its reason
//! ```

mod reason;
mod shape;
mod sides;
pub mod validate;
mod value;

use change_event::{
    Row, Timestamp,
    envelope::Change,
    stage2::{Bill, BillOp, BillRecord, BillSource},
};
use pipeline_config::{Name, Pipeline};

pub use reason::{Reason, Refusal};
pub use shape::{Column, TableShape, TableShapes, TimeUnit};

/// The pipelines of a configuration, with the shapes of their tables.
#[derive(Clone, Debug)]
pub struct Mapper {
    pipelines: Vec<(Pipeline, TableShape)>,
}

/// What one change becomes.
#[derive(Debug, Default, PartialEq)]
pub struct Mapped {
    /// Deletes, then upserts.
    pub records: Vec<BillRecord>,
    /// Sides that should have become a bill and could not.
    pub refused: Vec<Refusal>,
}

impl Mapper {
    /// `shapes` holds every pipeline's table (see [`validate::live_shapes`]); a pipeline without one is left out.
    pub fn new(pipelines: &[Pipeline], shapes: &TableShapes) -> Self {
        let with_shape = |pipeline: &Pipeline| {
            let shape = shapes.get(&(pipeline.source.clone(), pipeline.table.clone()))?;
            Some((pipeline.clone(), shape.clone()))
        };
        Self { pipelines: pipelines.iter().filter_map(with_shape).collect() }
    }

    /// The bills that a change ends, then those that it makes. A change of a table without a pipeline makes none.
    pub fn map(&self, change: &Change<'_>) -> Mapped {
        let mut mapped = Mapped::default();
        let mut upserts = Vec::new();
        for (pipeline, shape) in self.pipelines.iter().filter(|(pipeline, _)| is_of_table(pipeline, change)) {
            // an unmappable `before` alone refuses nothing: what it made, if anything, was refused in its own time
            let (before, _) =
                change.before.as_ref().map(|row| sides::bills(pipeline, shape, row)).unwrap_or_default();
            let (after, refused) =
                change.after.as_ref().map(|row| sides::bills(pipeline, shape, row)).unwrap_or_default();
            let stays = |bill: &Bill| {
                let made = after.iter().any(|b| b.account_id == bill.account_id && b.bill_id == bill.bill_id);
                // refused under the same account: the old state stays until a later image heals it
                let held = refused.iter().any(|r| r.account == Some(bill.account_id) && *r.side == bill.side);
                made || held
            };
            let ended = before.into_iter().filter(|bill| !stays(bill));
            mapped.records.extend(ended.map(|bill| record(BillOp::Delete, bill, change)));
            upserts.extend(after.into_iter().map(|bill| record(BillOp::Upsert, bill, change)));
            mapped.refused.extend(refused);
        }
        mapped.records.append(&mut upserts);
        mapped
    }

    /// The pipelines that read this table.
    pub fn of_table(&self, source: &str, database: &str, table: &str) -> Vec<String> {
        let reads = |pipeline: &&Pipeline| {
            *pipeline.source == *source
                && pipeline.table.database() == database
                && pipeline.table.table() == table
        };
        self.pipelines
            .iter()
            .map(|(pipeline, _)| pipeline)
            .filter(reads)
            .map(|pipeline| pipeline.name.to_string())
            .collect()
    }

    /// Whether this pipeline reads the change's table.
    pub fn reads(&self, pipeline: &str, change: &Change<'_>) -> bool {
        self.pipelines.iter().any(|(known, _)| *known.name == *pipeline && is_of_table(known, change))
    }

    /// The bills that a row makes in one pipeline, and the sides that cannot become one.
    pub fn bills(&self, pipeline: &Name, row: &Row<'_>) -> (Vec<Bill>, Vec<Refusal>) {
        let found = self.pipelines.iter().find(|(p, _)| p.name == *pipeline);
        found.map(|(pipeline, shape)| sides::bills(pipeline, shape, row)).unwrap_or_default()
    }
}

fn is_of_table(pipeline: &Pipeline, change: &Change<'_>) -> bool {
    *pipeline.source == *change.source.name
        && pipeline.table.database() == change.source.db
        && pipeline.table.table() == change.source.table
}

fn record(op: BillOp, bill: Bill, change: &Change<'_>) -> BillRecord {
    let source = BillSource {
        name: change.source.name.to_string(),
        db: change.source.db.to_string(),
        table: change.source.table.to_string(),
        gtid: change.source.gtid.as_deref().map(str::to_owned),
        ts_ms: change.source.ts_ms,
    };
    // a commit time that no calendar holds says nothing: the bill's own time stands in
    let committed_at = change
        .source
        .ts_ms
        .checked_mul(1000)
        .and_then(|us| Timestamp::from_micros(us).ok())
        .unwrap_or(bill.posted_at);
    BillRecord { op, version: change.source.seq, bill, source, committed_at }
}

#[cfg(test)]
mod tests;
