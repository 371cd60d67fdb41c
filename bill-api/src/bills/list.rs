//! Pages of bills and single bills.

use money::AccountId;
use sqlx::{MySql, QueryBuilder};

use super::bill::{Bill, COLUMNS};
use super::{Bills, Filters, Position, StoreError};

impl Bills {
    /// At most `limit` bills of `accounts` after `position`, newest first.
    ///
    /// One select for each account, each walking the index `newest_first`, merged: a single one over several accounts
    /// would read and sort all of their bills for every page.
    pub(crate) async fn list(
        &self,
        accounts: &[AccountId],
        filters: &Filters,
        after: Option<&Position>,
        limit: u32,
    ) -> Result<Vec<Bill>, StoreError> {
        if accounts.is_empty() {
            return Ok(Vec::new());
        }
        let mut sql = QueryBuilder::<MySql>::new("");
        for (at, account) in accounts.iter().enumerate() {
            sql.push(if at == 0 { "(SELECT " } else { " UNION ALL (SELECT " }).push(COLUMNS);
            sql.push(" FROM bill WHERE account_id = ").push_bind(account.0);
            push_filters(&mut sql, filters);
            if let Some(position) = after {
                push_after(&mut sql, position, *account);
            }
            sql.push(" ORDER BY occurred_at DESC, bill_id DESC LIMIT ").push_bind(limit).push(")");
        }
        if accounts.len() > 1 {
            sql.push(" ORDER BY occurred_at DESC, bill_id DESC, account_id DESC LIMIT ").push_bind(limit);
        }
        Ok(sql.build_query_as().fetch_all(&self.pool).await?)
    }

    /// The bill of that id in one of `accounts`; the newest, should it stand in two while it moves between them.
    pub(crate) async fn find(
        &self,
        accounts: &[AccountId],
        bill_id: &str,
    ) -> Result<Option<Bill>, StoreError> {
        if accounts.is_empty() {
            return Ok(None);
        }
        let mut sql = QueryBuilder::<MySql>::new("SELECT ");
        sql.push(COLUMNS).push(" FROM bill WHERE account_id IN (");
        let mut ids = sql.separated(", ");
        for account in accounts {
            ids.push_bind(account.0);
        }
        sql.push(") AND deleted = FALSE AND bill_id = ").push_bind(bill_id);
        sql.push(" ORDER BY version DESC LIMIT 1");
        Ok(sql.build_query_as().fetch_optional(&self.pool).await?)
    }
}

fn push_filters(sql: &mut QueryBuilder<MySql>, filters: &Filters) {
    let Filters { pipeline, account: _, from, to, bill_type, direction } = filters;
    sql.push(" AND pipeline = ").push_bind(pipeline).push(" AND deleted = FALSE");
    if let Some(from) = from {
        sql.push(" AND occurred_at >= ").push_bind(from.to_datetime());
    }
    if let Some(to) = to {
        sql.push(" AND occurred_at < ").push_bind(to.to_datetime());
    }
    if let Some(bill_type) = bill_type {
        sql.push(" AND bill_type = ").push_bind(bill_type);
    }
    if let Some(direction) = direction {
        sql.push(" AND direction = ").push_bind(direction.as_str());
    }
}

// the first comparison bounds the index range, the rest parts the rows of the same microsecond
fn push_after(sql: &mut QueryBuilder<MySql>, position: &Position, account: AccountId) {
    let at = position.occurred_at.to_datetime();
    sql.push(" AND occurred_at <= ").push_bind(at);
    sql.push(" AND (occurred_at < ").push_bind(at);
    // of two accounts with the same id at the same moment, the larger account comes first
    let same_id_follows = account < position.account;
    sql.push(if same_id_follows { " OR bill_id <= " } else { " OR bill_id < " }).push_bind(&position.bill_id);
    sql.push(")");
}
