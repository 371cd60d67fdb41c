//! Rows that cannot become bills: set aside with their bytes, so that one of them holds up nobody (G8).
//!
//! ```text
//!  router ──(in the transaction of the bills around it)──► <bills>.quarantine ──► keeper ──► table quarantine
//!    ▲  knows what is open; a later image of the row that fits, or its end, heals it        (for people and replay)
//!    └──────── read to its end at take-over ◄──────────────────────┘
//! ```

mod keeper;
mod open;
mod record;
mod table;

pub use keeper::{KeeperError, Settings, run};
pub(crate) use open::Open;
pub(crate) use record::Recorded;
pub use table::count_open;
