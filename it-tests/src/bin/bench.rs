//! `bench`: databus and other programs for the same work, measured side by side. `cargo xtask bench` builds and runs it.

#[path = "../bench/mod.rs"]
mod bench;

use clap::Parser;
use it_tests::options::BenchCommand;
use std::process::ExitCode;

/// Measures databus and other programs for the same work.
#[derive(Debug, Parser)]
#[command(name = "bench")]
struct Cli {
    #[command(subcommand)]
    command: BenchCommand,
}

fn main() -> ExitCode {
    let BenchCommand::Databus(options) = Cli::parse().command;
    match bench::run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
