//! The database being tailed: what is asked of it before, how its binlog arrives, and how fresh we are.

mod finding;
mod freshness;
mod history;
mod lost;
mod mysql_cdc_transport;
mod position;
mod preflight;
mod retention;
mod scan;
mod told;
mod transport;

pub(crate) use finding::Finding;
pub(crate) use freshness::{Horizon, watch_horizon};
pub(crate) use history::confirm;
pub use lost::LostPosition;
pub(crate) use mysql_cdc_transport::MysqlCdcTransport;
pub(crate) use position::{compare, file_number};
pub(crate) use preflight::{Examination, PreflightError, Server, examine, preflight, server_error};
pub(crate) use retention::{Retention, began, connect};
pub(crate) use scan::{Passage, Sought, Spot, between, find};
pub(crate) use told::told_columns;
pub(crate) use transport::{Feed, TransportError};
