//! Where in the binlog something is, and the error that stops a source there (G7).

use crate::{binlog::DecodeError, binlog::event::type_name, publish::PublishError};
use std::fmt;

/// A place in the binlog, for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Binlog file.
    pub file: String,
    /// Start of the event in it.
    pub pos: u64,
    /// The event's type number.
    pub type_code: u8,
    /// The table, where one is known.
    pub table: Option<String>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{} ({}, type {})", self.file, self.pos, type_name(self.type_code), self.type_code)?;
        match &self.table {
            Some(table) => write!(f, " in {table}"),
            None => Ok(()),
        }
    }
}

/// Why streaming cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// Definite: these bytes will read the same way next time.
    #[error("cannot read the binlog at {place}: {reason}")]
    Undecodable {
        /// Where.
        place: Place,
        /// What is wrong.
        #[source]
        reason: DecodeError,
    },
    /// Definite: rows of a captured table change in a way that this version cannot follow.
    #[error("cannot follow the binlog at {place}: {reason}")]
    CannotFollow {
        /// Where.
        place: Place,
        /// What happened, and what to do.
        reason: String,
    },
    /// Definite: the transaction that is published in part is another one here.
    #[error(
        "the binlog at {place} does not continue the checkpoint: {reason}; nothing was skipped: point to a server that has the same \
         transactions, or begin a new numbering with a reset and take a snapshot"
    )]
    NotContinued {
        /// Where.
        place: Place,
        /// What is there.
        reason: String,
    },
    /// Definite: a version could not be given.
    #[error(transparent)]
    Version(#[from] change_event::VersionError),
    /// The change could not be handed to Kafka.
    #[error(transparent)]
    Publish(#[from] PublishError),
}

impl StreamError {
    /// Whether it is the log's content at one place, so that what stands in front of it is as good as ever.
    pub(crate) fn is_of_one_place(&self) -> bool {
        match self {
            Self::Undecodable { .. } | Self::CannotFollow { .. } => true,
            Self::NotContinued { .. } | Self::Version(_) | Self::Publish(_) => false,
        }
    }
}
