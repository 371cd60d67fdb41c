//! How far a source has been published. One record per source in the compacted topic `databus.checkpoints`,
//! written in the same Kafka transaction as the rows it covers (G4, G6).

use crate::{Epoch, Timestamp, Version};
use serde::{Deserialize, Serialize};

/// The compacted topic that holds every source's checkpoint; key = the source's name.
pub const TOPIC: &str = "databus.checkpoints";

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
    /// All changes that the source committed up to this moment (its own clock) are published.
    pub as_of: Option<Timestamp>,
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
            as_of: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_survives_its_json() {
        let checkpoint = Checkpoint {
            source_identity: SourceIdentity { server_id: 1 },
            epoch: Epoch::FIRST,
            seq: Version::try_from(42).unwrap(),
            gtid: Some("0-1-9".to_owned()),
            position: BinlogPosition { file: "binlog.000001".to_owned(), pos: 345 },
            events_done_in_next: 3,
            as_of: Some(Timestamp::from_micros(1).unwrap()),
        };
        let json = serde_json::to_string(&checkpoint).unwrap();
        assert_eq!(serde_json::from_str::<Checkpoint>(&json).unwrap(), checkpoint);
    }
}
