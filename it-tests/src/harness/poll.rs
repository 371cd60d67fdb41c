//! Waiting for a condition: with a deadline, and with the last status in the error. Tests wait this way and
//! never sleep for a fixed time.

use std::time::{Duration, Instant};

const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// Why a condition does not hold.
#[derive(Debug)]
pub enum Not {
    /// It may still come to hold; the text is the status to print if it never does.
    Yet(String),
    /// It can no longer come to hold: stop waiting.
    Ever(anyhow::Error),
}

impl From<String> for Not {
    fn from(status: String) -> Self {
        Self::Yet(status)
    }
}

impl From<&str> for Not {
    fn from(status: &str) -> Self {
        Self::Yet(status.to_owned())
    }
}

impl Not {
    /// Any error as a status: the way to use `map_err` on calls that fail until a service is up.
    pub fn yet(error: impl std::fmt::Display) -> Self {
        Self::Yet(format!("{error:#}"))
    }
}

/// The condition did not come to hold in time.
#[derive(Debug, thiserror::Error)]
#[error("waited {waited:.1?} for {what}; last status: {last_status}")]
pub struct TimedOut {
    /// What was waited for.
    pub what: String,
    /// How long.
    pub waited: Duration,
    /// What the last probe said.
    pub last_status: String,
}

/// Calls `probe` until it answers `Ok`, it answers [`Not::Ever`], or `deadline` has passed.
pub fn wait_until<T>(
    what: &str,
    deadline: Duration,
    mut probe: impl FnMut() -> Result<T, Not>,
) -> anyhow::Result<T> {
    let mut wait = Wait::new(what, deadline);
    loop {
        match probe() {
            Ok(value) => return Ok(value),
            Err(not) => std::thread::sleep(wait.next_pause(not)?),
        }
    }
}

/// As [`wait_until`], for probes that are async.
#[cfg(feature = "workload")]
pub async fn wait_until_async<T, F>(
    what: &str,
    deadline: Duration,
    mut probe: impl FnMut() -> F,
) -> anyhow::Result<T>
where
    F: Future<Output = Result<T, Not>>,
{
    let mut wait = Wait::new(what, deadline);
    loop {
        match probe().await {
            Ok(value) => return Ok(value),
            Err(not) => tokio::time::sleep(wait.next_pause(not)?).await,
        }
    }
}

struct Wait<'a> {
    what: &'a str,
    started: Instant,
    deadline: Duration,
    pause: Duration,
}

impl<'a> Wait<'a> {
    fn new(what: &'a str, deadline: Duration) -> Self {
        Self { what, started: Instant::now(), deadline, pause: FIRST_PAUSE }
    }

    fn next_pause(&mut self, not: Not) -> anyhow::Result<Duration> {
        let last_status = match not {
            Not::Ever(error) => return Err(error.context(format!("waiting for {} is hopeless", self.what))),
            Not::Yet(status) => status,
        };
        let waited = self.started.elapsed();
        if waited >= self.deadline {
            return Err(TimedOut { what: self.what.to_owned(), waited, last_status }.into());
        }
        let pause = self.pause.min(self.deadline - waited);
        self.pause = (self.pause * 3 / 2).min(LONGEST_PAUSE);
        Ok(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_of_a_wait_that_ran_out_carries_the_last_status() {
        let mut tries = 0;
        let error = wait_until::<()>("the impossible", Duration::from_millis(30), || {
            tries += 1;
            Err(format!("try {tries}").into())
        })
        .unwrap_err()
        .to_string();
        assert!(error.contains("the impossible") && error.ends_with(&format!("try {tries}")), "{error}");
    }

    #[test]
    fn a_hopeless_wait_ends_at_once() {
        let started = Instant::now();
        let result =
            wait_until::<()>("x", Duration::from_secs(60), || Err(Not::Ever(anyhow::anyhow!("gone"))));
        assert!(format!("{:#}", result.unwrap_err()).contains("gone"));
        assert!(started.elapsed() < Duration::from_secs(5));
    }
}
