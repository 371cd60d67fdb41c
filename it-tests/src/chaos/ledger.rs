//! What the writers committed, by GTID, and what stage 1 shows of each transaction.

use super::statement::Captured;
use change_event::envelope::Op;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

/// Changes of one transaction, by table and op.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally([[u32; 4]; 2]);

impl Tally {
    pub(super) fn add(&mut self, table: Captured, op: Op, count: u32) {
        let op = match op {
            Op::Create => 0,
            Op::Update => 1,
            Op::Delete => 2,
            Op::Truncate => 3,
            Op::Read => return,
        };
        if let Some(place) = self.0.get_mut(table as usize).and_then(|ops| ops.get_mut(op)) {
            *place += count;
        }
    }

    /// All changes.
    pub(super) fn total(&self) -> u64 {
        self.0.iter().flatten().map(|count| u64::from(*count)).sum()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (table, ops) in Captured::ALL.iter().zip(self.0) {
            for (op, count) in ["c", "u", "d", "t"].iter().zip(ops).filter(|(_, count)| *count > 0) {
                write!(f, "{} {op} {count}, ", table.name())?;
            }
        }
        write!(f, "{} in all", self.total())
    }
}

/// Every committed transaction with changes of captured tables, by its GTID's number.
#[derive(Debug, Default)]
pub(super) struct Ledger(Mutex<BTreeMap<u64, Tally>>);

impl Ledger {
    /// Notes a transaction; one without captured changes leaves no trace in stage 1.
    pub(super) fn note(&self, number: u64, tally: Tally) {
        if tally.total() > 0 {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(number, tally);
        }
    }

    /// Transactions and changes so far, from this number on.
    pub(super) fn sums(&self, first: u64) -> (u64, u64) {
        let ledger = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let counted = ledger.range(first..).map(|(_, tally)| tally.total());
        counted.fold((0, 0), |(transactions, changes), total| (transactions + 1, changes + total))
    }

    /// As it is now.
    pub(super) fn all(&self) -> BTreeMap<u64, Tally> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The number of a MariaDB GTID, `7` of `0-1-7`.
pub(super) fn number(gtid: &str) -> Option<u64> {
    gtid.rsplit('-').next()?.parse().ok()
}
