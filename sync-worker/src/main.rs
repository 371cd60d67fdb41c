//! `sync-worker`: arguments, configuration, exit code. The work is in the library.

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use pipeline_config::Config;
use service_kit::process;
use sync_worker::daemon::{self, Role};

/// Re-keys every change by account and writes bills, in order, to the bill store and the bill index.
#[derive(Parser)]
#[command(name = "sync-worker", version, about)]
struct Cli {
    /// The configuration file.
    #[arg(long, global = true, default_value = "pipelines.toml", value_name = "PATH")]
    config: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs until SIGTERM or SIGINT.
    Run {
        /// What this process does.
        #[arg(long, value_enum, default_value_t = Role::All)]
        role: Role,
    },
    /// Checks the configuration against the sources, the broker, the bill store and the bill index; changes nothing but missing topics.
    Check,
    /// Creates or updates the bill store's tables and the bill index; a second run changes nothing.
    Migrate,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let config = match Config::load(&cli.config) {
        Ok(config) => config,
        Err(error) => return process::exit("sync-worker", Err(process::usage(error))),
    };
    process::run("sync-worker", |shutdown| async move {
        match cli.command {
            Command::Run { role } => daemon::run(&config, role, shutdown).await,
            Command::Check => daemon::check(&config).await,
            Command::Migrate => daemon::migrate(&config).await,
        }
    })
}
