//! A bill as merchants see it.

use change_event::Timestamp;
use money::AccountId;
use serde::Serialize;
use sqlx::mysql::MySqlRow;
use sqlx::{FromRow, Row};
use time::PrimitiveDateTime;

/// The columns that [`Bill`] is read from, in any order.
pub(super) const COLUMNS: &str = "account_id, bill_id, version, pipeline, bill_type, direction, status, amount, fee, \
     currency, balance_after, occurred_at, posted_at, counterparty, order_no, channel, channel_ref, remark";

/// One bill. Amounts are integers in minor units of `currency`; ids and the version, which may pass 2^53, are strings.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Bill {
    pub(crate) bill_id: String,
    pub(crate) account_id: AccountId,
    pipeline: String,
    bill_type: String,
    direction: String,
    status: String,
    amount: i64,
    fee: i64,
    /// What the bill adds to the account: `amount - fee` in, `-(amount + fee)` out.
    net: i64,
    currency: String,
    balance_after: Option<i64>,
    pub(crate) occurred_at: Timestamp,
    posted_at: Timestamp,
    counterparty: String,
    order_no: String,
    channel: String,
    channel_ref: Option<String>,
    remark: String,
    /// Grows with every state of the bill: of two answers, the one with the larger version is newer.
    version: String,
}

impl FromRow<'_, MySqlRow> for Bill {
    fn from_row(row: &MySqlRow) -> sqlx::Result<Bill> {
        let direction: String = row.try_get("direction")?;
        let (amount, fee): (i64, i64) = (row.try_get("amount")?, row.try_get("fee")?);
        let moment = |column| {
            Ok::<_, sqlx::Error>(Timestamp::from_datetime(row.try_get::<PrimitiveDateTime, _>(column)?))
        };
        Ok(Bill {
            net: net(&direction, amount, fee)
                .ok_or_else(|| sqlx::Error::Decode("net is out of range".into()))?,
            bill_id: row.try_get("bill_id")?,
            account_id: AccountId(row.try_get("account_id")?),
            pipeline: row.try_get("pipeline")?,
            bill_type: row.try_get("bill_type")?,
            direction,
            status: row.try_get("status")?,
            amount,
            fee,
            currency: row.try_get("currency")?,
            balance_after: row.try_get("balance_after")?,
            occurred_at: moment("occurred_at")?,
            posted_at: moment("posted_at")?,
            counterparty: row.try_get("counterparty")?,
            order_no: row.try_get("order_no")?,
            channel: row.try_get("channel")?,
            channel_ref: row.try_get("channel_ref")?,
            remark: row.try_get("remark")?,
            version: row.try_get::<i64, _>("version")?.to_string(),
        })
    }
}

fn net(direction: &str, amount: i64, fee: i64) -> Option<i64> {
    if direction == "in" { amount.checked_sub(fee) } else { amount.checked_add(fee)?.checked_neg() }
}

#[cfg(test)]
mod tests {
    use super::net;

    #[test]
    fn the_net_is_what_the_account_gains() {
        assert_eq!(net("in", 10_000, 60), Some(9_940));
        assert_eq!(net("out", 10_000, 60), Some(-10_060));
        assert_eq!(net("out", i64::MAX, 1), None);
    }
}
