//! The SQL of `fund_order`.

use change_event::Timestamp;
use money::{AccountId, MerchantId, Minor, OrderId};
use sqlx::{MySqlConnection, MySqlPool, Row, mysql::MySqlRow};

use super::{
    order::{Draft, Order, OrderStatus, Party},
    plan::RefundedOrigin,
};
use crate::{
    ledger::JournalKind,
    store::{bad_row, datetime},
};

// one text for both, so that the column list stands once
macro_rules! select_order {
    ($tail:literal) => {
        concat!(
            "SELECT order_id, order_no, kind, status, merchant_id, payer_merchant_id, payer_account_id, payer_name, \
             payee_merchant_id, payee_account_id, payee_name, origin_order_id, amount, fee, refunded_amount, currency, \
             channel, channel_ref, remark, created_at, updated_at FROM accounting.fund_order WHERE order_id = ?",
            $tail
        )
    };
}

/// Inserts a succeeded order.
pub(super) async fn insert(
    tx: &mut MySqlConnection,
    draft: Draft,
    at: Timestamp,
) -> Result<Order, sqlx::Error> {
    let status = OrderStatus::Succeeded;
    let inserted = sqlx::query(
        "INSERT INTO accounting.fund_order (order_no, kind, status, merchant_id, payer_merchant_id, payer_account_id, \
         payer_name, payee_merchant_id, payee_account_id, payee_name, origin_order_id, amount, fee, refunded_amount, \
         currency, channel, channel_ref, remark, created_at, updated_at) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?, ?, ?, ?, ?)",
    )
    .bind(&draft.number)
    .bind(draft.kind.as_str())
    .bind(status.as_str())
    .bind(draft.merchant_id.0)
    .bind(draft.payer.merchant_id.map(|id| id.0))
    .bind(draft.payer.account_id.0)
    .bind(&draft.payer.name)
    .bind(draft.payee.merchant_id.map(|id| id.0))
    .bind(draft.payee.account_id.0)
    .bind(&draft.payee.name)
    .bind(draft.origin.map(|id| id.0))
    .bind(draft.amount.0)
    .bind(draft.fee.0)
    .bind(draft.currency.code())
    .bind(&draft.channel)
    .bind(&draft.channel_ref)
    .bind(&draft.remark)
    .bind(at.to_datetime())
    .bind(at.to_datetime())
    .execute(tx)
    .await?;
    let id = OrderId(inserted.last_insert_id());
    Ok(Order { id, draft, status, refunded: Minor::ZERO, created_at: at, updated_at: at })
}

/// Reads an order as it is committed.
pub(super) async fn find(pool: &MySqlPool, id: OrderId) -> Result<Option<Order>, sqlx::Error> {
    let row = sqlx::query(select_order!("")).bind(id.0).fetch_optional(pool).await?;
    row.as_ref().map(order).transpose()
}

/// Reads an order and locks it until the transaction ends.
pub(super) async fn find_locked(tx: &mut MySqlConnection, id: OrderId) -> Result<Option<Order>, sqlx::Error> {
    let row = sqlx::query(select_order!(" FOR UPDATE")).bind(id.0).fetch_optional(tx).await?;
    row.as_ref().map(order).transpose()
}

/// Writes what a refund made of its origin, which must be locked.
pub(super) async fn mark_refunded(
    tx: &mut MySqlConnection,
    id: OrderId,
    origin: RefundedOrigin,
    at: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE accounting.fund_order SET refunded_amount = ?, status = ?, updated_at = ? WHERE order_id = ?",
    )
    .bind(origin.refunded.0)
    .bind(origin.status.as_str())
    .bind(at.to_datetime())
    .bind(id.0)
    .execute(tx)
    .await?;
    Ok(())
}

fn order(row: &MySqlRow) -> Result<Order, sqlx::Error> {
    let merchant = |column| row.try_get::<Option<u64>, _>(column).map(|id| id.map(MerchantId));
    let account = |column| row.try_get::<u64, _>(column).map(AccountId);
    let kind = match row.try_get::<&str, _>("kind")? {
        "collect" => JournalKind::Collect,
        "pay" => JournalKind::Pay,
        "refund" => JournalKind::Refund,
        other => return Err(bad_row(format!("{other:?} is not an order kind"))),
    };
    Ok(Order {
        id: OrderId(row.try_get("order_id")?),
        draft: Draft {
            number: row.try_get("order_no")?,
            kind,
            merchant_id: MerchantId(row.try_get("merchant_id")?),
            payer: Party {
                merchant_id: merchant("payer_merchant_id")?,
                account_id: account("payer_account_id")?,
                name: row.try_get("payer_name")?,
            },
            payee: Party {
                merchant_id: merchant("payee_merchant_id")?,
                account_id: account("payee_account_id")?,
                name: row.try_get("payee_name")?,
            },
            origin: row.try_get::<Option<u64>, _>("origin_order_id")?.map(OrderId),
            amount: Minor(row.try_get("amount")?),
            fee: Minor(row.try_get("fee")?),
            currency: row.try_get::<&str, _>("currency")?.parse().map_err(bad_row)?,
            channel: row.try_get("channel")?,
            channel_ref: row.try_get("channel_ref")?,
            remark: row.try_get("remark")?,
        },
        status: OrderStatus::parse(row.try_get("status")?).map_err(bad_row)?,
        refunded: Minor(row.try_get("refunded_amount")?),
        created_at: datetime(row, "created_at")?,
        updated_at: datetime(row, "updated_at")?,
    })
}
