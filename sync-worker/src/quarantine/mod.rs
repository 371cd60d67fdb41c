//! Rows that cannot become bills, and bills that a sink never takes: set aside with their bytes, so that one holds up nobody (G8).
//!
//! ```text
//!  router ──(in the transaction of the bills around it)──┐
//!  writers ──(before the offsets of the batch around it)─┴─► <bills>.quarantine ──► keeper ──► table quarantine
//!    ▲  know what is open: a later image that fits, or its end, heals it   │              (for people and replay)
//!    └──────── read to its end when a partition is taken over ◄────────────┘
//! ```

mod keeper;
mod load;
mod open;
mod outbox;
mod record;
mod table;

pub use keeper::{KeeperError, Settings, run};
pub(crate) use load::{LoadError, load};
pub(crate) use open::Open;
pub(crate) use outbox::Outbox;
pub(crate) use record::Recorded;
pub use table::count_open;
