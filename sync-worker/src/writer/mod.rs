//! Stage 2 into one sink. One writer per sink, each with its own consumer group, thread and pace (G9).
//!
//! ```text
//!  own thread:  poll ─► fold the newest per bill ─► hand over ─────────┐      next batch fills meanwhile
//!                 ▲                                                    ▼
//!                 │                                    runtime: sink.write, again until it is durable
//!                 └── commit the offsets of a durable batch (G6) ◄─────┘
//!  revoke:      stop, wait for the write under way (with a deadline), commit, hand over; all inside the callback
//!  sink down:   once a batch is full, pause and keep polling, so that the group keeps its member
//! ```

mod consumer;
pub mod fold;
mod hand_over;
mod told;

use crate::kafka::TopicError;

pub use consumer::{Settings, run};

/// Why a writer stopped.
#[derive(Debug, thiserror::Error)]
pub enum WriterError {
    /// The topic or the group's place in it.
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// The client could not be made, or the broker turned it away.
    #[error("group {group}: {cause}")]
    Kafka {
        /// Consumer group.
        group: String,
        /// What the client said.
        cause: String,
    },
    /// A broker that was away while partitions were taken over: another start goes on.
    #[error("group {group}: {cause}")]
    Interrupted {
        /// Consumer group.
        group: String,
        /// What the client said.
        cause: String,
    },
    /// Something that is not a bill record.
    #[error("group {group}: {topic}-{partition} offset {offset} is not a bill record: {cause}")]
    NotABill {
        /// Consumer group.
        group: String,
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The offset.
        offset: i64,
        /// Why.
        cause: String,
    },
    /// Bytes in the quarantine that nobody of ours set aside.
    #[error("{topic} offset {offset} is no record of the quarantine: {cause}")]
    NotSetAside {
        /// The quarantine's topic.
        topic: String,
        /// The offset.
        offset: i64,
        /// Why.
        cause: String,
    },
    /// A write ended without a result; what it was about is read again by the next start.
    #[error("group {group}: a write panicked: this is a bug")]
    Died {
        /// Consumer group.
        group: String,
    },
}
