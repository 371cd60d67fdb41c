//! The tables as they stand, read beside the stream without a lock: in chunks by primary key, several at once, resumable.
//!
//! ```text
//!  reader tasks (snapshot_connections of them)                 the session's thread
//!  ─ cut the next range of keys ──────────── Open ───────────► Window: from here on, the keys that the stream publishes
//!  ─ START TRANSACTION WITH CONSISTENT SNAPSHOT,
//!    again until it stands for a place at or past the window's
//!  ─ SELECT the chunk, COMMIT ────────────── Rows ───────────► waits until the stream has come to the chunk's place,
//!                                                              drops the rows that it published since, the others are op `r` with the
//!                                                              next `seq`; in the same Kafka transaction as the progress
//!            ◄──────────── Emitted, or Again ─────────────────┘ (Again: a statement changed the table, or too many keys)
//! ```
//!
//! The idea is the DBLog paper's (<https://arxiv.org/abs/2010.12597>) with nothing written to the source. Why a chunk is exact: its rows
//! are the table's at one place P of the binlog. The window opened at W <= P, the rows go out at X >= P. A row whose key the stream did
//! not publish in (W, X] is the same at P and at X, so it is neither older nor newer than the changes around it; one whose key it did
//! publish is in stage 1 already, and newer.

mod board;
mod chunk;
mod command;
mod consistent;
mod cursor;
mod filter;
mod metrics;
mod piece;
mod reader;
mod table;
mod window;

pub(crate) use board::{Context, Snapshots, Tap, of_all};
pub use command::{Wanted, request};
pub(crate) use metrics::{SnapshotMetrics, SourceSnapshotMetrics};
