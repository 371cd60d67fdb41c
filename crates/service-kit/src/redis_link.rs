//! One shared connection to Redis that heals by itself and never blocks a request for long.

use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, IntoConnectionInfo, RedisError};
use secrecy::{ExposeSecret, SecretString};

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

/// PING, for a readiness probe.
pub async fn ping(redis: &Redis) -> Result<(), RedisError> {
    redis::cmd("PING").query_async(&mut redis.clone()).await
}
