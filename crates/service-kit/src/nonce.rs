//! A nonce is good once per app: `SET nonce:{app_id}:{nonce} 1 NX EX 600` in Redis.
//!
//! Redis runs with `appendfsync always`, so a nonce stays used over its restart. What happens while Redis is away is
//! the caller's choice: refuse (money moves), or remember in this process (reads).

use std::time::Duration;

use moka::sync::Cache;
use redis::RedisError;

use crate::problem::Problem;
use crate::redis_link::Redis;
use crate::signature::SignatureError;

/// How long a nonce stays used: twice the timestamp window, as a request may be stamped up to 300 s ahead.
pub const NONCE_LIFE: Duration = Duration::from_secs(600);
const REMEMBERED_NONCES: u64 = 200_000;

/// What to do with a signed request while Redis cannot say whether its nonce is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnOutage {
    /// Answer 503: a replay must be impossible.
    Refuse,
    /// Go by the nonces that this process has seen, the last 200,000 at most: a replay would only read again.
    RememberLocally,
}

/// The used nonces of all apps.
#[derive(Clone)]
pub struct Nonces {
    redis: Redis,
    seen_here: Option<Cache<String, ()>>,
}

impl Nonces {
    pub fn new(redis: Redis, on_outage: OnOutage) -> Nonces {
        let seen_here = (on_outage == OnOutage::RememberLocally)
            .then(|| Cache::builder().max_capacity(REMEMBERED_NONCES).time_to_live(NONCE_LIFE).build());
        Nonces { redis, seen_here }
    }

    /// Uses a nonce up. Call it after the signature is verified, else a stranger could use up an app's nonces.
    pub async fn use_once(&self, app_id: &str, nonce: &str) -> Result<(), NonceError> {
        let key = format!("nonce:{app_id}:{nonce}");
        let first_here = match &self.seen_here {
            Some(seen) => seen.entry(key.clone()).or_insert(()).is_fresh(),
            None => true,
        };
        if !first_here {
            return Err(NonceError::Reused);
        }
        let answer: Result<Option<String>, RedisError> = redis::cmd("SET")
            .arg(&key)
            .arg(1)
            .arg("NX")
            .arg("EX")
            .arg(NONCE_LIFE.as_secs())
            .query_async(&mut self.redis.clone())
            .await;
        match answer {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err(NonceError::Reused),
            Err(error) if self.seen_here.is_some() => {
                tracing::debug!(%error, "redis is away: nonces are checked in this process alone");
                Ok(())
            }
            Err(error) => Err(NonceError::Away(error)),
        }
    }
}

/// Why a nonce does not let a request through.
#[derive(Debug, thiserror::Error)]
pub enum NonceError {
    #[error("the nonce was used before")]
    Reused,
    #[error("cannot ask redis whether the nonce is new")]
    Away(#[source] RedisError),
}

impl From<NonceError> for Problem {
    fn from(error: NonceError) -> Problem {
        match error {
            NonceError::Reused => SignatureError::NonceReused.into(),
            NonceError::Away(cause) => {
                tracing::warn!(%cause, "redis is away: signed requests are refused");
                Problem::unavailable(
                    "replay_guard_unavailable",
                    "the replay guard is away",
                    Duration::from_secs(1),
                )
            }
        }
    }
}
