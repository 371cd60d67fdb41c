//! One shared connection to Redis that heals by itself and never blocks a request for long.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, IntoConnectionInfo, RedisError};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;

/// The connection: clone it freely, clones share one socket.
pub type Redis = ConnectionManager;

const RESPONSE_TIMEOUT: Duration = Duration::from_millis(500);
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);

/// Prepares the connection to `url` (`redis://` or `rediss://`) without opening it: a Redis that is away at start is
/// a matter for readiness, not for the start. Answers come within 500 ms or are an error. `password` wins over one in
/// the address.
pub fn connect(url: &str, password: Option<&SecretString>) -> Result<Redis, RedisError> {
    let mut target = url.into_connection_info()?;
    if let Some(password) = password {
        let login = target.redis_settings().clone().set_password(password.expose_secret());
        target = target.set_redis_settings(login);
    }
    let client = Client::open(target)?;
    let config = ConnectionManagerConfig::new()
        .set_response_timeout(Some(RESPONSE_TIMEOUT))
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_number_of_retries(1)
        .set_min_delay(Duration::from_millis(20))
        .set_max_delay(Duration::from_millis(100));
    ConnectionManager::new_lazy_with_config(client, config)
}

/// Remembers that Redis did not answer, so that not every request waits for it: for a second after a failure the
/// caller does without. Only for callers that can. Clones share one memory.
#[derive(Clone, Debug, Default)]
pub struct Outage {
    failed_at: Arc<Mutex<Option<Instant>>>,
}

impl Outage {
    /// How long Redis is left alone after a failure.
    pub const PAUSE: Duration = Duration::from_secs(1);

    /// Runs `question`, unless Redis failed within the last second. `None` is a failure, now or then.
    pub async fn ask<T>(&self, question: impl Future<Output = Result<T, RedisError>>) -> Option<T> {
        if self.is_on() {
            return None;
        }
        match question.await {
            Ok(answer) => Some(answer),
            Err(error) => {
                tracing::warn!(%error, "redis does not answer: doing without it for a second");
                *self.lock() = Some(Instant::now());
                None
            }
        }
    }

    fn is_on(&self) -> bool {
        self.lock().is_some_and(|at| at.elapsed() < Outage::PAUSE)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Instant>> {
        self.failed_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// PING, for a readiness probe.
pub async fn ping(redis: &Redis) -> Result<(), RedisError> {
    redis::cmd("PING").query_async(&mut redis.clone()).await
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn after_a_failure_nobody_asks_for_a_second() {
        let (outage, asked) = (Outage::default(), Cell::new(0));
        let ask = async |answer: Result<u8, RedisError>| {
            outage
                .ask(async {
                    asked.set(asked.get() + 1);
                    answer
                })
                .await
        };
        assert_eq!(ask(Ok(1)).await, Some(1));
        assert_eq!(ask(Err(RedisError::from(std::io::Error::other("gone")))).await, None);
        assert_eq!(ask(Ok(2)).await, None);
        assert_eq!(asked.get(), 2);
        tokio::time::advance(Outage::PAUSE).await;
        assert_eq!(ask(Ok(3)).await, Some(3));
    }
}
