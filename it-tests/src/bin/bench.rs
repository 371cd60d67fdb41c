//! `bench`: databus and other programs for the same work, measured side by side. `cargo xtask bench` builds and runs it.

#[path = "../bench/mod.rs"]
mod bench;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let bench::Command::Databus(options) = bench::Command::parse();
    match bench::run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
