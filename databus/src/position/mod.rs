//! `databus position`: how far a source has been published, and moving that by hand.

mod change;
mod plan;
mod show;

pub use change::{Change, Target, change};
pub use show::show;

use change_event::checkpoint::{BinlogPosition, Checkpoint};
use pipeline_config::{Config, Source};
use service_kit::process::usage;

/// The source of that name, or an error of usage.
fn source_named<'a>(config: &'a Config, name: &str) -> anyhow::Result<&'a Source> {
    config.source(name).ok_or_else(|| {
        let names: Vec<&str> = config.sources.iter().map(|source| source.name.as_str()).collect();
        usage(anyhow::anyhow!(
            "there is no [source.{name}] in {}; there is {}",
            config.path.display(),
            names.join(", ")
        ))
    })
}

/// `binlog.000001:345`
fn place(at: &BinlogPosition) -> String {
    format!("{}:{}", at.file, at.pos)
}

fn gtid_text(checkpoint: &Checkpoint) -> &str {
    checkpoint.gtid.as_deref().unwrap_or("none")
}
