//! Stage 1's record value: Debezium's envelope without the schema block, decoded without copying.
//!
//! Shape: <https://debezium.io/documentation/reference/stable/connectors/mariadb.html#mariadb-events>.

use crate::{Row, Version};
use serde::Deserialize;
use std::borrow::Cow;

/// What happened to the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Op {
    /// Inserted.
    #[serde(rename = "c")]
    Create,
    /// Updated in place; a changed primary key is a delete and a create instead.
    #[serde(rename = "u")]
    Update,
    /// Deleted.
    #[serde(rename = "d")]
    Delete,
    /// Read by a snapshot.
    #[serde(rename = "r")]
    Read,
    /// The whole table was emptied.
    #[serde(rename = "t")]
    Truncate,
}

/// Where a change came from.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct SourceBlock<'a> {
    /// The source's name in `pipelines.toml`.
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    /// Database of the table.
    #[serde(borrow)]
    pub db: Cow<'a, str>,
    /// The table.
    #[serde(borrow)]
    pub table: Cow<'a, str>,
    /// The server that first wrote the change.
    pub server_id: u32,
    /// The transaction's GTID, such as `0-1-42`.
    #[serde(borrow)]
    pub gtid: Option<Cow<'a, str>>,
    /// Binlog file.
    #[serde(borrow)]
    pub file: Cow<'a, str>,
    /// Start of the rows event in the file, in bytes.
    pub pos: u64,
    /// The row's place in its rows event, from 0.
    pub row: u32,
    /// The change's version: dense per source.
    pub seq: Version,
    /// When the source committed, in Unix milliseconds (whole seconds on MariaDB).
    pub ts_ms: i64,
}

/// The change's place in its transaction.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct TransactionBlock<'a> {
    /// The GTID.
    #[serde(borrow)]
    pub id: Cow<'a, str>,
    /// From 1, over all captured tables.
    pub total_order: u64,
    /// From 1, within the table.
    pub data_collection_order: u64,
}

/// One change event.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Change<'a> {
    /// The row before; present on updates and deletes.
    #[serde(borrow)]
    pub before: Option<Row<'a>>,
    /// The row after; present on creates, reads and updates.
    #[serde(borrow)]
    pub after: Option<Row<'a>>,
    /// What happened.
    pub op: Op,
    /// When databus handled it, in Unix milliseconds.
    pub ts_ms: i64,
    /// Where it came from.
    #[serde(borrow)]
    pub source: SourceBlock<'a>,
    /// Its place in the transaction.
    #[serde(borrow)]
    pub transaction: Option<TransactionBlock<'a>>,
}

/// Bytes that are not a change event. Definite: they will not parse next time either.
#[derive(Debug, thiserror::Error)]
#[error("not a change event: {0}")]
pub struct EnvelopeError(#[from] serde_json::Error);

impl<'a> Change<'a> {
    /// Decodes a record's value, borrowing from it.
    pub fn parse(value: &'a [u8]) -> Result<Self, EnvelopeError> {
        Ok(serde_json::from_slice(value)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Value;

    #[test]
    fn an_envelope_parses_with_its_rows_and_version() {
        let json = br#"{"before":null,"after":{"id":7,"name":"x"},"op":"c","ts_ms":5,"source":{"version":"0.1.0","connector":"mariadb",
            "name":"accounting","ts_ms":4,"snapshot":"false","db":"accounting","table":"entry","server_id":1,"gtid":"0-1-9",
            "file":"binlog.000001","pos":345,"row":0,"seq":12},"transaction":{"id":"0-1-9","total_order":1,"data_collection_order":1}}"#;
        let change = Change::parse(json).unwrap();
        assert_eq!((change.op, change.source.seq.get(), change.source.pos), (Op::Create, 12, 345));
        assert_eq!(change.after.as_ref().and_then(|row| row.get("id")), Some(&Value::I64(7)));
        assert!(change.before.is_none());
        assert!(Change::parse(b"{}").is_err() && Change::parse(b"not json").is_err());
    }
}
