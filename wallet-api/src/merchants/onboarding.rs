//! What staff does: merchants, apps and keys come into being here and are revoked here, each with an audit row in the
//! same transaction.

use base64::{Engine, engine::general_purpose::STANDARD};
use money::{AccountId, Currency, MerchantId};
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use sqlx::{MySqlConnection, MySqlPool, Row};

use super::{scope::Scopes, sealed::SealedSecrets};
use crate::{clock, ledger::AccountKind};

/// How requests are signed; the only one so far.
const ALGORITHM: &str = "HMAC-SHA256";
const SECRET_BYTES: usize = 32;
const STAFF: &str = "staff";

/// A merchant that was just created.
#[derive(Debug)]
pub(crate) struct NewMerchant {
    pub(crate) merchant_id: MerchantId,
    pub(crate) account_id: AccountId,
}

/// An app with its first key. The secret is shown once and never again.
#[derive(Debug)]
pub(crate) struct NewApp {
    pub(crate) app_id: String,
    pub(crate) key_id: String,
    /// 32 bytes in base64.
    pub(crate) secret: SecretString,
}

/// What a revocation found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Revoked {
    /// Revoked now, or before.
    Yes,
    /// No such key of that app and merchant.
    NoSuchKey,
}

/// Creates and revokes. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Onboarding {
    pool: MySqlPool,
    sealed: SealedSecrets,
}

impl Onboarding {
    pub(crate) fn new(pool: MySqlPool, sealed: SealedSecrets) -> Self {
        Self { pool, sealed }
    }

    /// Creates an active merchant with an empty account to spend from.
    pub(crate) async fn create_merchant(
        &self,
        name: &str,
        currency: Currency,
        time_zone: &str,
        request_id: &str,
    ) -> Result<NewMerchant, sqlx::Error> {
        let at = clock::now().to_datetime();
        let mut tx = self.pool.begin().await?;
        let merchant_id = sqlx::query(
            "INSERT INTO wallet.merchant (name, status, time_zone, created_at, updated_at) VALUES (?, 'active', ?, ?, ?)",
        )
        .bind(name)
        .bind(time_zone)
        .bind(at)
        .bind(at)
        .execute(&mut *tx)
        .await?
        .last_insert_id();
        let account_id = sqlx::query(
            "INSERT INTO accounting.account (merchant_id, kind, shard, currency, balance, created_at, updated_at) \
             VALUES (?, ?, 0, ?, 0, ?, ?)",
        )
        .bind(merchant_id)
        .bind(AccountKind::Available.as_str())
        .bind(currency.code())
        .bind(at)
        .bind(at)
        .execute(&mut *tx)
        .await?
        .last_insert_id();
        let subject = Subject { merchant_id: Some(merchant_id), ..Subject::default() };
        audit(&mut tx, "merchant_created", subject, request_id).await?;
        tx.commit().await?;
        Ok(NewMerchant { merchant_id: MerchantId(merchant_id), account_id: AccountId(account_id) })
    }

    /// Creates an app with one key, or nothing if there is no such merchant.
    pub(crate) async fn create_app(
        &self,
        merchant: MerchantId,
        name: &str,
        scopes: &Scopes,
        request_id: &str,
    ) -> anyhow::Result<Option<NewApp>> {
        let at = clock::now().to_datetime();
        let (app_id, key_id) = (random_id("app"), random_id("key"));
        let secret = SecretSlice::from(rand::random::<[u8; SECRET_BYTES]>().to_vec());
        let sealed = self.sealed.seal(&key_id, &secret)?;
        let mut tx = self.pool.begin().await?;
        let known = sqlx::query("SELECT 1 FROM wallet.merchant WHERE merchant_id = ? FOR UPDATE")
            .bind(merchant.0)
            .fetch_optional(&mut *tx)
            .await?;
        if known.is_none() {
            return Ok(None);
        }
        sqlx::query(
            "INSERT INTO wallet.app (app_id, merchant_id, name, scopes, created_at) VALUES (?, ?, ?, ?, ?)",
        )
        .bind(&app_id)
        .bind(merchant.0)
        .bind(name)
        .bind(scopes.to_string())
        .bind(at)
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "INSERT INTO wallet.app_key (key_id, app_id, algorithm, sealed_secret, created_at) VALUES (?, ?, ?, ?, ?)",
        )
        .bind(&key_id)
        .bind(&app_id)
        .bind(ALGORITHM)
        .bind(sealed)
        .bind(at)
        .execute(&mut *tx)
        .await?;
        let subject = Subject { merchant_id: Some(merchant.0), app_id: Some(&app_id), key_id: Some(&key_id) };
        audit(&mut tx, "app_created", subject, request_id).await?;
        tx.commit().await?;
        let secret = SecretString::from(STANDARD.encode(secret.expose_secret()));
        Ok(Some(NewApp { app_id, key_id, secret }))
    }

    /// Revokes a key. Revoking it again changes nothing.
    pub(crate) async fn revoke_key(
        &self,
        merchant: MerchantId,
        app_id: &str,
        key_id: &str,
        request_id: &str,
    ) -> Result<Revoked, sqlx::Error> {
        let mut tx = self.pool.begin().await?;
        let row = sqlx::query(
            "SELECT k.revoked_at IS NOT NULL AS revoked FROM wallet.app_key k JOIN wallet.app a ON a.app_id = k.app_id \
             WHERE k.key_id = ? AND a.app_id = ? AND a.merchant_id = ? FOR UPDATE",
        )
        .bind(key_id)
        .bind(app_id)
        .bind(merchant.0)
        .fetch_optional(&mut *tx)
        .await?;
        let Some(row) = row else { return Ok(Revoked::NoSuchKey) };
        if row.try_get::<i64, _>("revoked")? == 0 {
            sqlx::query("UPDATE wallet.app_key SET revoked_at = ? WHERE key_id = ?")
                .bind(clock::now().to_datetime())
                .bind(key_id)
                .execute(&mut *tx)
                .await?;
            let subject =
                Subject { merchant_id: Some(merchant.0), app_id: Some(app_id), key_id: Some(key_id) };
            audit(&mut tx, "key_revoked", subject, request_id).await?;
        }
        tx.commit().await?;
        Ok(Revoked::Yes)
    }
}

/// 128 random bits behind a prefix that says what it is.
fn random_id(prefix: &str) -> String {
    format!("{prefix}_{:032x}", rand::random::<u128>())
}

/// Whom an audit row is about.
#[derive(Debug, Clone, Copy, Default)]
struct Subject<'a> {
    merchant_id: Option<u64>,
    app_id: Option<&'a str>,
    key_id: Option<&'a str>,
}

async fn audit(
    tx: &mut MySqlConnection,
    action: &str,
    subject: Subject<'_>,
    request_id: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO wallet.audit (actor, action, merchant_id, app_id, key_id, request_id, created_at) \
         VALUES (?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(STAFF)
    .bind(action)
    .bind(subject.merchant_id)
    .bind(subject.app_id)
    .bind(subject.key_id)
    .bind(request_id)
    .bind(clock::now().to_datetime())
    .execute(tx)
    .await?;
    Ok(())
}
