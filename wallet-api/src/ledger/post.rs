//! The ledger's SQL. Every function runs inside the caller's transaction.

use change_event::Timestamp;
use money::{AccountId, MerchantId, Minor, OrderId};
use sqlx::{MySqlConnection, QueryBuilder, Row};

use super::{
    account::LockedAccount,
    journal::{EntryKind, Posting},
};
use crate::store::{bad_row, datetime};

/// The order that a journal belongs to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OrderRef<'a> {
    pub(crate) id: OrderId,
    pub(crate) number: &'a str,
    pub(crate) remark: &'a str,
}

/// Locks the accounts, in the order of their ids (so that two transactions cannot wait for each other), and reads them.
pub(crate) async fn lock(
    tx: &mut MySqlConnection,
    ids: &[AccountId],
) -> Result<Vec<LockedAccount>, sqlx::Error> {
    let mut query = QueryBuilder::new(
        "SELECT account_id, merchant_id, kind, currency, balance, updated_at FROM accounting.account WHERE account_id IN (",
    );
    let mut list = query.separated(", ");
    for id in ids {
        list.push_bind(id.0);
    }
    query.push(") ORDER BY account_id FOR UPDATE");
    let rows = query.build().fetch_all(tx).await?;
    rows.iter()
        .map(|row| {
            Ok(LockedAccount {
                id: AccountId(row.try_get("account_id")?),
                merchant_id: row.try_get::<Option<u64>, _>("merchant_id")?.map(MerchantId),
                kind: row.try_get::<&str, _>("kind")?.parse().map_err(bad_row)?,
                currency: row.try_get::<&str, _>("currency")?.parse().map_err(bad_row)?,
                balance: Minor(row.try_get("balance")?),
                updated_at: datetime(row, "updated_at")?,
            })
        })
        .collect()
}

/// Writes the journal, its entries and the new balances: three statements, whatever the number of legs.
pub(crate) async fn write(
    tx: &mut MySqlConnection,
    posting: &Posting,
    order: OrderRef<'_>,
    at: Timestamp,
) -> Result<(), sqlx::Error> {
    let at = at.to_datetime();
    let journal_id =
        sqlx::query("INSERT INTO accounting.journal (order_id, kind, created_at) VALUES (?, ?, ?)")
            .bind(order.id.0)
            .bind(posting.kind.as_str())
            .bind(at)
            .execute(&mut *tx)
            .await?
            .last_insert_id();

    let mut entries = QueryBuilder::new(
        "INSERT INTO accounting.entry (journal_id, account_id, merchant_id, order_id, order_no, kind, direction, amount, \
         currency, balance_after, counterparty, remark, created_at) ",
    );
    entries.push_values(&posting.entries, |mut row, entry| {
        let kind = match entry.kind {
            EntryKind::Principal => posting.kind.as_str(),
            EntryKind::Fee => "fee",
        };
        row.push_bind(journal_id)
            .push_bind(entry.account.0)
            .push_bind(entry.merchant_id.map(|id| id.0))
            .push_bind(order.id.0)
            .push_bind(order.number)
            .push_bind(kind)
            .push_bind(entry.direction.as_str())
            .push_bind(entry.amount.0)
            .push_bind(posting.currency.code())
            .push_bind(entry.balance_after.0)
            .push_bind(&entry.counterparty)
            .push_bind(order.remark)
            .push_bind(at);
    });
    entries.build().execute(&mut *tx).await?;

    let mut balances = QueryBuilder::new("UPDATE accounting.account SET balance = CASE account_id");
    for (account, balance) in &posting.balances {
        balances.push(" WHEN ").push_bind(account.0).push(" THEN ").push_bind(balance.0);
    }
    balances.push(" ELSE balance END, updated_at = ").push_bind(at).push(" WHERE account_id IN (");
    let mut list = balances.separated(", ");
    for (account, _) in &posting.balances {
        list.push_bind(account.0);
    }
    balances.push(")");
    balances.build().execute(&mut *tx).await?;
    Ok(())
}
