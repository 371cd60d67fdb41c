//! Command line of `databus`.

use clap::{Parser, Subcommand};
use databus::Output;
use std::path::PathBuf;

/// Tails the binlog of an accounting database into Kafka: every row change once, in commit order.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "exit codes: 0 stopped by a signal, 1 a definite error, 2 wrong usage or configuration, 10 another databus has taken over; the \
                  checkpoint's place is lost: 11 its binlog file is purged, 12 the binlog has another history, 13 another server answers, \
                  14 another reader uses our server_id, 15 the GTIDs do not continue"
)]
pub(crate) struct Cli {
    /// The configuration shared by all daemons.
    #[arg(long, global = true, default_value = "pipelines.toml")]
    pub(crate) config: PathBuf,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Stream until SIGTERM or SIGINT.
    Run,
    /// Check every source's settings, tables and rights, and Kafka; change nothing
    ///
    /// Prints what is fine and what is not, with the GRANT and SET statements to run. Exit code 0 if every source can be followed, else 1.
    #[command(
        after_help = "Example:\n  databus check --config /etc/databus/pipelines.toml\n  databus check --output json | jq '.sources[].findings[].fix[]'"
    )]
    Check {
        /// For people or for programs.
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
}
