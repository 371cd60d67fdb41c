//! Backoff policies. Whether an error is worth a retry is decided where the error is known; here is only how often.

use std::fmt::Display;
use std::future::Future;
use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBuilder};

use crate::shutdown::Shutdown;

const FIRST_DELAY: Duration = Duration::from_millis(50);
/// A daemon's retry says that it goes on at most this often.
const REMINDER: Duration = Duration::from_secs(30);

/// For one request: 50 ms doubling up to 1 s, with jitter, four retries at most.
pub fn bounded() -> ExponentialBuilder {
    ExponentialBuilder::default()
        .with_min_delay(FIRST_DELAY)
        .with_max_delay(Duration::from_secs(1))
        .with_max_times(4)
        .with_jitter()
}

/// For a daemon's loop: 50 ms doubling up to `cap`, with jitter, for ever.
pub fn unbounded(cap: Duration) -> ExponentialBuilder {
    ExponentialBuilder::default()
        .with_min_delay(FIRST_DELAY)
        .with_max_delay(cap)
        .without_max_times()
        .with_jitter()
}

/// How [`until_stopped`] ended without a value.
#[derive(Debug, thiserror::Error)]
pub enum Ended<E> {
    #[error("a stop was asked for")]
    Stopped,
    #[error(transparent)]
    Definite(E),
}

/// Calls `operation` until it succeeds, fails with an error that is not transient, or a stop is asked for.
///
/// The first failure and then one every 30 s is logged as a warning under `what` ("write a batch to the store").
pub async fn until_stopped<T, E, Op, Fut>(
    what: &str,
    cap: Duration,
    shutdown: &Shutdown,
    is_transient: impl Fn(&E) -> bool,
    mut operation: Op,
) -> Result<T, Ended<E>>
where
    E: Display,
    Op: FnMut() -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    let mut delays = unbounded(cap).build();
    let mut failures = 0_u64;
    let mut reminded: Option<Instant> = None;
    loop {
        let error = match operation().await {
            Ok(value) => {
                if failures > 0 {
                    tracing::info!(what, failures, "succeeded again");
                }
                return Ok(value);
            }
            Err(error) if is_transient(&error) => error,
            Err(error) => return Err(Ended::Definite(error)),
        };
        failures += 1;
        if reminded.is_none_or(|at| at.elapsed() >= REMINDER) {
            tracing::warn!(what, failures, %error, "failed, trying again");
            reminded = Some(Instant::now());
        }
        let delay = delays.next().unwrap_or(cap);
        tokio::select! {
            () = shutdown.requested() => return Err(Ended::Stopped),
            () = tokio::time::sleep(delay) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test]
    async fn goes_on_over_transient_errors_and_stops_at_a_definite_one() {
        let calls = Cell::new(0);
        let result = until_stopped(
            "test",
            Duration::from_millis(1),
            &Shutdown::manual(),
            |e| *e == "busy",
            || {
                calls.set(calls.get() + 1);
                let outcome = match calls.get() {
                    1 | 2 => Err("busy"),
                    3 => Ok(7),
                    _ => Err("gone"),
                };
                async move { outcome }
            },
        )
        .await;
        assert!(matches!(result, Ok(7)));
        let result: Result<(), _> = until_stopped(
            "test",
            Duration::from_millis(1),
            &Shutdown::manual(),
            |e| *e == "busy",
            || async { Err("gone") },
        )
        .await;
        assert!(matches!(result, Err(Ended::Definite("gone"))));
    }

    #[tokio::test]
    async fn a_stop_ends_the_waiting() {
        let shutdown = Shutdown::manual();
        shutdown.request();
        let result: Result<(), _> =
            until_stopped("test", Duration::from_secs(60), &shutdown, |_| true, || async { Err("busy") })
                .await;
        assert!(matches!(result, Err(Ended::Stopped)));
    }
}
