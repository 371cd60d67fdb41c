//! The row behind a key.

use bytes::Bytes;
use change_event::Timestamp;
use http::StatusCode;
use money::{MerchantId, OrderId};
use sha2::{Digest, Sha256};
use sqlx::{MySqlConnection, MySqlPool, Row};
use subtle::ConstantTimeEq;

use super::key::IdempotencyKey;
use crate::store::{Verdict, bad_row, verdict};

/// SHA-256 over method, path and body, each with its length: what makes two requests the same request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RequestDigest([u8; 32]);

impl RequestDigest {
    /// `target` is the path with its query, as received; `body` the raw bytes.
    pub(crate) fn of(method: &str, target: &str, body: &[u8]) -> Self {
        let mut digest = Sha256::new();
        for part in [method.as_bytes(), target.as_bytes(), body] {
            digest.update(part.len().to_be_bytes());
            digest.update(part);
        }
        Self(digest.finalize().into())
    }
}

/// Whether a key is ours to fill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claim {
    /// The row is inserted and locked until this transaction ends.
    New,
    /// Another request has committed an answer under this key.
    Taken,
    /// Another request is still at work under this key.
    InFlight,
}

/// Claims the key for this transaction. Must be its first statement: while it waits it holds no lock that others need.
pub(crate) async fn claim(
    tx: &mut MySqlConnection,
    merchant: MerchantId,
    key: &IdempotencyKey,
    digest: RequestDigest,
    at: Timestamp,
) -> Result<Claim, sqlx::Error> {
    let inserted = sqlx::query(
        "INSERT INTO accounting.idempotency \
         (merchant_id, idempotency_key, request_digest, order_id, response_status, response_body, created_at) \
         VALUES (?, ?, ?, NULL, 0, '', ?)",
    )
    .bind(merchant.0)
    .bind(key.as_str())
    .bind(digest.0.as_slice())
    .bind(at.to_datetime())
    .execute(tx)
    .await;
    match inserted {
        Ok(_) => Ok(Claim::New),
        Err(error) => match verdict(&error) {
            Verdict::Duplicate => Ok(Claim::Taken),
            Verdict::LockWait => Ok(Claim::InFlight),
            _ => Err(error),
        },
    }
}

/// Fills the claimed row with the answer, to be committed with what it answers for.
pub(crate) async fn save(
    tx: &mut MySqlConnection,
    merchant: MerchantId,
    key: &IdempotencyKey,
    order: Option<OrderId>,
    status: StatusCode,
    body: &Bytes,
) -> Result<(), sqlx::Error> {
    let body = std::str::from_utf8(body).map_err(bad_row)?;
    sqlx::query(
        "UPDATE accounting.idempotency SET order_id = ?, response_status = ?, response_body = ? \
         WHERE merchant_id = ? AND idempotency_key = ?",
    )
    .bind(order.map(|id| id.0))
    .bind(status.as_u16())
    .bind(body)
    .bind(merchant.0)
    .bind(key.as_str())
    .execute(tx)
    .await?;
    Ok(())
}

/// What is known about a key that was taken.
#[derive(Debug)]
pub(crate) enum Recalled {
    /// The first answer to the same request.
    Answer { status: StatusCode, body: Bytes },
    /// The key was used for another request.
    Mismatch,
    /// The row is gone again (its transaction was undone, or it was purged): start over.
    Nothing,
}

/// Reads the committed answer under a key.
pub(crate) async fn recall(
    pool: &MySqlPool,
    merchant: MerchantId,
    key: &IdempotencyKey,
    digest: RequestDigest,
) -> Result<Recalled, sqlx::Error> {
    let row = sqlx::query(
        "SELECT request_digest, response_status, response_body FROM accounting.idempotency \
         WHERE merchant_id = ? AND idempotency_key = ?",
    )
    .bind(merchant.0)
    .bind(key.as_str())
    .fetch_optional(pool)
    .await?;
    let Some(row) = row else { return Ok(Recalled::Nothing) };
    let same: bool = row.try_get::<&[u8], _>("request_digest")?.ct_eq(&digest.0).into();
    if !same {
        return Ok(Recalled::Mismatch);
    }
    let status = StatusCode::from_u16(row.try_get("response_status")?).map_err(bad_row)?;
    let body = row.try_get::<String, _>("response_body")?;
    Ok(Recalled::Answer { status, body: Bytes::from(body) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_cannot_be_met_by_moving_bytes_between_its_parts() {
        let digest = |method, target, body: &str| RequestDigest::of(method, target, body.as_bytes()).0;
        let one = digest("POST", "/v1/payments", "{}");
        assert_eq!(one, digest("POST", "/v1/payments", "{}"));
        for other in [
            digest("POST", "/v1/payments{", "}"),
            digest("PUT", "/v1/payments", "{}"),
            digest("POST", "/v1/payments", "{ }"),
        ] {
            assert_ne!(one, other);
        }
    }
}
