//! Stage 1 into stage 2: every change mapped to bills, keyed by account, exactly once (G3, G4).
//!
//! ```text
//!  own thread, one per source; the group's coordinator picks the process that is active
//!
//!  assigned:  new producer ─► init_transactions (fences the one before) ─► only then: group offset + last seq beside it
//!  poll ─► next seq? (dense, G2) ─► map ─► produce ─┐ until the input has no more, or the batch is full
//!                                                  └─► offset, with the last seq as its metadata ─► commit
//! ```
//!
//! Behind the bills that a checkpoint covers, a progress mark goes to every partition (G10).
//!
//! The offset and the last seq commit in the transaction of the records they cover, so both are exact after any crash.

mod marks;
mod position;
mod stage;

use change_event::Version;

use crate::kafka::TopicError;

pub use stage::{Settings, run};

/// Why a router stopped.
#[derive(Debug, thiserror::Error)]
pub enum RouterError {
    /// The topic or the group's place in it.
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// The client could not be made, or the broker turned it away.
    #[error("router of {topic}: {cause}")]
    Kafka {
        /// Stage 1's topic.
        topic: String,
        /// What the client said.
        cause: String,
    },
    /// A broker that was away, or a transaction that it gave up meanwhile: another start reads what became of it and goes on.
    #[error("router of {topic}: {cause}")]
    Interrupted {
        /// Stage 1's topic.
        topic: String,
        /// What the client said.
        cause: String,
    },
    /// Another process took over.
    #[error("router of {topic}: fenced, another sync-worker has taken this source over; this one stops")]
    Fenced {
        /// Stage 1's topic.
        topic: String,
    },
    /// The committed offset has no last seq beside it.
    #[error(
        "router of {topic}: the committed offset {offset} carries no last seq ({metadata:?}): the group was moved by hand; move it with `replay offsets`, which keeps the seq"
    )]
    LastSeqUnknown {
        /// Stage 1's topic.
        topic: String,
        /// The committed offset.
        offset: i64,
        /// What stands beside it.
        metadata: String,
    },
    /// A change is missing, doubled or out of order in stage 1.
    #[error(
        "router of {topic}: offset {offset} has seq {found} after {previous}: stage 1 must be dense; nothing is skipped, repair it with `databus reset` and `replay diff`"
    )]
    NotDense {
        /// Stage 1's topic.
        topic: String,
        /// Offset of the record.
        offset: i64,
        /// Its seq.
        found: Version,
        /// The seq before it.
        previous: Version,
    },
    /// Bytes that are not a change event.
    #[error("router of {topic}: offset {offset}: {cause}")]
    NotAChange {
        /// Stage 1's topic.
        topic: String,
        /// Offset of the record.
        offset: i64,
        /// Why.
        cause: String,
    },
    /// Bytes in the quarantine that nobody of ours set aside.
    #[error("router: {topic} offset {offset} is no record of the quarantine: {cause}")]
    NotSetAside {
        /// The quarantine's topic.
        topic: String,
        /// Offset of the record.
        offset: i64,
        /// Why.
        cause: String,
    },
    /// A record that cannot be written as JSON; cannot happen with what mapping makes.
    #[error("router of {topic}: offset {offset}: encode a record: {cause}")]
    Encode {
        /// Stage 1's topic.
        topic: String,
        /// Offset of the record.
        offset: i64,
        /// Why.
        cause: serde_json::Error,
    },
}
