//! How old changes were when they were published, over the last minute: quantiles that need no sorting and no growing memory.

use std::time::{Duration, Instant};

/// Seconds that are looked back at.
const SECONDS: usize = 60;
/// Steps within each doubling: a quantile is told to an eighth.
const STEPS: u32 = 8;
/// Enough for 2^32 ms.
const BUCKETS: usize = 256;

/// Counts of ages in milliseconds, a ring of one-second slots.
#[derive(Debug, Clone)]
pub(crate) struct RecentAges {
    slots: Vec<[u32; BUCKETS]>,
    started: Instant,
    /// The second, since the start, that the newest slot stands for.
    newest: u64,
}

fn bucket(ms: u64) -> usize {
    let steps = u64::from(STEPS);
    if ms < steps {
        return ms as usize;
    }
    let doubling = 63 - ms.leading_zeros();
    let step = (ms >> (doubling - STEPS.ilog2())) - steps;
    (((doubling - STEPS.ilog2() + 1) * STEPS) as usize + step as usize).min(BUCKETS - 1)
}

/// The largest age of the bucket.
fn bound(bucket: usize) -> u64 {
    let (doubling, step) = (bucket as u64 / u64::from(STEPS), bucket as u64 % u64::from(STEPS));
    if doubling == 0 { step } else { ((u64::from(STEPS) + step + 1) << (doubling - 1)) - 1 }
}

impl RecentAges {
    /// Without any age yet.
    pub(crate) fn new() -> Self {
        Self { slots: vec![[0; BUCKETS]; SECONDS], started: Instant::now(), newest: 0 }
    }

    /// Adds an age.
    pub(crate) fn add(&mut self, age: Duration) {
        self.turn(self.started.elapsed().as_secs());
        let slot = self.newest as usize % SECONDS;
        if let Some(count) =
            self.slots.get_mut(slot).and_then(|slot| slot.get_mut(bucket(age.as_millis() as u64)))
        {
            *count = count.saturating_add(1);
        }
    }

    /// Forgets what is older than a minute.
    fn turn(&mut self, second: u64) {
        while self.newest < second {
            // after a long silence every slot is empty after one round
            self.newest = (self.newest + 1).max(second.saturating_sub(SECONDS as u64));
            let slot = self.newest as usize % SECONDS;
            if let Some(slot) = self.slots.get_mut(slot) {
                *slot = [0; BUCKETS];
            }
        }
    }

    /// These quantiles (0 to 1, rising) of the last minute in milliseconds, rounded up to an eighth; `None` where nothing was published.
    pub(crate) fn quantiles<const N: usize>(&mut self, wanted: [f64; N]) -> Option<[u64; N]> {
        self.turn(self.started.elapsed().as_secs());
        let mut counts = [0_u64; BUCKETS];
        for slot in &self.slots {
            for (sum, count) in counts.iter_mut().zip(slot) {
                *sum += u64::from(*count);
            }
        }
        let all: u64 = counts.iter().sum();
        if all == 0 {
            return None;
        }
        Some(wanted.map(|quantile| {
            let rank = ((all as f64 * quantile).ceil() as u64).clamp(1, all);
            let mut passed = 0;
            let reached = counts.iter().position(|count| {
                passed += count;
                passed >= rank
            });
            bound(reached.unwrap_or(BUCKETS - 1))
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_bucket_holds_its_ages_to_an_eighth(ms in 0_u64..1 << 32) {
            let top = bound(bucket(ms));
            prop_assert!(top >= ms && top - ms <= ms / 8, "{ms} in a bucket up to {top}");
        }
    }

    #[test]
    fn quantiles_are_of_the_last_minute_alone() {
        let mut ages = RecentAges::new();
        assert_eq!(ages.quantiles([0.5]), None);
        for ms in 1..=100 {
            ages.add(Duration::from_millis(ms));
        }
        let [half, most, nearly_all] = ages.quantiles([0.5, 0.95, 0.99]).unwrap();
        assert!((50..=56).contains(&half) && (95..=107).contains(&most) && (99..=112).contains(&nearly_all));
        ages.add(Duration::from_secs(u64::MAX / 1_000));
        ages.started -= Duration::from_secs(30);
        assert!(ages.quantiles([0.5]).is_some());
        ages.started -= Duration::from_secs(40);
        assert_eq!(ages.quantiles([0.5]), None);
        ages.started -= Duration::from_secs(100_000_000);
        ages.add(Duration::from_millis(3));
        assert_eq!(ages.quantiles([0.5, 0.99]), Some([3, 3]));
    }
}
