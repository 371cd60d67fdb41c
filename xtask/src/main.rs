//! The project's own commands: `cargo xtask --help`.

mod build;
mod debian;
mod java;
mod maven;
mod packages;
mod peers;
mod place;
mod private_apt;
mod progress;
mod provision;
mod release;
mod stack;
mod supervise;

use clap::{Parser, Subcommand};
use it_tests::options::{BenchCommand, ChaosCommand};
use std::process::ExitCode;

/// Everything from a bare machine to a running system: needs cargo and a C compiler, fetches the rest.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Show the whole system at work: real parts, all daemons, 2,000 payments, and a proof at the end
    ///
    /// Builds in release mode, starts everything on free loopback ports in a directory of its own, and leaves
    /// nothing running behind, also after Ctrl-C.
    Demo(build::DemoArgs),
    /// Run all tests against real MariaDB, Redis, Kafka and Elasticsearch
    ///
    /// Installs what is missing, builds every binary, then runs `cargo test --workspace`; with --mysql it runs the
    /// tests that need a MySQL, and those alone. The exit code is the test runner's.
    Test(build::TestArgs),
    /// What the automatic checks run: formatting, lints without warnings, then all tests
    Ci,
    /// Measure databus, and other programs for the same work beside it, on this machine
    ///
    /// All read one MariaDB and write to one Kafka, one after the other. Builds in release mode. Run it while nothing
    /// else is at work: what else took CPU time is printed with the results.
    #[command(subcommand)]
    Bench(BenchCommand),
    /// Kill databus at random under a mixed load with DDL, and compare stage 1 with what the source committed
    ///
    /// On private parts on free loopback ports. Exit code 0 if everything agrees; else logs, binlog, ledger and stage 1 stay
    /// in a folder that the error names, with the seed that repeats the plan.
    #[command(subcommand)]
    Chaos(ChaosCommand),
    /// Start, look at or stop real parts for work by hand
    Stack(stack::StackArgs),
    /// Install what is missing on this machine; seconds when all is there
    ///
    /// Packages come from apt (as root, or through sudo); Kafka and Elasticsearch from Maven Central and MariaDB 11.8
    /// from Debian 13 are unpacked into .cache/. No service of the machine is started, stopped or changed.
    Provision(provision::ProvisionArgs),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Task::Demo(args) => build::demo(&args),
        Task::Test(args) => build::test(&args),
        Task::Ci => build::ci(),
        Task::Bench(command) => bench(&command),
        Task::Chaos(_) => provision::provision(&[]).and_then(|()| release::run("chaos")),
        Task::Stack(args) => stack::run(&args),
        Task::Provision(args) => provision::run(&args).map(|()| ExitCode::SUCCESS),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

/// The release build, the table, and four topics of each run's backlogs.
const BENCH_WANTS_GB: u64 = 10;

fn bench(command: &BenchCommand) -> anyhow::Result<ExitCode> {
    let BenchCommand::Databus(options) = command;
    provision::provision(&[])?;
    provision::check_disk(BENCH_WANTS_GB)?;
    peers::provision(&options.peers.0)?;
    release::run("bench")
}
