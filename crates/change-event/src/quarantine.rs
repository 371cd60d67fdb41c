//! What is set aside: a row that cannot become a bill, or a bill that a sink never takes, with its bytes, until a later image heals it (G8).
//!
//! ```text
//! topic <bills topic>.quarantine: one partition, compacted
//!   key      Key as JSON: which side of which row
//!   value    the bytes as they were read; null: healed
//!   header   databus.quarantine: Facts as JSON; none where it is healed
//! ```

use crate::Version;
use serde::{Deserialize, Serialize};

/// The header that holds [`Facts`].
pub const HEADER: &str = "databus.quarantine";

/// The topic that goes with a stage 2 of this name.
pub fn topic(bills_topic: &str) -> String {
    format!("{bills_topic}.quarantine")
}

/// Who could not go on with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// The mapping: the row makes no bill.
    Router,
    /// The bill store refuses the bill.
    BillStore,
    /// The bill index refuses the document.
    BillIndex,
}

impl Stage {
    /// As it is written everywhere.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Router => "router",
            Self::BillStore => "bill-store",
            Self::BillIndex => "bill-index",
        }
    }
}

/// What is set aside: one side of one row, or one account's bill in one sink. The order of the fields is the order of the JSON, which is the record's key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key {
    /// Who could not go on with it.
    pub stage: Stage,
    /// The source.
    pub source: String,
    /// The pipeline.
    pub pipeline: String,
    /// The side.
    pub side: String,
    /// The row's primary key, as stage 1 has it; for a sink, `{"account":…,"bill":…}`. JSON.
    pub row: String,
}

/// Where and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// The change's version.
    pub version: Version,
    /// The account that the bill would have belonged to, where that much is known.
    pub account: Option<u64>,
    /// Topic of the bytes.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// Their offset.
    pub offset: i64,
    /// Binlog file of the change, where the bytes say it.
    pub file: Option<String>,
    /// Its position there.
    pub pos: Option<u64>,
    /// The transaction.
    pub gtid: Option<String>,
    /// What does not fit; names columns, never their content.
    pub reason: String,
    /// Images that were refused one after the other, this one included.
    pub attempts: u32,
    /// When the first of them was, in Unix milliseconds.
    pub first_ms: i64,
    /// When this one was, in Unix milliseconds.
    pub last_ms: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_the_same_bytes_every_time() {
        let key = Key {
            stage: Stage::Router,
            source: "accounting".to_owned(),
            pipeline: "orders".to_owned(),
            side: "payer".to_owned(),
            row: r#"{"order_id":7}"#.to_owned(),
        };
        let text = serde_json::to_string(&key).unwrap();
        assert_eq!(
            text,
            r#"{"stage":"router","source":"accounting","pipeline":"orders","side":"payer","row":"{\"order_id\":7}"}"#
        );
        assert_eq!(serde_json::from_str::<Key>(&text).unwrap(), key);
    }
}
