//! At most one effect per (merchant, key): the key's row is claimed, filled and committed in the transaction of the
//! ledger rows it answers for.
//!
//! ```text
//!  claim ── new ──► work ──► save(status, body) ──► commit
//!     └─── taken ─► rollback ──► recall ── same digest ──► the first answer, byte for byte
//!                                  └────── other digest ─► 422 idempotency_mismatch
//! ```
//!
//! A second request with a key that is still at work waits on the first one's row lock, then recalls its answer; if the
//! wait is too long it is told so (409). An answer is saved if the work was done or refused for a business reason;
//! never if the request was invalid or the service failed, so those can be sent again with the same key.

mod key;
mod purge;
mod record;

pub(crate) use key::{IdempotencyKey, KeyError};
pub(crate) use purge::purge_until;
pub(crate) use record::{Claim, Recalled, RequestDigest, claim, recall, save};

/// Marks an answer that was given before.
pub(crate) const REPLAYED_HEADER: &str = "idempotency-replayed";
