//! Stage 1 to stage 2 to the sinks: bills in account order.
//!
//! ```text
//!  changes.<source> ─► router ─────────────────────────────► bills (N partitions, keyed by account)
//!   (1 partition)      seq dense? map rows to bills            │                    │
//!                      one Kafka transaction per batch:        │ group bill-store   │ group bill-index
//!                      records + input offset + last seq       ▼                    ▼
//!                                                           writer               writer       (independent, G9)
//!                                                           fold to the newest version per bill
//!                                                           one round trip, then the offset moves (G6)
//!                                                              ▼                    ▼
//!                                                        sink::mysql          sink::elasticsearch
//!                                                        IF(VALUES(version) >= version)   external_gte     (G5)
//! ```
//!
//! A TRUNCATE reaches every partition as a barrier, which ends what is older (G5).
//! Behind the bills of each checkpoint the router writes a progress mark to every partition; the sinks keep the newest (G10).
//! What cannot become a bill is set aside by the router in the same transaction: [`quarantine`] (G8).
//!
//! [`mapping`] is pure and shared with `replay`: one definition of a bill.

pub mod daemon;
mod kafka;
mod lag;
pub mod mapping;
pub mod metrics;
pub mod mysql;
pub mod quarantine;
pub mod router;
pub mod sink;
pub mod writer;

pub use kafka::{TopicError, ensure_topics};
