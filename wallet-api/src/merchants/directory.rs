//! Merchants and keys as they are in the database, at most a second old: a revoked key stops working within it.

use std::{sync::Arc, time::Duration};

use moka::future::Cache;
use money::{AccountId, MerchantId};
use secrecy::SecretSlice;
use sqlx::{MySqlPool, Row};
use tokio::sync::Semaphore;

use super::{
    merchant::{Merchant, MerchantAccount, MerchantStatus},
    scope::Scopes,
    sealed::SealedSecrets,
};
use crate::store::bad_row;

/// How old an answer may be.
const LIFE: Duration = Duration::from_secs(1);
const MOST_ENTRIES: u64 = 100_000;
/// Look-ups at a time, so that strangers who name random keys cannot take all connections from payments.
const LOOK_UPS: usize = 8;

/// An app's key, its secret opened. `Debug` does not show the secret.
#[derive(Debug, Clone)]
pub(crate) struct AppKey {
    pub(crate) key_id: String,
    pub(crate) app_id: String,
    pub(crate) merchant_id: MerchantId,
    pub(crate) algorithm: String,
    pub(crate) secret: SecretSlice<u8>,
    pub(crate) scopes: Scopes,
    pub(crate) revoked: bool,
}

/// Why the directory has no answer. Shared, as all who wait for one look-up get its error.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum DirectoryError {
    #[error(transparent)]
    Store(Arc<sqlx::Error>),
    #[error("{0}")]
    Bug(String),
}

/// Reads merchants and keys through a cache. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Directory {
    pool: MySqlPool,
    sealed: SealedSecrets,
    merchants: Cache<MerchantId, Option<Arc<Merchant>>>,
    keys: Cache<String, Option<Arc<AppKey>>>,
    look_ups: Arc<Semaphore>,
}

impl Directory {
    pub(crate) fn new(pool: MySqlPool, sealed: SealedSecrets) -> Self {
        Self {
            pool,
            sealed,
            merchants: Cache::builder().max_capacity(MOST_ENTRIES).time_to_live(LIFE).build(),
            keys: Cache::builder().max_capacity(MOST_ENTRIES).time_to_live(LIFE).build(),
            look_ups: Arc::new(Semaphore::new(LOOK_UPS)),
        }
    }

    /// The merchant, or nothing if there is none.
    pub(crate) async fn merchant(&self, id: MerchantId) -> Result<Option<Arc<Merchant>>, DirectoryError> {
        self.merchants
            .try_get_with(id, self.read_merchant(id))
            .await
            .map_err(|error| DirectoryError::clone(&error))
    }

    /// The key, or nothing if there is none. A revoked key is still found.
    pub(crate) async fn key(&self, key_id: &str) -> Result<Option<Arc<AppKey>>, DirectoryError> {
        let found = self.keys.try_get_with_by_ref(key_id, self.read_key(key_id)).await;
        found.map_err(|error| DirectoryError::clone(&error))
    }

    /// As [`Self::key`] and [`Self::merchant`], but as they are now: for answers that others keep for longer.
    pub(crate) async fn fresh(
        &self,
        key_id: &str,
    ) -> Result<Option<(Arc<AppKey>, Arc<Merchant>)>, DirectoryError> {
        let Some(key) = self.read_key(key_id).await? else { return Ok(None) };
        let merchant = self.read_merchant(key.merchant_id).await?;
        Ok(merchant.map(|merchant| (key, merchant)))
    }

    /// Forgets a key that was just changed here; other processes forget it within [`LIFE`].
    pub(crate) async fn forget_key(&self, key_id: &str) {
        self.keys.invalidate(key_id).await;
    }

    async fn read_merchant(&self, id: MerchantId) -> Result<Option<Arc<Merchant>>, DirectoryError> {
        let rows = sqlx::query(
            "SELECT m.name, m.status, m.time_zone, a.account_id, a.kind, a.currency FROM wallet.merchant m \
             LEFT JOIN accounting.account a ON a.merchant_id = m.merchant_id WHERE m.merchant_id = ? ORDER BY a.account_id",
        )
        .bind(id.0)
        .fetch_all(&self.pool)
        .await?;
        let Some(first) = rows.first() else { return Ok(None) };
        let mut accounts = Vec::with_capacity(rows.len());
        for row in &rows {
            if let Some(account_id) = row.try_get::<Option<u64>, _>("account_id")? {
                accounts.push(MerchantAccount {
                    id: AccountId(account_id),
                    kind: row.try_get::<&str, _>("kind")?.parse().map_err(bad_row)?,
                    currency: row.try_get::<&str, _>("currency")?.parse().map_err(bad_row)?,
                });
            }
        }
        Ok(Some(Arc::new(Merchant {
            id,
            name: first.try_get("name")?,
            status: MerchantStatus::parse(first.try_get("status")?).map_err(bad_row)?,
            time_zone: first.try_get("time_zone")?,
            accounts,
        })))
    }

    async fn read_key(&self, key_id: &str) -> Result<Option<Arc<AppKey>>, DirectoryError> {
        let _slot = self.look_ups.acquire().await.map_err(|error| DirectoryError::Bug(error.to_string()))?;
        let row = sqlx::query(
            "SELECT k.app_id, k.algorithm, k.sealed_secret, k.revoked_at IS NOT NULL AS revoked, a.merchant_id, a.scopes \
             FROM wallet.app_key k JOIN wallet.app a ON a.app_id = k.app_id WHERE k.key_id = ?",
        )
        .bind(key_id)
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let secret = self
            .sealed
            .open(key_id, row.try_get("sealed_secret")?)
            .map_err(|error| DirectoryError::Bug(format!("key {key_id}: {error}")))?;
        Ok(Some(Arc::new(AppKey {
            key_id: key_id.to_owned(),
            app_id: row.try_get("app_id")?,
            merchant_id: MerchantId(row.try_get("merchant_id")?),
            algorithm: row.try_get("algorithm")?,
            secret,
            scopes: Scopes::parse(row.try_get("scopes")?).map_err(bad_row)?,
            revoked: row.try_get::<i64, _>("revoked")? != 0,
        })))
    }
}

impl From<sqlx::Error> for DirectoryError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(Arc::new(error))
    }
}
