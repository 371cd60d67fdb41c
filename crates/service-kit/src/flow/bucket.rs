//! One token bucket, on `leaky-bucket`, which counts refills in whole intervals of at least a millisecond.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use leaky_bucket::RateLimiter;

use super::Rate;

impl Rate {
    pub(super) fn at_least_one(self) -> Rate {
        Rate { per_second: self.per_second.max(1), burst: self.burst.max(1) }
    }

    /// The time in which an empty bucket fills.
    pub(super) fn time_to_fill(self) -> Duration {
        self.time_for(self.burst.max(1))
    }

    /// The time in which `tokens` come.
    pub(super) fn time_for(self, tokens: u32) -> Duration {
        Duration::from_secs(tokens.into()) / self.per_second.max(1)
    }
}

#[derive(Debug)]
pub(super) struct Bucket {
    rate: Rate,
    // one caller at a time: a failing `try_acquire` of leaky-bucket 1.1.2 that races with another can overwrite its state for good,
    // and the bucket then never grants again
    limiter: Mutex<RateLimiter>,
}

impl Bucket {
    pub(super) fn new(rate: Rate) -> Bucket {
        let rate = rate.at_least_one();
        let (refill, interval) = step(rate.per_second);
        let burst = rate.burst as usize;
        let limiter = RateLimiter::builder()
            .initial(burst)
            .max(burst)
            .refill(refill as usize)
            .interval(interval)
            .fair(false)
            .build();
        Bucket { rate, limiter: Mutex::new(limiter) }
    }

    /// Takes a token if there is one.
    pub(super) fn take(&self) -> bool {
        self.limiter().try_acquire(1)
    }

    /// Tokens left now.
    pub(super) fn remaining(&self) -> u32 {
        // more than the bucket ever holds: never granted, but it makes the limiter count the refill that is due
        let limiter = self.limiter();
        let _ = limiter.try_acquire(self.rate.burst as usize + 1);
        u32::try_from(limiter.balance()).unwrap_or(u32::MAX)
    }

    fn limiter(&self) -> MutexGuard<'_, RateLimiter> {
        self.limiter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The longest wait until the next token.
    pub(super) fn wait(&self) -> Duration {
        step(self.rate.per_second).1
    }
}

/// Tokens per step and the step's length: exactly `per_second`, in steps as short as whole milliseconds allow.
fn step(per_second: u32) -> (u32, Duration) {
    let common = greatest_common_divisor(per_second, 1000);
    (per_second / common, Duration::from_millis((1000 / common).into()))
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_exact_and_never_shorter_than_a_millisecond() {
        for per_second in [1, 2, 3, 7, 10, 99, 100, 150, 999, 1000, 1500, 10_000, 123_457] {
            let (refill, interval) = step(per_second);
            assert!(interval >= Duration::from_millis(1), "{per_second}");
            assert_eq!(
                u128::from(refill) * 1000,
                u128::from(per_second) * interval.as_millis(),
                "{per_second}"
            );
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn a_bucket_that_many_ask_at_once_still_grants_afterwards() {
        for _ in 0..200 {
            let bucket = std::sync::Arc::new(Bucket::new(Rate { per_second: 1_000_000, burst: 1_000_000 }));
            let askers = (0..4).map(|_| {
                let bucket = bucket.clone();
                tokio::task::spawn_blocking(move || {
                    let _runtime = tokio::runtime::Handle::current().enter();
                    (0..200).filter(|_| bucket.take() && bucket.remaining() > 0).count()
                })
            });
            for asked in askers.collect::<Vec<_>>() {
                assert_eq!(asked.await.unwrap(), 200);
            }
            assert!(bucket.take());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn refills_at_its_rate_and_never_above_its_burst() {
        let bucket = Bucket::new(Rate { per_second: 100, burst: 20 });
        assert_eq!((0..50).filter(|_| bucket.take()).count(), 20);
        tokio::time::advance(Duration::from_millis(105)).await;
        let after_a_tenth = bucket.remaining();
        assert!((10..=11).contains(&after_a_tenth), "{after_a_tenth}");
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!(bucket.remaining(), 20);
    }
}
