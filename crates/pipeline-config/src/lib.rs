//! `pipelines.toml`: read ([`raw`]), checked ([`check`], [`check_pipeline`]) and held as types that cannot be wrong
//! ([`Config`], [`Pipeline`]).
//!
//! ```text
//! file ── toml ──► raw::File (unknown keys refused, spans kept) ── check ──► Config
//!                                                                    └─ check_pipeline ──► Pipeline, Side, FieldRule
//! ```
//!
//! Every error names the file, line and column, and what was wanted there. Secrets stay unread until a daemon asks for
//! its own ([`Secret::resolve`]), so no daemon needs another one's passwords.

mod check;
mod check_pipeline;
mod error;
mod model;
mod names;
mod pipeline;
mod place;
mod raw;
mod secret;

pub use error::ConfigError;
pub use model::{
    BillApi, Config, Databus, Flow, FlowClass, Index, Kafka, MySqlLogin, Redis, SnapshotMode, Source, Store,
    SyncWorker, Tls, TlsMode, WalletApi,
};
pub use names::{Name, TableName};
pub use pipeline::{ColumnRule, Condition, Constant, FieldRule, Otherwise, Pipeline, Side, SideFields, Test};
pub use place::Place;
pub use secret::{Secret, SecretError};
