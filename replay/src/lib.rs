//! Reconciliation: reads what should be, what is, and says what differs. Read-only, beside live traffic.
//!
//! ```text
//!  source table ──► same row shape as the change stream ──► sync-worker's mapping ──► expected ─┐ sorted by
//!  bill store   ──► live rows, tombstones left out ─────────────────────────────────────────────┼─ bill id, merged
//!  bill index   ──► point in time + search_after, tombstones left out ──────────────────────────┘ side by side
//!                                                                                    └─► missing · extra · changed
//! ```
//!
//! Nothing is held but a few pages of each, so the size of the ledger does not matter.

pub mod diff;
