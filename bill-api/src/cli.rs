//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Answers merchants' apps: their bills, one by one, in pages and by month.
///
/// Exit codes: 0 stopped by a signal, 1 a definite error, 2 wrong usage or configuration.
#[derive(Debug, Parser)]
#[command(name = "bill-api", version)]
pub struct Cli {
    /// The configuration of all daemons
    #[arg(long, global = true, default_value = "pipelines.toml", value_name = "FILE")]
    pub config: PathBuf,
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum Command {
    /// Serve until SIGTERM or SIGINT
    Run,
}
