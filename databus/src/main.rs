//! `databus`: the daemon beside an accounting database.

mod cli;

use clap::Parser;
use cli::{Cli, Command, Position};
use databus::Tail;
use pipeline_config::Config;
use service_kit::process::{self, usage};
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    process::run("databus", async move |shutdown| {
        let config = Config::load(&cli.config).map_err(usage)?;
        match cli.command {
            Command::Run => databus::run(config, shutdown).await,
            Command::Tail { source, table, from, count, output } => {
                let what = Tail { source, tables: table, from, count, form: output };
                databus::tail(&config, what, shutdown).await
            }
            Command::Position(Position::Show { source, output }) => {
                databus::show(&config, source.as_deref(), output).await
            }
            Command::Position(moving) => match moving.into_change() {
                Some(change) => databus::change(&config, change).await,
                None => Ok(()),
            },
            Command::Check { output } => databus::check(&config, output).await,
            Command::Snapshot { source, table, filter, wait } => {
                let wanted = databus::WantedSnapshot { source, table, filter, wait };
                databus::request_snapshot(config, wanted, shutdown).await
            }
        }
    })
}
