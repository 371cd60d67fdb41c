//! The double-entry ledger: accounts, journals, entries.
//!
//! ```text
//!  Journal (legs sum to zero, checked) ──► lock (SELECT .. FOR UPDATE, in id order) ──► against (funds, balance_after)
//!                                                                                      └─► write (entries, balances)
//! ```
//!
//! Rows of `journal` and `entry` are immutable: a correction is a new journal.

mod account;
mod internal;
mod journal;
mod post;

pub(crate) use account::AccountKind;
pub(crate) use internal::InternalAccounts;
pub(crate) use journal::{Direction, EntryKind, Journal, JournalKind, Leg, PostingError};
pub(crate) use post::{OrderRef, lock, write};
