//! A nonce is good once per app: `SET nonce:{app_id}:{nonce} 1 NX EX 660` in Redis.
//!
//! Redis runs with `appendfsync always`, so a nonce stays used over its restart. What happens while Redis is away is
//! the caller's choice: refuse (money moves), or remember in this process (reads).

use std::time::Duration;

use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use redis::RedisError;

use crate::problem::Problem;
use crate::redis_link::{Outage, Redis};
use crate::signature::SignatureError;

/// How long a nonce stays used: twice the timestamp window, as a request may be stamped up to 300 s ahead, and a minute
/// more, as the window counts whole seconds and the clocks of two machines differ.
pub const NONCE_LIFE: Duration = Duration::from_secs(660);
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
        let local = (on_outage == OnOutage::RememberLocally)
            .then(|| Local { seen: remembered(REMEMBERED_NONCES), outage: Outage::default() });
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

fn remembered(most: u64) -> Cache<String, ()> {
    // not moka's own choice by frequency: nonces come once, so a full cache would take in no new one
    let oldest_first = EvictionPolicy::lru();
    Cache::builder().max_capacity(most).time_to_live(NONCE_LIFE).eviction_policy(oldest_first).build()
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

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::signature::check_timestamp;

    #[test]
    fn a_nonce_stays_used_for_as_long_as_its_timestamp_is_accepted() {
        let used = UNIX_EPOCH + Duration::from_millis(1_000_000_001);
        let latest = 1_000_000 + 300;
        assert!(check_timestamp(latest, used).is_ok() && check_timestamp(latest + 1, used).is_err());
        assert!(
            check_timestamp(latest, used + NONCE_LIFE).is_err(),
            "forgotten while its request is still good"
        );
    }

    #[test]
    fn the_nonces_remembered_are_the_last_ones() {
        let seen = remembered(100);
        for nonce in 0..1000 {
            seen.insert(nonce.to_string(), ());
            seen.run_pending_tasks();
        }
        let last = (900..1000).filter(|nonce| seen.contains_key(&nonce.to_string())).count();
        assert_eq!(last, 100);
    }
}
