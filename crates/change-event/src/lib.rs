//! The contract between the stages: what a change event and a bill record look like, and how versions order them. No I/O.
//!
//! ```text
//! databus ──stage 1: envelope (Debezium's JSON, borrowed decode)──► router ──stage 2: BillRecord──► writers
//!                    └ source.seq = Version, dense per source                └ version gates both sinks
//! ```

pub mod barrier;
pub mod checkpoint;
pub mod envelope;
pub mod progress;
pub mod quarantine;
mod row;
pub mod stage2;
mod timestamp;
mod version;

pub use row::{Row, Value};
pub use timestamp::{Timestamp, TimestampError};
pub use version::{Epoch, Version, VersionError};
