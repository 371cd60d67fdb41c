//! `databus`: the daemon beside an accounting database.

mod cli;

use clap::Parser;
use cli::{Cli, Command};
use pipeline_config::Config;
use service_kit::process::{self, usage};
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    process::run("databus", async move |shutdown| {
        let config = Config::load(&cli.config).map_err(usage)?;
        match cli.command {
            Command::Run => databus::run(config, shutdown).await,
            Command::Check { output } => databus::check(&config, output).await,
        }
    })
}
