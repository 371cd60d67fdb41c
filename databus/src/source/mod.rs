//! The database being tailed: what is asked of it before, how its binlog arrives, and how fresh we are.

mod feed;
mod finding;
mod flavor;
mod freshness;
mod history;
mod last_event;
mod login;
mod lost;
mod mysql_async_transport;
mod position;
mod preflight;
mod retention;
mod scan;
mod told;
mod transport;

pub(crate) use feed::Feed;
pub(crate) use finding::Finding;
pub(crate) use freshness::{Horizon, watch_horizon};
pub(crate) use history::{Start, answers_as, confirm};
pub(crate) use login::server_error;
pub use lost::LostPosition;
pub(crate) use position::{compare, file_number};
pub(crate) use preflight::{Examination, PreflightError, Server, examine, preflight};
pub(crate) use retention::{Retention, began, connect};
pub(crate) use scan::{Passage, Sought, Spot, between, find};
pub(crate) use told::told_columns;
pub(crate) use transport::TransportError;

use change_event::checkpoint::BinlogPosition;
use mysql_async_transport::MysqlAsyncTransport;
use pipeline_config::Source;
use secrecy::SecretString;

/// Starts reading where `start` says. Blocks; call it off the async threads.
pub(crate) fn open(
    source: &Source,
    password: &SecretString,
    start: &Start,
    position: &BinlogPosition,
    runtime: &tokio::runtime::Handle,
) -> Result<Feed, TransportError> {
    let transport = runtime.block_on(MysqlAsyncTransport::connect(source, password, start, position))?;
    Feed::start(runtime, transport)
        .map_err(|cause| TransportError::Lost(format!("cannot start the reading thread: {cause}")))
}
