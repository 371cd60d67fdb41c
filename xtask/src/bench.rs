//! `cargo xtask bench`: fetches the peers, builds for release, and lets `target/release/bench` measure.

use crate::build::{cargo, release_program, words};
use crate::peers;
use crate::provision::{check_disk, provision};
use crate::supervise::{exit_code, foreground};
use anyhow::bail;
use clap::{Args, Subcommand};
use it_tests::harness::paths::{Peer, repo_root};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

/// The release build, the table, and four topics of each run's backlogs.
const WANTED_GB: u64 = 10;

/// Arguments of `bench`.
#[derive(Args)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    command: BenchCommand,
}

#[derive(Subcommand)]
enum BenchCommand {
    /// From the binlog to stage 1: rows a second, CPU, memory, latency, restart
    Databus(DatabusArgs),
}

#[derive(Args)]
struct DatabusArgs {
    /// Rows of the backlog in transactions of 1,000
    #[arg(long, default_value_t = 1_000_000)]
    rows: u64,
    /// Rows of the backlog in transactions of one
    #[arg(long, default_value_t = 100_000)]
    single_rows: u64,
    /// Seconds of 200 transactions a second for the latency; 0 leaves it out
    #[arg(long, default_value_t = 60)]
    latency_secs: u64,
    /// Measured beside databus: all, none, or some of debezium, maxwell, go-mysql
    #[arg(long, default_value = "all", value_name = "LIST")]
    peers: String,
    /// How often all is measured; the tables show the medians
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Folder of benchmarks.md and of the folder benchmarks with the charts
    #[arg(long, default_value = "docs", value_name = "DIR")]
    out: PathBuf,
}

/// Runs the subcommand.
pub(crate) fn run(args: &BenchArgs) -> anyhow::Result<ExitCode> {
    let BenchCommand::Databus(args) = &args.command;
    let peers = peers_of(&args.peers)?;
    let out = std::path::absolute(&args.out)?;
    provision(&[])?;
    check_disk(WANTED_GB)?;
    peers::provision(&peers)?;
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
        "bench",
    ]))?;
    if !built.success() {
        return Ok(exit_code(built));
    }
    std::env::set_current_dir(repo_root())?;
    let mut line: Vec<OsString> =
        vec![release_program("bench")?.into(), "databus".into(), "--out".into(), out.into()];
    let names: Vec<&str> = peers.iter().map(|peer| peer.name()).collect();
    for (name, value) in [
        ("--rows", args.rows.to_string()),
        ("--single-rows", args.single_rows.to_string()),
        ("--latency-secs", args.latency_secs.to_string()),
        ("--runs", args.runs.to_string()),
        ("--peers", if names.is_empty() { "none".to_owned() } else { names.join(",") }),
    ] {
        line.extend([name.into(), value.into()]);
    }
    Ok(exit_code(foreground(&line)?))
}

fn peers_of(list: &str) -> anyhow::Result<Vec<Peer>> {
    match list {
        "all" => Ok(Peer::ALL.to_vec()),
        "none" => Ok(Vec::new()),
        some => some
            .split(',')
            .map(|name| match Peer::ALL.into_iter().find(|peer| peer.name() == name.trim()) {
                Some(peer) => Ok(peer),
                None => bail!("no peer `{name}`; there are all, none, debezium, maxwell, go-mysql"),
            })
            .collect(),
    }
}
