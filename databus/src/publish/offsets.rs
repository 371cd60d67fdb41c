//! Whether stage 1's topic is still the one that was written before, told from the offsets that records were given.

use std::{
    sync::{
        Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

/// Longer than any commit is tried.
const LONGEST_HOLD: Duration = Duration::from_secs(60);

/// Offsets of delivered records; reports of one transaction may come in any order.
#[derive(Debug, Default)]
pub(super) struct Offsets {
    /// One more than the highest so far.
    next: AtomicI64,
    /// The same when the last transaction was committed.
    committed: AtomicI64,
    began_anew: AtomicBool,
    given_up: Mutex<bool>,
    gave_up: Condvar,
}

impl Offsets {
    /// A record was given this offset; one below 0 is not known.
    ///
    /// Does not return, from the first record on that stands in a new topic, until its transaction is given up: the client ends no
    /// transaction before the report of its last record is done with, so nothing of this one becomes visible.
    pub(super) fn delivered(&self, offset: i64) {
        if (0..self.committed.load(Ordering::SeqCst)).contains(&offset) {
            self.began_anew.store(true, Ordering::SeqCst);
        }
        self.next.fetch_max(offset.saturating_add(1), Ordering::SeqCst);
        if self.began_anew() {
            let given_up = self.given_up.lock().unwrap_or_else(PoisonError::into_inner);
            drop(self.gave_up.wait_timeout_while(given_up, LONGEST_HOLD, |given_up| !*given_up));
        }
    }

    /// The open transaction is committed: all its records were reported, and whatever comes later stands behind them.
    pub(super) fn committed(&self) {
        self.committed.store(self.next.load(Ordering::SeqCst), Ordering::SeqCst);
    }

    /// Whether a record stands before one of an earlier transaction: the topic was deleted and made anew in between, and what was in it is gone.
    pub(super) fn began_anew(&self) -> bool {
        self.began_anew.load(Ordering::SeqCst)
    }

    /// Nobody will commit any more.
    pub(super) fn give_up(&self) {
        *self.given_up.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.gave_up.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(transactions: &[&[i64]]) -> Offsets {
        let offsets = Offsets::default();
        offsets.give_up();
        for transaction in transactions {
            transaction.iter().for_each(|offset| offsets.delivered(*offset));
            offsets.committed();
        }
        offsets
    }

    #[test]
    fn reports_of_one_transaction_may_come_in_any_order() {
        assert!(!of(&[&[0, 1, 2], &[6, 7, 4, 5], &[9]]).began_anew());
        // the client does not know the offset of a record that the broker had taken already
        assert!(!of(&[&[0, 1], &[3, -1001, 4]]).began_anew());
    }

    #[test]
    fn a_record_before_those_of_an_earlier_transaction_tells_of_a_new_topic() {
        assert!(of(&[&[0, 1, 2], &[0]]).began_anew());
        assert!(of(&[&[100, 101], &[103], &[7]]).began_anew());
    }

    #[test]
    fn the_report_of_a_record_in_a_new_topic_is_held_until_its_transaction_is_given_up() {
        let offsets = Offsets::default();
        offsets.delivered(5);
        offsets.committed();
        std::thread::scope(|scope| {
            let report = scope.spawn(|| offsets.delivered(0));
            while !offsets.began_anew() {
                std::thread::yield_now();
            }
            assert!(!report.is_finished());
            offsets.give_up();
        });
    }
}
