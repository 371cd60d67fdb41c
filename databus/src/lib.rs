//! Tails a MariaDB source's binlog into Kafka stage 1: every row change of the captured tables, once, in commit order.
//!
//! ```text
//!  source ──binlog──► source::Feed ──RawEvent──► stream::Assembler ──key, envelope──► publish::Publisher ──► changes.<source>
//!    │                (own thread,               (transactions, table maps,           (one Kafka transaction     databus.checkpoints
//!    │                 bounded queue)             rows to JSON, seq)                   with its checkpoint)
//!    ├─ source::preflight       refuses what could not be followed
//!    ├─ source::watch_horizon   the source's clock and binlog end, for as_of
//!    └─ snapshot                the tables as they stand, chunk by chunk between the transactions of the stream
//! ```
//!
//! `supervisor` keeps this going for one source; `session` is one stretch of it, from a checkpoint to the next failure.

pub mod binlog;
mod check;
mod error;
mod metrics;
mod output;
mod position;
mod publish;
pub mod render;
mod session;
mod snapshot;
mod source;
mod stream;
mod supervisor;
mod tail;

pub use check::check;
pub use error::DatabusError;
pub use metrics::Metrics;
pub use output::Output;
pub use position::{Change, Target, change, show};
pub use snapshot::{Wanted as WantedSnapshot, request as request_snapshot};
pub use source::LostPosition;
pub use tail::{Form, From, Tail, tail};

use anyhow::Context;
use pipeline_config::Config;
use service_kit::{
    Shutdown,
    admin::{self, Probe, Probes},
    process::{usage, with_code},
};
use std::sync::Arc;
use tokio::{sync::watch, task::JoinSet};

/// Streams every source of the configuration until a stop is asked for. A definite error of any source ends them all.
pub async fn run(config: Config, shutdown: Shutdown) -> anyhow::Result<()> {
    let config = Arc::new(config);
    let registry = prometheus::Registry::new();
    let metrics = Metrics::register(&registry)?;
    let mut probes = Probes::new();
    let mut workers = JoinSet::new();
    for source in &config.sources {
        let password = source.login.password.resolve().map_err(usage)?;
        let (ready, is_ready) = watch::channel(false);
        probes = probes.with(Probe::new("stream", move || {
            let ready = *is_ready.borrow();
            async move { if ready { Ok(()) } else { Err("the stream has not started") } }
        }));
        workers.spawn(supervisor::supervise(
            config.clone(),
            Arc::new(source.clone()),
            password,
            metrics.of(&source.name),
            ready,
            shutdown.clone(),
        ));
    }
    let _admin = admin::serve(config.databus.admin_listen, probes, registry, shutdown.clone()).await?;
    let mut first_error = None;
    while let Some(ended) = workers.join_next().await {
        if let Err(error) = ended.context("run a source")? {
            first_error.get_or_insert(error);
            shutdown.request();
        }
    }
    first_error.map_or(Ok(()), |error| Err(with_code(error.exit_code(), error)))
}
