//! The pause between two Kafka transactions.
//!
//! The broker answers the end of a transaction before its markers are written. Until they are, it refuses the next transaction's first
//! request, and librdkafka asks again only after 20 ms (`CONCURRENT_TRANSACTIONS` in its `rdkafka_txnmgr.c`). A pause of a few milliseconds
//! costs less; how many, the broker's own speed tells.

use std::time::{Duration, Instant};

/// A first guess.
const FIRST: Duration = Duration::from_millis(2);
/// Longer would not be worth it.
const LONGEST: Duration = Duration::from_millis(10);
/// By how much the pause grows when it was too short.
const GROW: Duration = Duration::from_micros(800);
/// By how much it shrinks when it was long enough: far less, since a pause that is too short costs the client's whole wait.
const SHRINK: Duration = Duration::from_micros(20);
/// What the client waits when a transaction comes too early.
const REFUSED: Duration = Duration::from_millis(20);
/// Larger transactions take long for other reasons.
const SMALL: u64 = 100;

/// Learns how long to wait.
#[derive(Debug)]
pub(super) struct Pause {
    length: Duration,
    /// When the last transaction was.
    committed: Option<Instant>,
    /// Whether the open transaction began within the longest pause after that: only such a one can come too early.
    soon_after: bool,
}

impl Default for Pause {
    fn default() -> Self {
        Self { length: FIRST, committed: None, soon_after: false }
    }
}

impl Pause {
    /// Waits until the next transaction may begin.
    pub(super) fn wait(&mut self) {
        let Some(since) = self.committed.map(|at| at.elapsed()) else { return };
        self.soon_after = since < LONGEST;
        if let Some(left) = self.length.checked_sub(since) {
            std::thread::sleep(left);
        }
    }

    /// A transaction of so many `changes` was committed, and acknowledged so long after it began.
    pub(super) fn committed(&mut self, changes: u64, took: Duration) {
        self.committed = Some(Instant::now());
        if !self.soon_after || changes > SMALL {
            return;
        }
        self.length = if took >= REFUSED {
            (self.length + GROW).min(LONGEST)
        } else {
            self.length.saturating_sub(SHRINK)
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_while_transactions_come_too_early_and_shrinks_slowly_when_they_do_not() {
        let mut pause = Pause { soon_after: true, ..Pause::default() };
        for _ in 0..100 {
            pause.committed(1, Duration::from_millis(25));
        }
        assert_eq!(pause.length, LONGEST);
        pause.committed(1, Duration::from_millis(3));
        assert!(pause.length < LONGEST && pause.length > LONGEST - GROW);
        for _ in 0..10_000 {
            pause.committed(1, Duration::from_millis(3));
        }
        assert_eq!(pause.length, Duration::ZERO);
    }

    #[test]
    fn large_transactions_and_those_after_a_silence_teach_nothing() {
        let mut pause = Pause::default();
        pause.committed(1, Duration::from_millis(25));
        pause.soon_after = true;
        pause.committed(20_000, Duration::from_millis(25));
        assert_eq!(pause.length, FIRST);
    }
}
