//! `demo`: the whole system at work on real parts, and a proof at the end. `cargo xtask demo` builds and runs it.

#[path = "../demo/mod.rs"]
mod demo;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    match demo::run(&demo::Options::parse()) {
        Ok(demo::Verdict::Agree) => ExitCode::SUCCESS,
        Ok(demo::Verdict::Differ) => ExitCode::from(2),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
