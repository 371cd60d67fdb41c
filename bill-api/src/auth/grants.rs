//! Grants: asked of wallet-api, kept in Redis for 30 s, and gone within a second of a revocation.
//!
//! Redis holds the grant, this process the verification key; both are needed. wallet-api deletes the grant from Redis
//! when it revokes the key, so the next request asks wallet-api again and is refused. The key in memory alone opens
//! nothing.
//!
//! A grant that was fetched just before a revocation must not enter Redis just after it. So a fetch first puts a mark
//! of its own under the grant's name, then asks wallet-api, then replaces the mark by the grant, and only if the mark
//! still stands there: a revocation in between has deleted it.
//!
//! With Redis away a fetched grant is good for half a second. With wallet-api away the grants in Redis run out.

use std::net::IpAddr;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use moka::future::Cache as Flights;
use moka::sync::Cache;
use prometheus::{IntCounterVec, Opts, Registry};
use redis::Script;
use secrecy::SecretSlice;
use service_kit::Problem;
use service_kit::context;
use service_kit::flow::FlowControl;
use service_kit::redis_link::{Outage, Redis};
use service_kit::signature::SignatureError;
use wallet_rpc::{Client, Denial, RpcError};

use super::grant::AppGrant;

/// Life of a grant in Redis.
const GRANT_LIFE: Duration = Duration::from_secs(30);
/// Life of a fetch's mark in Redis: longer than a call to wallet-api takes.
const MARK_LIFE: Duration = Duration::from_secs(5);
/// How long one answer of wallet-api serves all requests of its key without Redis. With the call itself below 1 s.
const RECENT_LIFE: Duration = Duration::from_millis(500);
/// How long a refused key is refused without asking again: a key of a new app may come a moment late.
const REFUSED_LIFE: Duration = Duration::from_secs(2);
/// How long an unused verification key stays in memory.
const KEY_IDLE: Duration = Duration::from_secs(600);
const MOST_KEYS: u64 = 50_000;

static REPLACE_MARK: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if redis.call('GET', KEYS[1]) == ARGV[1] then
           redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) return 1
         else return 0 end",
    )
});

/// A grant with the key that checks its signatures. No `Debug`: it holds a secret.
#[derive(Clone)]
pub(super) struct Held {
    pub(super) grant: Arc<AppGrant>,
    pub(super) key: Arc<SecretSlice<u8>>,
}

pub(super) struct Grants {
    wallet: Client,
    redis: Redis,
    outage: Outage,
    flow: Arc<FlowControl>,
    keys: Cache<String, Arc<SecretSlice<u8>>>,
    recent: Flights<String, Held>,
    refused: Cache<String, FetchError>,
    lookups: IntCounterVec,
}

/// Why wallet-api gave no grant.
#[derive(Clone, Debug, thiserror::Error)]
enum FetchError {
    #[error("no such key, or it is revoked")]
    Refused,
    #[error("the merchant is suspended")]
    Suspended,
    #[error("wallet-api is away: {0}")]
    Away(String),
    #[error("wallet-api refused us: {0}")]
    Broken(String),
}

impl Grants {
    pub(super) fn new(
        wallet: Client,
        redis: Redis,
        flow: Arc<FlowControl>,
        registry: &Registry,
    ) -> prometheus::Result<Grants> {
        let lookups = IntCounterVec::new(
            Opts::new("grant_lookups_total", "grants looked up, by where the answer came from"),
            &["from"],
        )?;
        registry.register(Box::new(lookups.clone()))?;
        Ok(Grants {
            wallet,
            redis,
            outage: Outage::default(),
            flow,
            keys: Cache::builder().max_capacity(MOST_KEYS).time_to_idle(KEY_IDLE).build(),
            recent: Flights::builder().max_capacity(MOST_KEYS).time_to_live(RECENT_LIFE).build(),
            refused: Cache::builder().max_capacity(MOST_KEYS).time_to_live(REFUSED_LIFE).build(),
            lookups,
        })
    }

    /// The grant behind an app's key. `peer` pays when the key is not known here: asking wallet-api is dear.
    pub(super) async fn of(&self, app_id: &str, key_id: &str, peer: Option<IpAddr>) -> Result<Held, Problem> {
        let name = format!("grant:{app_id}:{key_id}");
        if let Some(error) = self.refused.get(&name) {
            self.lookups.with_label_values(&["refused"]).inc();
            return Err(problem(&error));
        }
        let key = self.keys.get(&name);
        if let Some(key) = key.clone()
            && let Some(grant) = self.stored(&name).await
        {
            self.lookups.with_label_values(&["redis"]).inc();
            return Ok(Held { grant: Arc::new(grant), key });
        }
        if key.is_none() && !self.recent.contains_key(&name) {
            self.flow.charge_stranger(peer)?;
        }
        let fetched = self.recent.try_get_with(name.clone(), self.fetch(&name, app_id, key_id)).await;
        fetched.map_err(|error| {
            if matches!(*error, FetchError::Refused | FetchError::Suspended) {
                self.refused.insert(name, (*error).clone());
            }
            problem(&error)
        })
    }

    /// The grant in Redis, if there is one that still holds. Redis being away counts as none.
    async fn stored(&self, name: &str) -> Option<AppGrant> {
        let mut redis = self.redis.clone();
        let text: Option<String> =
            self.outage.ask(redis::cmd("GET").arg(name).query_async(&mut redis)).await?;
        // a mark is not JSON: a fetch is under way
        let grant: AppGrant = serde_json::from_str(&text?).ok()?;
        (grant.valid_until_ms > now_ms()).then_some(grant)
    }

    async fn fetch(&self, name: &str, app_id: &str, key_id: &str) -> Result<Held, FetchError> {
        let mark = self.put_mark(name).await;
        let answer = self.wallet.authenticate(context::request_id().as_str(), app_id, key_id).await;
        self.lookups.with_label_values(&[if answer.is_ok() { "wallet" } else { "none" }]).inc();
        let answer = answer.map_err(FetchError::from)?;
        let grant = AppGrant::from(&answer);
        if grant.app_id != app_id || grant.key_id != key_id {
            return Err(FetchError::Broken("it answered for another key".to_owned()));
        }
        let key = Arc::new(answer.verification_key);
        self.keys.insert(name.to_owned(), key.clone());
        if let Some(mark) = mark {
            self.replace_mark(name, &mark, &grant).await;
        }
        Ok(Held { grant: Arc::new(grant), key })
    }

    /// Puts a mark where the grant will be, unless something is there; gives the mark that is ours.
    async fn put_mark(&self, name: &str) -> Option<String> {
        let mark = format!("mark {}", uuid::Uuid::now_v7());
        let (mut redis, mut set) = (self.redis.clone(), redis::cmd("SET"));
        set.arg(name).arg(&mark).arg("NX").arg("PX").arg(millis(MARK_LIFE));
        let set: Option<String> = self.outage.ask(set.query_async(&mut redis)).await?;
        set.map(|_ok| mark)
    }

    async fn replace_mark(&self, name: &str, mark: &str, grant: &AppGrant) {
        let left = u64::try_from(grant.valid_until_ms.saturating_sub(now_ms())).unwrap_or(0);
        let life = left.min(millis(GRANT_LIFE));
        let Ok(text) = serde_json::to_string(grant) else { return };
        if life == 0 {
            return;
        }
        let mut redis = self.redis.clone();
        let mut script = REPLACE_MARK.key(name);
        script.arg(mark).arg(text).arg(life);
        let stored: Option<u8> = self.outage.ask(script.invoke_async(&mut redis)).await;
        if stored == Some(0) {
            tracing::info!(app_id = grant.app_id, "the key was revoked while it was asked for");
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl From<RpcError> for FetchError {
    fn from(error: RpcError) -> FetchError {
        match error.denial() {
            Some(Denial::UnknownKey | Denial::RevokedKey) => FetchError::Refused,
            Some(Denial::MerchantSuspended) => FetchError::Suspended,
            Some(Denial::BadServiceToken | Denial::Other(_)) => FetchError::Broken(error.to_string()),
            None if error.is_transient() => FetchError::Away(error.to_string()),
            None => FetchError::Broken(error.to_string()),
        }
    }
}

fn problem(error: &FetchError) -> Problem {
    match error {
        FetchError::Refused => SignatureError::KeyRefused.into(),
        FetchError::Suspended => {
            let detail = "this merchant may not act now: ask the platform's staff";
            Problem::new(http::StatusCode::FORBIDDEN, "merchant_not_active", detail)
        }
        FetchError::Away(cause) => {
            tracing::warn!(cause, "cannot ask wallet-api for a grant");
            let detail = "the service that knows the keys is away; this request had no effect";
            Problem::unavailable("authentication_unavailable", detail, Duration::from_secs(1))
        }
        FetchError::Broken(_) => Problem::internal(error),
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
