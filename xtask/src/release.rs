//! Builds databus and one binary of it-tests for release, and lets that binary go on with the words that we were given.

use crate::build::{cargo, release_program, words};
use crate::supervise::{exit_code, foreground};
use std::ffi::OsString;
use std::process::ExitCode;

/// Runs `target/release/<name>` with our own words behind the task's name, which clap has found right before: paths among them mean what
/// they meant to us. Release, also where nothing is measured: what is killed or timed is then what users run.
pub(crate) fn run(name: &str) -> anyhow::Result<ExitCode> {
    let here = std::env::current_dir()?;
    // all packages: with some alone the features of many crates differ, and they would be built once more
    let built = cargo(&words(&["build", "--release", "--workspace", "--bin", "databus", "--bin", name]))?;
    if !built.success() {
        return Ok(exit_code(built));
    }
    let program = std::path::absolute(release_program(name)?)?;
    std::env::set_current_dir(here)?;
    let line: Vec<OsString> = std::iter::once(program.into()).chain(std::env::args_os().skip(2)).collect();
    Ok(exit_code(foreground(&line)?))
}
