//! A nonce is good once per app: `SET nonce:{app_id}:{nonce} 1 NX EX 600` in Redis.
//!
//! Redis runs with `appendfsync always`, so a nonce stays used over its restart. What happens while Redis is away is
//! the caller's choice: refuse (money moves), or remember in this process (reads).

use std::time::Duration;

use moka::sync::Cache;
use redis::RedisError;

use crate::problem::Problem;
use crate::redis_link::{Outage, Redis};
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

/// The used nonces of all apps. Clones share them.
#[derive(Clone)]
pub struct Nonces {
    redis: Redis,
    local: Option<Local>,
}

/// What [`OnOutage::RememberLocally`] goes by while Redis is away.
#[derive(Clone)]
struct Local {
    seen: Cache<String, ()>,
    outage: Outage,
}

impl Nonces {
    pub fn new(redis: Redis, on_outage: OnOutage) -> Nonces {
        let local = (on_outage == OnOutage::RememberLocally).then(|| Local {
            seen: Cache::builder().max_capacity(REMEMBERED_NONCES).time_to_live(NONCE_LIFE).build(),
            outage: Outage::default(),
        });
        Nonces { redis, local }
    }

    /// Uses a nonce up. Call it after the signature is verified, else a stranger could use up an app's nonces.
    pub async fn use_once(&self, app_id: &str, nonce: &str) -> Result<(), NonceError> {
        let key = format!("nonce:{app_id}:{nonce}");
        let first = match &self.local {
            None => self.set(&key).await.map_err(NonceError::Away)?,
            Some(local) => {
                let first_here = local.seen.entry(key.clone()).or_insert(()).is_fresh();
                first_here && local.outage.ask(self.set(&key)).await.unwrap_or(true)
            }
        };
        if first { Ok(()) } else { Err(NonceError::Reused) }
    }

    /// Whether the nonce was new to Redis.
    async fn set(&self, key: &str) -> Result<bool, RedisError> {
        let mut set = redis::cmd("SET");
        set.arg(key).arg(1).arg("NX").arg("EX").arg(NONCE_LIFE.as_secs());
        let answer: Option<String> = set.query_async(&mut self.redis.clone()).await?;
        Ok(answer.is_some())
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
