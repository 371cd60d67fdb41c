//! The grants that other services keep in Redis (`grant:{app_id}:{key_id}`, 30 s): forgotten here when a key is revoked.

use std::time::Duration;

use service_kit::redis_link::Redis;

/// A grant fetched just before a revocation may be written just after it; this is when it is deleted again.
const STRAGGLERS: Duration = Duration::from_secs(1);

/// Deletes cached grants. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Grants {
    redis: Redis,
}

impl Grants {
    pub(crate) fn new(redis: Redis) -> Self {
        Self { redis }
    }

    /// Deletes the grant now, and once more a second later. Redis being away only means that the grant runs out its
    /// 30 seconds, so it is no error of the revocation.
    pub(crate) async fn forget(&self, app_id: &str, key_id: &str) {
        let key = format!("grant:{app_id}:{key_id}");
        delete(&self.redis, &key).await;
        let redis = self.redis.clone();
        tokio::spawn(async move {
            tokio::time::sleep(STRAGGLERS).await;
            delete(&redis, &key).await;
        });
    }
}

async fn delete(redis: &Redis, key: &str) {
    let deleted: Result<i64, _> = redis::cmd("DEL").arg(key).query_async(&mut redis.clone()).await;
    if let Err(error) = deleted {
        tracing::warn!(%error, key, "cannot delete a revoked key's cached grant: it may work for 30 s more");
    }
}
