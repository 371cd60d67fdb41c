//! `cargo xtask chaos`: builds for release, and lets `target/release/chaos` kill and compare.

use crate::build::{cargo, release_program, words};
use crate::provision::provision;
use crate::supervise::{exit_code, foreground};
use clap::{Args, Subcommand};
use it_tests::harness::paths::repo_root;
use std::ffi::OsString;
use std::process::ExitCode;

/// Arguments of `chaos`.
#[derive(Args)]
pub(crate) struct ChaosArgs {
    #[command(subcommand)]
    command: ChaosCommand,
}

#[derive(Subcommand)]
enum ChaosCommand {
    /// databus: `kill -9` at random moments under a mixed load with DDL; then stage 1 against what the source committed
    Databus(DatabusArgs),
}

#[derive(Args)]
struct DatabusArgs {
    /// How long to go on
    #[arg(long, conflicts_with = "kills", value_parser = clap::value_parser!(u64).range(1..))]
    minutes: Option<u64>,
    /// How often to kill [default: 200, if no --minutes are given]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    kills: Option<u32>,
    /// Repeats the plan of an earlier round, which printed it
    #[arg(long)]
    seed: Option<u64>,
    /// databus processes for the one source; with 2 an election decides which is active
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=2))]
    instances: u8,
    /// Transactions a second
    #[arg(long, default_value_t = 80, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
}

/// Runs the subcommand.
pub(crate) fn run(args: &ChaosArgs) -> anyhow::Result<ExitCode> {
    let ChaosCommand::Databus(args) = &args.command;
    provision(&[])?;
    let built = cargo(&words(&[
        "build",
        "--release",
        "-p",
        "databus",
        "-p",
        "it-tests",
        "--bin",
        "databus",
        "--bin",
        "chaos",
    ]))?;
    if !built.success() {
        return Ok(exit_code(built));
    }
    std::env::set_current_dir(repo_root())?;
    let mut line: Vec<OsString> = vec![release_program("chaos")?.into(), "databus".into()];
    let given = [
        ("--minutes", args.minutes.map(|minutes| minutes.to_string())),
        ("--kills", args.kills.map(|kills| kills.to_string())),
        ("--seed", args.seed.map(|seed| seed.to_string())),
        ("--instances", Some(args.instances.to_string())),
        ("--rate", Some(args.rate.to_string())),
    ];
    for (name, value) in given {
        line.extend(value.into_iter().flat_map(|value| [name.into(), value.into()]));
    }
    Ok(exit_code(foreground(&line)?))
}
