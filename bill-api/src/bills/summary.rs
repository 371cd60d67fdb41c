//! Sums over the bills of a stretch of time.

use change_event::Timestamp;
use money::AccountId;
use sqlx::mysql::MySqlRow;
use sqlx::{FromRow, MySql, QueryBuilder, Row};

use super::{Bills, StoreError};

/// The bills of one currency, type and direction together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) currency: String,
    pub(crate) bill_type: String,
    pub(crate) direction: String,
    pub(crate) count: i64,
    /// Minor units.
    pub(crate) amount: i64,
}

struct RawLine {
    line: Line,
    amount: String,
}

impl FromRow<'_, MySqlRow> for RawLine {
    fn from_row(row: &MySqlRow) -> sqlx::Result<RawLine> {
        let line = Line {
            currency: row.try_get("currency")?,
            bill_type: row.try_get("bill_type")?,
            direction: row.try_get("direction")?,
            count: row.try_get("bills")?,
            amount: 0,
        };
        Ok(RawLine { line, amount: row.try_get("amount")? })
    }
}

impl Bills {
    /// The sums of a pipeline's bills in `[from, to)`, by currency, type and direction.
    pub(crate) async fn sum(
        &self,
        accounts: &[AccountId],
        pipeline: &str,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<Line>, StoreError> {
        if accounts.is_empty() {
            return Ok(Vec::new());
        }
        // a sum of BIGINT is a DECIMAL: as text it crosses exactly
        let mut sql = QueryBuilder::<MySql>::new(
            "SELECT currency, bill_type, direction, COUNT(*) AS bills, CAST(SUM(amount) AS CHAR) AS amount \
             FROM bill WHERE account_id IN (",
        );
        let mut ids = sql.separated(", ");
        for account in accounts {
            ids.push_bind(account.0);
        }
        sql.push(") AND pipeline = ").push_bind(pipeline);
        sql.push(" AND deleted = FALSE AND occurred_at >= ").push_bind(from.to_datetime());
        sql.push(" AND occurred_at < ").push_bind(to.to_datetime());
        sql.push(" GROUP BY currency, bill_type, direction ORDER BY currency, bill_type, direction");
        let lines: Vec<RawLine> = sql.build_query_as().fetch_all(&self.pool).await?;
        lines
            .into_iter()
            .map(|RawLine { line, amount }| {
                let amount = amount.parse().map_err(|_| StoreError::SumOutOfRange)?;
                Ok(Line { amount, ..line })
            })
            .collect()
    }
}
