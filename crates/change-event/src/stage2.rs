//! Stage 2's record: one bill's newest state, or its end, with the version that gates it.

use crate::{Timestamp, Version};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What the sinks must do with the bill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BillOp {
    /// Store this state.
    Upsert,
    /// Leave a tombstone.
    Delete,
}

/// A bill's name in both sinks: `{pipeline}.{source}.{side}.{source row key}`, at most 128 ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BillId(String);

impl BillId {
    /// Longest id in bytes.
    pub const MAX_LEN: usize = 128;

    /// The id of the bill that a side of a pipeline makes from a row; `None` when the row's key does not fit in an id.
    pub fn compose(pipeline: &str, source: &str, side: &str, row_key: &str) -> Option<Self> {
        let id = format!("{pipeline}.{source}.{side}.{row_key}");
        let fits = id.len() <= Self::MAX_LEN && id.bytes().all(|b| b.is_ascii_graphic());
        fits.then_some(Self(id))
    }

    /// An id as a caller sent it; only its form is checked.
    pub fn from_text(text: &str) -> Option<Self> {
        let fits =
            !text.is_empty() && text.len() <= Self::MAX_LEN && text.bytes().all(|b| b.is_ascii_graphic());
        fits.then(|| Self(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BillId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which way the money went, seen from the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Into the account.
    In,
    /// Out of the account.
    Out,
}

impl Direction {
    /// `in` or `out`, as the sinks store it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
        }
    }
}

/// One account's view of one source row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bill {
    /// The account it belongs to; with `bill_id` its key in both sinks.
    pub account_id: u64,
    /// Its name.
    pub bill_id: BillId,
    /// The pipeline that made it, such as `orders`.
    pub pipeline: String,
    /// The source it comes from.
    pub source: String,
    /// The side of the row, such as `payee`.
    pub side: String,
    /// The merchant that owns the account.
    pub merchant_id: u64,
    /// What kind of movement, such as `collect`.
    pub bill_type: String,
    /// Which way the money went.
    pub direction: Direction,
    /// How it stands, such as `succeeded`.
    pub status: String,
    /// Minor units of `currency`.
    pub amount: i64,
    /// Minor units; what this side paid for it.
    pub fee: i64,
    /// ISO 4217.
    pub currency: String,
    /// The account's balance after it, where the source says.
    pub balance_after: Option<i64>,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// When it last changed.
    pub posted_at: Timestamp,
    /// Who was on the other side.
    pub counterparty: String,
    /// The order's number.
    pub order_no: String,
    /// How it was paid.
    pub channel: String,
    /// The channel's own reference.
    pub channel_ref: Option<String>,
    /// The merchant's note.
    pub remark: String,
}

/// Where the change behind a bill came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BillSource {
    /// The source's name.
    pub name: String,
    /// Database of the row's table.
    pub db: String,
    /// The row's table.
    pub table: String,
    /// The transaction's GTID.
    pub gtid: Option<String>,
    /// Commit time in Unix milliseconds.
    pub ts_ms: i64,
}

/// A stage-2 value. Its key is [`BillRecord::partition_key`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BillRecord {
    /// Store or end.
    pub op: BillOp,
    /// The change's version: both sinks refuse anything older than what they hold (G5).
    pub version: Version,
    /// The state; for a delete, the last state the source had.
    pub bill: Bill,
    /// Where it came from.
    pub source: BillSource,
    /// When the source committed it.
    pub committed_at: Timestamp,
}

impl BillRecord {
    /// Stage 2's key: the account id in decimal, so that one account's bills share a partition (G3).
    pub fn partition_key(&self) -> String {
        self.bill.account_id.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_names_pipeline_source_side_and_row() {
        let id = BillId::compose("orders", "accounting", "payee", "1042").unwrap();
        assert_eq!(id.as_str(), "orders.accounting.payee.1042");
        assert_eq!(BillId::compose("orders", "accounting", "payee", "with space"), None);
        assert_eq!(BillId::compose("orders", "accounting", "payee", &"9".repeat(128)), None);
        assert_eq!(BillId::from_text(""), None);
    }
}
