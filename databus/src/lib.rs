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

mod ages;
pub mod binlog;
mod check;
mod error;
mod file;
mod live;
mod metrics;
mod output;
mod page;
mod position;
mod presence;
mod publish;
mod purge;
pub mod render;
mod session;
mod snapshot;
mod source;
mod status;
mod stream;
mod supervisor;
mod tail;

pub use check::check;
pub use error::DatabusError;
pub use file::{FileError, read_file};
pub use metrics::Metrics;
pub use output::Output;
pub use position::{Change, Target, change, show};
pub use snapshot::{Wanted as WantedSnapshot, request as request_snapshot};
pub use source::LostPosition;
pub use stream::Counts;
pub use tail::{Form, From, Tail, tail};

use anyhow::Context;
use page::{Shown, page};
use pipeline_config::Config;
use purge::Watch;
use service_kit::{
    Shutdown,
    admin::{self, Probe, Probes},
    process::{usage, with_code},
};
use status::{State, Status};
use std::sync::Arc;
use supervisor::supervise;
use tokio::task::JoinSet;

/// Streams every source of the configuration until a stop is asked for. Each has its own threads, reader and producer; a definite error
/// ends its source alone. The process ends with the first such error once no source is left.
pub async fn run(config: Config, shutdown: Shutdown) -> anyhow::Result<()> {
    let config = Arc::new(config);
    let registry = prometheus::Registry::new();
    let metrics = Metrics::register(&registry)?;
    let (mut sources, mut shown) = (Vec::new(), Vec::new());
    let mut probes = Probes::new();
    for source in &config.sources {
        let password = source.login.password.resolve().map_err(usage)?;
        let status = Status::new(&metrics, &source.name);
        let told = status.clone();
        probes = probes.with(Probe::telling(format!("source {}", source.name), move || told.ready()));
        let metrics = metrics.of(&source.name);
        shown.push(Shown {
            name: source.name.to_string(),
            status: status.clone(),
            metrics: metrics.clone(),
            warn_before: config.databus.purge_warning,
        });
        sources.push((Arc::new(source.clone()), password, status, metrics));
    }
    // first of all: two processes with the same port would have the same instance name
    let _admin =
        admin::serve_with_page(config.databus.admin_listen, probes, registry, page(shown), shutdown.clone())
            .await?;
    let mut workers = JoinSet::new();
    for (source, password, status, metrics) in sources {
        let (config, shutdown) = (config.clone(), shutdown.clone());
        let watch = Watch {
            source: source.clone(),
            password: password.clone(),
            metrics: metrics.clone(),
            status: status.clone(),
            warn_before: config.databus.purge_warning,
        };
        tokio::spawn(watch.run(shutdown.clone()));
        workers.spawn(async move {
            let ended =
                supervise(config, source.clone(), password, metrics.clone(), status.clone(), shutdown).await;
            if let Err(error) = &ended {
                status.set(State::Failed, error);
                if let Some(lost) = error.lost_position() {
                    metrics.lost(lost);
                }
            }
            (source, ended)
        });
    }
    let (mut first_error, mut stopped) = (None, false);
    while let Some(ended) = workers.join_next().await {
        let (source, ended) = ended.context("run a source")?;
        match ended {
            Ok(()) => stopped = true,
            Err(error) => {
                // the last one's error is how the process ends
                if first_error.is_some() || !workers.is_empty() {
                    tracing::error!(source = %source.name, %error, "this source has failed; the others go on");
                }
                first_error.get_or_insert(error);
            }
        }
    }
    match first_error {
        Some(error) if !stopped => Err(with_code(error.exit_code(), error)),
        _ => Ok(()),
    }
}
