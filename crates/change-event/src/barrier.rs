//! Barriers: a source's table was emptied, so every bill that it made and that is older ends (G5).
//!
//! A barrier is a record without key and value in every partition of stage 2, whose header `databus.barrier` holds a [`Barrier`] as JSON. The
//! router writes it in the place of the TRUNCATE. Older bills stand in front of it in their partition, newer ones have higher versions, so
//! whoever ends what is older than the barrier's version may do so at any moment after the records in front of it are written.

use crate::{Timestamp, Version};
use serde::{Deserialize, Serialize};

/// The header that holds a [`Barrier`].
pub const HEADER: &str = "databus.barrier";

/// Which bills end, and with which version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Barrier {
    /// The source.
    pub source: String,
    /// The pipelines that read the table.
    pub pipelines: Vec<String>,
    /// The version of the tombstones: bills that are older end.
    pub version: Version,
    /// When the source committed it.
    pub committed_at: Timestamp,
}
