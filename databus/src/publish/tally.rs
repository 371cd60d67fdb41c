//! What the open Kafka transaction holds, by table and op: counted where it is published, told once it is durable.

use change_event::envelope::Op;

/// Ops and how the metric names them.
const OPS: [(Op, &str); 5] =
    [(Op::Create, "c"), (Op::Update, "u"), (Op::Delete, "d"), (Op::Read, "r"), (Op::Truncate, "t")];

/// Changes of the open transaction by table and op. Few tables, so a list; its names stay from one transaction to the next.
#[derive(Debug, Default)]
pub(super) struct Tally(Vec<(String, [u64; OPS.len()])>);

impl Tally {
    /// Counts changes of a table.
    pub(super) fn add(&mut self, table: &str, op: Op, changes: u64) {
        let at = self.0.iter().position(|(known, _)| known == table).unwrap_or_else(|| {
            self.0.push((table.to_owned(), [0; OPS.len()]));
            self.0.len() - 1
        });
        if let Some((_, counts)) = self.0.get_mut(at) {
            for ((known, _), count) in OPS.iter().zip(counts) {
                if *known == op {
                    *count += changes;
                }
            }
        }
    }

    /// The transaction is aborted: nothing of it counts.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }

    /// Hands out what was counted, and begins anew.
    pub(super) fn take(&mut self, each: &mut impl FnMut(&str, &str, u64)) {
        for (table, counts) in &mut self.0 {
            for ((_, op), count) in OPS.iter().zip(counts) {
                if *count > 0 {
                    each(table, op, std::mem::take(count));
                }
            }
        }
    }
}
