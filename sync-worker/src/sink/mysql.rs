//! The bill store: multi-row upserts gated on the version.

use std::{ops::Range, sync::Arc, time::Duration};

use change_event::{
    Timestamp,
    barrier::Barrier,
    progress::Mark,
    quarantine::Stage,
    stage2::{BillOp, BillRecord},
};
use sqlx::{AssertSqlSafe, MySqlPool, mysql::MySqlArguments, query::Query};

use super::{Sink, SinkError};

/// Columns that identify a row; the rest follow the gate.
const KEY: [&str; 2] = ["account_id", "bill_id"];
/// `version` last: the conditions before it must still see the old one, for assignments run left to right.
const GATED: [&str; 21] = [
    "deleted",
    "pipeline",
    "source",
    "side",
    "merchant_id",
    "bill_type",
    "direction",
    "status",
    "amount",
    "fee",
    "currency",
    "balance_after",
    "occurred_at",
    "posted_at",
    "counterparty",
    "order_no",
    "channel",
    "channel_ref",
    "remark",
    "committed_at",
    "version",
];
/// Rows that are looked at by one statement when a table was emptied.
const RANGE: u32 = 5_000;
/// Rows of the largest statement: 23 placeholders each, below the protocol's 65,535, and where the rate levels off.
const LARGEST: usize = 1000;

/// Writes to table `bill`.
pub struct BillStore {
    pool: MySqlPool,
    /// One statement for each size, so that each is prepared once per connection: 1000, then powers of two.
    statements: Vec<(usize, Arc<str>)>,
}

impl BillStore {
    /// A sink over the pool of the bill store.
    pub fn new(pool: MySqlPool) -> Self {
        let sizes = std::iter::once(LARGEST).chain((0..10).rev().map(|power| 1 << power));
        Self { pool, statements: sizes.map(|size| (size, Arc::from(statement(size)))).collect() }
    }

    async fn apply(&self, batch: &[BillRecord]) -> Result<(), sqlx::Error> {
        let chunks = self.chunks(batch);
        if let [(sql, rows)] = chunks.as_slice() {
            // one statement is its own transaction: one round trip, one flush to disk
            bind(sql, rows).execute(&self.pool).await?;
            return Ok(());
        }
        let mut transaction = self.pool.begin().await?;
        for (sql, rows) in &chunks {
            bind(sql, rows).execute(&mut *transaction).await?;
        }
        transaction.commit().await
    }

    /// The batch cut into the prepared sizes, largest first.
    fn chunks<'a>(&self, mut rest: &'a [BillRecord]) -> Vec<(&Arc<str>, &'a [BillRecord])> {
        let mut chunks = Vec::new();
        for (size, sql) in &self.statements {
            while let Some((rows, after)) = rest.split_at_checked(*size) {
                chunks.push((sql, rows));
                rest = after;
            }
        }
        chunks
    }
}

impl BillStore {
    /// Along the primary key, a range at a time: one statement over a large table would hold its locks for as long.
    async fn end_in_ranges(&self, barrier: &Barrier) -> Result<u64, sqlx::Error> {
        let mut ended = 0;
        let mut after: Option<(u64, String)> = None;
        loop {
            let (account, bill) = after.clone().unwrap_or_default();
            let last: Option<(u64, String)> = sqlx::query_as(
                "SELECT account_id, bill_id FROM (SELECT account_id, bill_id FROM bill WHERE account_id > ? OR (account_id = ? AND bill_id > ?)
                   ORDER BY account_id, bill_id LIMIT ?) AS ranged ORDER BY account_id DESC, bill_id DESC LIMIT 1",
            )
            .bind(account)
            .bind(account)
            .bind(&bill)
            .bind(RANGE)
            .fetch_optional(&self.pool)
            .await?;
            let Some(last) = last else { return Ok(ended) };
            for pipeline in &barrier.pipelines {
                let done = sqlx::query(
                    "UPDATE bill SET deleted = TRUE, committed_at = ?, version = ?
                     WHERE (account_id > ? OR (account_id = ? AND bill_id > ?)) AND (account_id < ? OR (account_id = ? AND bill_id <= ?))
                       AND source = ? AND pipeline = ? AND version < ?",
                )
                .bind(barrier.committed_at.to_datetime())
                .bind(barrier.version.get())
                .bind(account)
                .bind(account)
                .bind(&bill)
                .bind(last.0)
                .bind(last.0)
                .bind(&last.1)
                .bind(&barrier.source)
                .bind(pipeline)
                .bind(barrier.version.get())
                .execute(&self.pool)
                .await?;
                ended += done.rows_affected();
            }
            after = Some(last);
        }
    }
}

impl Sink for BillStore {
    fn stage(&self) -> Stage {
        Stage::BillStore
    }

    async fn end_older(&self, barrier: &Barrier) -> Result<u64, String> {
        self.end_in_ranges(barrier).await.map_err(|error| error.to_string())
    }

    fn mark_every(&self) -> Duration {
        Duration::from_millis(100)
    }

    async fn mark(&self, topic: &str, marks: &[(i32, Mark)]) -> Result<(), String> {
        // safe: the text is built from constants and the number of marks alone; every value is bound
        let query = sqlx::query(AssertSqlSafe(mark_statement(marks.len())));
        let bound = marks.iter().fold(query, |query, (partition, mark)| {
            let query = query.bind(topic).bind(partition).bind(&mark.source).bind(mark.seq.get());
            query.bind(&mark.gtid).bind(mark.as_of.map(Timestamp::to_datetime))
        });
        bound.execute(&self.pool).await.map(drop).map_err(|error| error.to_string())
    }

    async fn write(&self, batch: &[BillRecord]) -> Result<(), SinkError> {
        let Err(error) = self.apply(batch).await else { return Ok(()) };
        if !is_about_the_rows(&error) {
            return Err(SinkError::down(batch, error));
        }
        // which row it is, the server does not say: by halves, and the gate makes the repeats harmless
        let mut refused = Vec::new();
        let mut ranges = halves(0..batch.len());
        while let Some(range) = ranges.pop() {
            match self.apply(batch.get(range.clone()).unwrap_or_default()).await {
                Ok(()) => {}
                Err(error) if !is_about_the_rows(&error) => {
                    ranges.push(range);
                    let mut left: Vec<usize> = ranges.into_iter().flatten().collect();
                    left.sort_unstable();
                    return Err(match refused.is_empty() {
                        true => SinkError::Transient { left, cause: error.to_string() },
                        false => SinkError::Definite { refused, left },
                    });
                }
                Err(error) if range.len() <= 1 => refused.push((range.start, error.to_string())),
                Err(_) => ranges.extend(halves(range)),
            }
        }
        // all went in by halves: what was in the way is gone
        if refused.is_empty() { Ok(()) } else { Err(SinkError::Definite { refused, left: Vec::new() }) }
    }
}

/// Marks gated by what they say: `seq` last, for the conditions before it must still see the old one. The same seq again is a later look
/// at a source that stands still.
fn mark_statement(marks: usize) -> String {
    let gated = ["gtid", "as_of", "marked_at"].map(|column| {
        let newer =
            "VALUES(seq) > seq OR (VALUES(seq) = seq AND COALESCE(VALUES(as_of) >= as_of, as_of IS NULL))";
        format!("{column} = IF({newer}, VALUES({column}), {column})")
    });
    // as_of last of those: the others' conditions look at it
    let [gtid, as_of, marked_at] = gated;
    format!(
        "INSERT INTO progress (topic, topic_partition, source, seq, gtid, as_of, marked_at) VALUES {} \
         ON DUPLICATE KEY UPDATE {gtid}, {marked_at}, {as_of}, seq = GREATEST(seq, VALUES(seq))",
        vec!["(?,?,?,?,?,?,UTC_TIMESTAMP(3))"; marks].join(",")
    )
}

/// The two halves of a range, or the range itself where it has but one row.
fn halves(range: Range<usize>) -> Vec<Range<usize>> {
    let middle = range.start + range.len() / 2;
    if range.len() <= 1 { vec![range] } else { vec![middle..range.end, range.start..middle] }
}

/// Errors that the same row meets every time. All others (lost connection, deadlock, lock wait, read-only, disk full, missing
/// grant or table) say nothing about the rows, and an operator or time mends them.
fn is_about_the_rows(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(error) = error else { return false };
    let Some(error) = error.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>() else { return false };
    // null in not-null, out of range, wrong value, too long, truncated, wrong string, check constraint (MySQL, MariaDB)
    matches!(error.number(), 1048 | 1264 | 1265 | 1292 | 1366 | 1406 | 3819 | 4025)
}

fn statement(rows: usize) -> String {
    let columns = KEY.iter().chain(&GATED).copied().collect::<Vec<_>>().join(", ");
    let one = format!("({})", vec!["?"; KEY.len() + GATED.len()].join(","));
    let gated = GATED.iter().map(|column| match *column {
        "version" => "version = GREATEST(version, VALUES(version))".to_owned(),
        column => format!("{column} = IF(VALUES(version) >= version, VALUES({column}), {column})"),
    });
    let gated = gated.collect::<Vec<_>>().join(", ");
    format!(
        "INSERT INTO bill ({columns}) VALUES {} ON DUPLICATE KEY UPDATE {gated}",
        vec![one; rows].join(",")
    )
}

fn bind<'q>(sql: &Arc<str>, rows: &'q [BillRecord]) -> Query<'q, sqlx::MySql, MySqlArguments> {
    // safe: the text is built from the constants above alone; every value is bound
    let query = sqlx::query(AssertSqlSafe(Arc::clone(sql))).persistent(true);
    rows.iter().fold(query, |query, record| {
        let bill = &record.bill;
        query
            .bind(bill.account_id)
            .bind(bill.bill_id.as_str())
            .bind(record.op == BillOp::Delete)
            .bind(&bill.pipeline)
            .bind(&bill.source)
            .bind(&bill.side)
            .bind(bill.merchant_id)
            .bind(&bill.bill_type)
            .bind(bill.direction.as_str())
            .bind(&bill.status)
            .bind(bill.amount)
            .bind(bill.fee)
            .bind(&bill.currency)
            .bind(bill.balance_after)
            .bind(bill.occurred_at.to_datetime())
            .bind(bill.posted_at.to_datetime())
            .bind(&bill.counterparty)
            .bind(&bill.order_no)
            .bind(&bill.channel)
            .bind(bill.channel_ref.as_deref())
            .bind(&bill.remark)
            .bind(record.committed_at.to_datetime())
            .bind(record.version.get())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_assigned_last_and_every_other_column_is_gated() {
        let sql = statement(2);
        assert!(sql.ends_with("version = GREATEST(version, VALUES(version))"), "{sql}");
        assert!(sql.contains("deleted = IF(VALUES(version) >= version, VALUES(deleted), deleted)"));
        assert_eq!(sql.matches("IF(VALUES(version) >= version").count(), GATED.len() - 1);
        assert_eq!(sql.matches('?').count(), 2 * 23);
    }
}
