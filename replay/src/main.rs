//! `replay`: arguments, configuration, exit code. The work is in the library.
//!
//! Exit codes: 0 equal, 1 an error, 2 differences.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use clap::{Parser, Subcommand, ValueEnum};
use pipeline_config::Config;
use replay::diff::{self, Options, Window};

const EQUAL: u8 = 0;
const ERROR: u8 = 1;
const DIFFERENT: u8 = 2;

/// Compares, proves and repairs bills against the ledger they come from.
#[derive(Parser)]
#[command(name = "replay", version, about)]
struct Cli {
    /// The configuration file.
    #[arg(long, global = true, default_value = "pipelines.toml", value_name = "PATH")]
    config: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Compares the ledger with the bill store and the bill index, field by field, both ways. Exits with 0 if they are
    /// equal, 2 if they differ, 1 on an error.
    Diff {
        /// Only bills that occurred at or after this time (RFC 3339).
        #[arg(long, value_name = "TIME")]
        from: Option<change_event::Timestamp>,
        /// Only bills that occurred before this time (RFC 3339).
        #[arg(long, value_name = "TIME")]
        to: Option<change_event::Timestamp>,
        /// How to print what differs.
        #[arg(long, value_enum, default_value_t = Output::Table)]
        output: Output,
        /// Most differences to print; all are counted.
        #[arg(long, default_value_t = 100, value_name = "N")]
        limit: usize,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum Output {
    /// One line for each difference.
    Table,
    /// One object.
    Json,
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(message) => {
            let code = if message.use_stderr() { ERROR } else { EQUAL };
            // nothing is left to tell if the terminal is gone
            let _ = message.print();
            return ExitCode::from(code);
        }
    };
    service_kit::telemetry::init("replay");
    match run(&cli) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("replay: {}", service_kit::process::cause_chain(&error));
            ExitCode::from(ERROR)
        }
    }
}

fn run(cli: &Cli) -> anyhow::Result<u8> {
    let config = Config::load(&cli.config)?;
    let Command::Diff { from, to, output, limit } = &cli.command;
    let runtime = tokio::runtime::Runtime::new().context("start the async runtime")?;
    let options = Options { window: Window { from: *from, to: *to }, limit: *limit };
    let report = runtime.block_on(diff::run(&config, &options))?;
    match output {
        Output::Table => print!("{}", report.table()),
        Output::Json => println!("{}", serde_json::to_string(&report).context("print the report")?),
    }
    Ok(if report.differences == 0 { EQUAL } else { DIFFERENT })
}
