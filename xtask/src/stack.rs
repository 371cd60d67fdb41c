//! `cargo xtask stack`: real parts that stay up between commands, for work by hand.

use crate::progress::step;
use crate::provision::provision;
use anyhow::Context;
use clap::{Args, Subcommand};
use it_tests::harness::paths::{repo_root, run_dir};
use it_tests::harness::record::{StackRecord, kill_leftovers, write_private};
use it_tests::harness::{DaemonPorts, PipelinesToml, Stack, StackSpec};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Arguments of `stack`.
#[derive(Args)]
pub(crate) struct StackArgs {
    #[command(subcommand)]
    command: StackCommand,
}

#[derive(Subcommand)]
enum StackCommand {
    /// Start MariaDB, Redis, Kafka and Elasticsearch on free loopback ports; they stay up until `down`
    ///
    /// Data, ports and passwords of an earlier `up` under the same name are used again. Writes a pipelines.toml
    /// with the addresses, and a file `env` with the secrets that it names, into .run/<name>/.
    Up(Name),
    /// Show what runs and whether it answers; exit code 1 if anything does not
    Status(Name),
    /// Stop everything; the data stays for the next `up`
    Down {
        #[command(flatten)]
        name: Name,
        /// Delete the data, too
        #[arg(long)]
        wipe: bool,
    },
}

#[derive(Args)]
struct Name {
    /// Several stacks can run side by side, each under a name
    #[arg(long, default_value = "dev", value_parser = plain_name)]
    name: String,
}

impl Name {
    fn dir(&self) -> PathBuf {
        run_dir().join(&self.name)
    }
}

fn plain_name(name: &str) -> Result<String, String> {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
    if name.is_empty() || !name.chars().all(plain) {
        return Err("a name has letters, digits, `-` and `_` only".to_owned());
    }
    Ok(name.to_owned())
}

/// Runs the subcommand.
pub(crate) fn run(args: &StackArgs) -> anyhow::Result<ExitCode> {
    match &args.command {
        StackCommand::Up(name) => up(&name.dir()),
        StackCommand::Status(name) => status(&name.dir()),
        StackCommand::Down { name, wipe } => down(&name.dir(), *wipe),
    }
}

fn up(dir: &Path) -> anyhow::Result<ExitCode> {
    let running = StackRecord::load(dir)?.is_some_and(|record| {
        !record.processes.is_empty() && record.status().iter().all(|part| part.health.is_ok())
    });
    if running {
        eprintln!("already up");
        return status(dir);
    }
    provision(&[])?;
    step("start mariadb, redis, kafka and elasticsearch", || {
        let stack = Stack::start(StackSpec::in_dir(dir).detached())?;
        let ports = DaemonPorts::free()?;
        PipelinesToml::for_stack(stack.addresses(), &ports)?.write(&dir.join("pipelines.toml"))?;
        let secrets = stack.secrets().env().into_iter().map(|(name, value)| format!("{name}={value}\n"));
        write_private(&dir.join("env"), secrets.collect::<String>().as_bytes())
    })?;
    let code = status(dir)?;
    let shown = dir.strip_prefix(repo_root()).unwrap_or(dir).display();
    println!("\nrun a daemon against it:");
    println!("  set -a; . {shown}/env; set +a");
    println!("  cargo run --package databus -- run --config {shown}/pipelines.toml");
    Ok(code)
}

fn status(dir: &Path) -> anyhow::Result<ExitCode> {
    let Some(record) = StackRecord::load(dir)? else {
        println!("no stack in {}; start one with `cargo xtask stack up`", dir.display());
        return Ok(ExitCode::FAILURE);
    };
    let mut all_answer = true;
    for part in record.status() {
        let address = part.address.map_or_else(|| "-".to_owned(), |address| address.to_string());
        let health = match &part.health {
            Ok(()) => "answers".to_owned(),
            Err(error) => format!("{error:#}"),
        };
        all_answer &= part.health.is_ok();
        println!("{:<14} {address:<16} pid {:<8} {health}", part.part.name(), part.pid);
    }
    Ok(if all_answer { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn down(dir: &Path, wipe: bool) -> anyhow::Result<ExitCode> {
    if let Some(record) = StackRecord::load(dir)?.filter(StackRecord::is_running) {
        let killed = step("stop mariadb, redis, kafka and elasticsearch", || record.stop())?;
        for part in killed {
            eprintln!("{part} did not stop in time and was killed");
        }
    } else {
        println!("nothing runs in {}", dir.display());
    }
    kill_leftovers(dir)?;
    if wipe && dir.exists() {
        std::fs::remove_dir_all(dir).with_context(|| format!("cannot delete {}", dir.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}
