//! How far a source has been published. One record per source in the compacted topic `databus.checkpoints`,
//! written in the same Kafka transaction as the rows it covers (G4, G6).

use crate::{Epoch, Timestamp, Version};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The compacted topic that holds every source's checkpoint; key = the source's name.
pub const TOPIC: &str = "databus.checkpoints";

/// How it is made. It is read from its beginning at every start, and the last segment is never compacted: that one is kept short.
pub const TOPIC_SETTINGS: [(&str, &str); 2] = [("cleanup.policy", "compact"), ("segment.bytes", "16777216")];

/// `max.message.bytes` of every topic that holds rows: Kafka's default of 1 MiB is less than one row may have.
pub const LARGEST_RECORD: &str = "67108864";

/// Stage 1's topic of a source.
pub fn changes_topic(source: &str) -> String {
    format!("changes.{source}")
}

/// A place in a server's binlog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BinlogPosition {
    /// File name, such as `binlog.000001`.
    pub file: String,
    /// Byte offset of an event's start in it.
    pub pos: u64,
}

/// Which server a position belongs to: a position means nothing on another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceIdentity {
    /// The server's `server_id`.
    pub server_id: u32,
    /// MySQL's `server_uuid`; MariaDB has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_uuid: Option<String>,
}

/// How far into a transaction its changes are published, told by what every server that has the transaction agrees on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inside {
    /// The transaction.
    pub gtid: String,
    /// Published changes by table (`database.table`).
    pub changes: BTreeMap<String, u64>,
}

/// An XA transaction that is prepared: nobody knows yet whether it will be committed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PreparedXa {
    /// Its name as XA COMMIT writes it: `X'67',X'62',1`.
    pub xid: String,
    /// Where its events start: they are read again from there once it is committed.
    pub position: BinlogPosition,
}

/// Everything that an exact restart needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// The server it was read from.
    pub source_identity: SourceIdentity,
    /// The numbering in force.
    pub epoch: Epoch,
    /// The last published change's version.
    pub seq: Version,
    /// GTID of the last completed transaction, as the server writes it.
    pub gtid: Option<String>,
    /// End of the last completed transaction: where reading starts again.
    pub position: BinlogPosition,
    /// Rows events of the transaction after `position` that are already published, counted over all tables, so that a changed
    /// list of tables cannot shift it. Batches are cut between rows events only.
    pub events_done_in_next: u64,
    /// The same cut for a server that wrote the transaction in other events: what a failover within a transaction goes by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inside: Option<Inside>,
    /// GTIDs of all transactions up to `position`: MariaDB the last of each domain, MySQL the executed set. With them another server
    /// that has the same transactions can be read on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gtids: Option<String>,
    /// All changes that the source committed up to this moment (its own clock) are published.
    pub as_of: Option<Timestamp>,
    /// XA transactions that are prepared before `position` and undecided up to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prepared_xa: Vec<PreparedXa>,
    /// Snapshots that are asked for or under way, in the order in which they are taken up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub snapshots: Vec<TableSnapshot>,
}

/// How far the snapshot of one table has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableSnapshot {
    /// Tells it from every other one of this source; the begin and end marks carry it.
    pub id: String,
    /// Database of the table.
    pub database: String,
    /// The table.
    pub table: String,
    /// Why it is made.
    pub cause: SnapshotCause,
    /// The operator's SQL predicate; `None`: the whole table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// Whether its begin mark is in stage 1.
    #[serde(default)]
    pub begun: bool,
    /// The primary key of the last row that is done, one text per key column in key order; `None` before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Vec<String>>,
    /// Rows read so far, published or superseded by the stream.
    #[serde(default)]
    pub rows: u64,
    /// Chunks done so far.
    #[serde(default)]
    pub chunks: u64,
}

impl TableSnapshot {
    /// The same from its beginning: what it read so far belongs to another history.
    pub fn anew(&self) -> Self {
        Self { begun: false, after: None, rows: 0, chunks: 0, ..self.clone() }
    }
}

/// Why a snapshot is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SnapshotCause {
    /// The source is read for the first time.
    Initial,
    /// An operator asked for it.
    Request,
    /// A piece of the binlog was lost: rows that it does not bring may be gone from the source.
    Gap,
    /// A statement changed the table's rows without row events.
    Statement,
}

impl SnapshotCause {
    /// Its word in marks and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Initial => "initial",
            Self::Request => "request",
            Self::Gap => "gap",
            Self::Statement => "statement",
        }
    }
}

impl Checkpoint {
    /// A checkpoint at the start of a transaction, with `seq` for the version of the change before it and nothing under way.
    pub fn at(source_identity: SourceIdentity, seq: Version, position: BinlogPosition) -> Self {
        Self {
            source_identity,
            epoch: seq.epoch(),
            seq,
            gtid: None,
            position,
            events_done_in_next: 0,
            inside: None,
            gtids: None,
            as_of: None,
            prepared_xa: Vec::new(),
            snapshots: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_survives_its_json() {
        let checkpoint = Checkpoint {
            source_identity: SourceIdentity { server_id: 1, server_uuid: Some("64d2".to_owned()) },
            epoch: Epoch::FIRST,
            seq: Version::try_from(42).unwrap(),
            gtid: Some("0-1-9".to_owned()),
            position: BinlogPosition { file: "binlog.000001".to_owned(), pos: 345 },
            events_done_in_next: 3,
            inside: Some(Inside {
                gtid: "0-1-10".to_owned(),
                changes: BTreeMap::from([("a.b".to_owned(), 7)]),
            }),
            gtids: Some("0-1-9".to_owned()),
            as_of: Some(Timestamp::from_micros(1).unwrap()),
            prepared_xa: vec![PreparedXa {
                xid: "X'31',X'',1".to_owned(),
                position: BinlogPosition { file: "binlog.000001".to_owned(), pos: 99 },
            }],
            snapshots: vec![TableSnapshot {
                id: "a".to_owned(),
                database: "accounting".to_owned(),
                table: "entry".to_owned(),
                cause: SnapshotCause::Request,
                filter: Some("amount > 0".to_owned()),
                begun: true,
                after: Some(vec!["7".to_owned()]),
                rows: 7,
                chunks: 1,
            }],
        };
        let json = serde_json::to_string(&checkpoint).unwrap();
        assert_eq!(serde_json::from_str::<Checkpoint>(&json).unwrap(), checkpoint);
        // one of a version that knew neither
        let (head, _) = json.split_once(",\"prepared_xa\"").unwrap();
        let old = serde_json::from_str::<Checkpoint>(&format!("{head}}}")).unwrap();
        assert!(old.snapshots.is_empty() && old.prepared_xa.is_empty());
    }

    #[test]
    fn a_checkpoint_of_the_first_release_still_reads() {
        let json = r#"{"source_identity":{"server_id":1},"epoch":0,"seq":42,"gtid":"0-1-9",
            "position":{"file":"binlog.000001","pos":345},"events_done_in_next":3,"as_of":null}"#;
        let checkpoint: Checkpoint = serde_json::from_str(json).unwrap();
        assert_eq!(
            (checkpoint.gtids, checkpoint.inside, checkpoint.source_identity.server_uuid),
            (None, None, None)
        );
    }
}
