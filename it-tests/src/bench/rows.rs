//! The rows: twelve columns as a billing table has them, the same in every run.

use super::ground::{DATABASE, TABLE};
use anyhow::Context;
use it_tests::harness::Stack;
use sqlx::{AssertSqlSafe, Connection, Executor, MySqlConnection, QueryBuilder};
use tokio::runtime::Runtime;

const STATUSES: [&str; 3] = ["pending", "settled", "failed"];

/// Writes rows over one connection, one transaction after the other.
#[derive(Debug)]
pub(super) struct RowWriter {
    runtime: Runtime,
    connection: MySqlConnection,
    /// Rows written so far; the last one's number.
    written: u64,
}

impl RowWriter {
    /// Connects and creates the table.
    pub(super) fn new(stack: &Stack) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let url = stack.mariadb()?.url("wallet", DATABASE)?;
        let mut connection = runtime.block_on(MySqlConnection::connect(&url))?;
        let create = format!(
            "CREATE TABLE {TABLE} (
               id BIGINT UNSIGNED NOT NULL PRIMARY KEY,
               bill_no VARCHAR(32) NOT NULL,
               merchant_id BIGINT NOT NULL,
               wallet_id BIGINT NOT NULL,
               kind TINYINT NOT NULL,
               amount DECIMAL(18,2) NOT NULL,
               balance DECIMAL(18,2) NOT NULL,
               currency CHAR(3) NOT NULL,
               status ENUM('pending','settled','failed') NOT NULL,
               order_no VARCHAR(40) NOT NULL,
               remark VARCHAR(255) NULL,
               created_at DATETIME(6) NOT NULL)"
        );
        runtime.block_on(connection.execute(AssertSqlSafe(create)))?;
        Ok(Self { runtime, connection, written: 0 })
    }

    /// Rows written so far.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// Writes rows, so many to a transaction.
    pub(super) fn write(&mut self, rows: u64, per_transaction: u64) -> anyhow::Result<()> {
        let end = self.written + rows;
        while self.written < end {
            let upto = end.min(self.written + per_transaction);
            let mut insert = QueryBuilder::new("INSERT INTO bill ");
            insert.push_values(self.written + 1..=upto, |mut values, number| {
                let random = scatter(number);
                let merchant = i64::try_from(random % 2_000).unwrap_or_default();
                let cents = random / 7 % 5_000_000;
                let remark = (random % 10 > 2).then(|| format!("settlement 结算 of merchant {merchant}"));
                values
                    .push_bind(number)
                    .push_bind(bill_no(number))
                    .push_bind(merchant)
                    .push_bind(merchant * 10 + i64::try_from(random % 10).unwrap_or_default())
                    .push_bind(u8::try_from(random % 5).unwrap_or_default())
                    .push_bind(format!("{}.{:02}", cents / 100, cents % 100))
                    .push_bind(format!("{}.{:02}", cents * 7 / 100, cents * 7 % 100))
                    .push_bind("CNY")
                    .push_bind(STATUSES[usize::try_from(random % 3).unwrap_or_default()])
                    .push_bind(format!("ORD2026{number:016}{merchant:06}"))
                    .push_bind(remark)
                    .push_bind(format!(
                        "2026-11-{:02} {:02}:{:02}:{:02}.{:06}",
                        random % 28 + 1,
                        random / 3 % 24,
                        random / 11 % 60,
                        random / 13 % 60,
                        random % 1_000_000
                    ));
            });
            self.runtime
                .block_on(insert.build().execute(&mut self.connection))
                .with_context(|| format!("cannot write rows up to {upto} into {DATABASE}.{TABLE}"))?;
            self.written = upto;
        }
        Ok(())
    }
}

/// What is looked for in a record to know its row.
pub(super) fn bill_no(number: u64) -> String {
    format!("BILL{number:012}")
}

/// The number of the row whose `bill_no` stands in a record.
pub(super) fn number_in(record: &[u8]) -> Option<u64> {
    let at = record.windows(4).position(|four| four == b"BILL")?;
    std::str::from_utf8(record.get(at + 4..at + 16)?).ok()?.parse().ok()
}

/// One step of SplitMix64: numbers that look random, and the same in every run.
fn scatter(number: u64) -> u64 {
    let mut mixed = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_known_again_in_any_record_that_carries_its_bill_no() {
        let record = format!("{{\"after\":{{\"bill_no\":\"{}\"}}}}", bill_no(77));
        assert_eq!(number_in(record.as_bytes()), Some(77));
        assert_eq!(number_in(b"BILL"), None);
        assert_eq!(number_in(b"{}"), None);
    }
}
