//! The database being tailed: what is asked of it before, how its binlog arrives, and how fresh we are.

mod finding;
mod flavor;
mod freshness;
mod history;
mod last_event;
mod login;
mod lost;
mod mysql_async_transport;
mod mysql_cdc_transport;
mod position;
mod preflight;
mod retention;
mod scan;
mod told;
mod transport;

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
pub(crate) use transport::{Feed, TransportError};

use change_event::checkpoint::BinlogPosition;
use flavor::Flavor;
use mysql_async_transport::MysqlAsyncTransport;
use mysql_cdc_transport::MysqlCdcTransport;
use pipeline_config::{Source, TlsMode};
use secrecy::SecretString;

/// Starts reading where `start` says, over the client that can: `mysql_cdc` over plain TCP from a MariaDB position, else `mysql_async`.
/// Blocks; call it off the async threads.
pub(crate) fn open(
    source: &Source,
    password: &SecretString,
    start: &Start,
    position: &BinlogPosition,
    runtime: &tokio::runtime::Handle,
) -> Result<Feed, TransportError> {
    let plain = source.tls.mode == TlsMode::Disabled && start.flavor == Flavor::MariaDb && !start.by_gtid;
    let feed = if plain {
        Feed::start(MysqlCdcTransport::connect(source, password, position)?)
    } else {
        Feed::start(runtime.block_on(MysqlAsyncTransport::connect(source, password, start, position))?)
    };
    feed.map_err(|cause| TransportError::Lost(format!("cannot start the reading thread: {cause}")))
}
