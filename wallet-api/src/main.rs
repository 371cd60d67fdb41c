//! The daemon's command line.

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use service_kit::process;
use wallet_api::Settings;

/// Merchant access and fund payment: signed HTTP for merchants' apps, Thrift for the services beside it.
#[derive(Parser)]
#[command(version, about)]
struct Cli {
    /// The configuration file.
    #[arg(long, global = true, default_value = "pipelines.toml")]
    config: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve until SIGTERM or SIGINT.
    Run {
        /// Connections to the database at most.
        #[arg(long, env = "WALLET_DB_CONNECTIONS", default_value_t = 32, value_parser = clap::value_parser!(u32).range(2..=1000))]
        db_connections: u32,
    },
    /// Create the databases accounting and wallet where missing, and bring them to this version's schema.
    Migrate,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    process::run("wallet-api", |shutdown| async move {
        match cli.command {
            Command::Run { db_connections } => {
                let settings = Settings::load(&cli.config, db_connections).map_err(process::usage)?;
                wallet_api::run(settings, shutdown).await
            }
            Command::Migrate => {
                let database = Settings::database_of(&cli.config).map_err(process::usage)?;
                wallet_api::migrate(&database).await
            }
        }
    })
}
