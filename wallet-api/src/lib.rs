//! wallet-api: merchant access and fund payment over signed HTTP, grants over Thrift.
//!
//! ```text
//!  merchant app ─► http ─► flow control ─► auth (signature, clock, nonce) ─► routes ─► strict JSON ─► Command
//!                                            │ Redis                                                    │
//!  staff ────────► http ─► bearer token ─────┼───────────► Onboarding ─► MySQL wallet                   ▼
//!                                            ▼                                        Orders::submit, in a task of its own
//!  bill-api ─────► rpc ──► service token ─► Directory ─► MySQL wallet                                   │
//!                                                                     ┌─────────────────────────────────┘
//!                                                                     ▼
//!      one transaction in MySQL accounting: claim key · lock accounts in id order · order · journal · entries ·
//!      balances · saved answer ── deadlock, lock wait, lost connection ──► whole again, bounded
//! ```
//!
//! Money rules are pure (`ledger::journal`, `orders::plan`); SQL stands beside them (`ledger::post`, `orders::rows`).

mod auth;
mod clock;
mod config;
mod grants;
mod idempotency;
mod ledger;
mod merchants;
mod metrics;
mod migrate;
mod orders;
mod problems;
mod routes;
mod rpc;
mod run;
mod store;

pub use config::Settings;
pub use migrate::migrate;
pub use run::run;
