//! `chaos`: databus killed at random under a mixed load, and a proof at the end. `cargo xtask chaos` builds and runs it.

use anyhow::Context;
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use it_tests::chaos::{self, Goal, Options, Standing};
use it_tests::harness::paths::run_dir;
use it_tests::harness::record::sweep_ended_runs;
use it_tests::harness::{Part, Stack, StackSpec};
use it_tests::options::{ChaosCommand, ChaosOptions};
use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Kills daemons at random moments under load and checks that nothing is lost, doubled or out of order.
#[derive(Debug, Parser)]
#[command(name = "chaos", after_help = "exit codes: 0 everything agrees, 1 something does not, or failed")]
struct Cli {
    #[command(subcommand)]
    command: ChaosCommand,
}

fn main() -> ExitCode {
    let ChaosCommand::Databus(wanted) = Cli::parse().command;
    match run(&wanted) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(wanted: &ChaosOptions) -> anyhow::Result<()> {
    let goal = match (wanted.minutes, wanted.kills) {
        (Some(minutes), _) => Goal::Time(Duration::from_secs(minutes * 60)),
        (None, kills) => Goal::Kills(kills.unwrap_or(200)),
    };
    let seed = match wanted.seed {
        Some(seed) => seed,
        None => u64::from(SystemTime::now().duration_since(UNIX_EPOCH)?.subsec_nanos()),
    };
    eprintln!("seed {seed}: starting MariaDB and Kafka");
    sweep_ended_runs(&run_dir(), "chaos-")?;
    let spec = StackSpec::in_dir(run_dir().join(format!("chaos-{}", std::process::id())));
    let stack = Stack::start(spec.only(&[Part::MariaDb, Part::Kafka]).kafka_java(&[
        "-Xms256m",
        "-Xmx512m",
        "-XX:+UseSerialGC",
    ]))?;
    let options =
        Options { instances: usize::from(wanted.instances), rate: wanted.rate, ..Options::new(seed, goal) };
    let mut shown = Shown::new(goal)?;
    let ended = chaos::run(&stack, &options, &mut |standing| shown.tell(standing));
    shown.bar.finish_and_clear();
    let standing = ended?;
    println!("{}", last_line(seed, &standing));
    Ok(())
}

fn last_line(seed: u64, standing: &Standing) -> String {
    format!(
        "chaos databus: kills={} transactions={} changes={} checked={} snapshot_rows={} ddl={} median_recovery_ms={} slowest_recovery_ms={} seconds={} seed={seed} differences=0",
        standing.kills,
        standing.transactions,
        standing.changes,
        standing.checked,
        standing.snapshot_rows,
        standing.ddl,
        standing.median_recovery.as_millis(),
        standing.slowest_recovery.as_millis(),
        standing.elapsed.as_secs(),
    )
}

/// A bar on a terminal, a line every ten seconds anywhere else.
struct Shown {
    bar: ProgressBar,
    goal: Goal,
    told: Option<Instant>,
}

impl Shown {
    fn new(goal: Goal) -> anyhow::Result<Self> {
        let total = match goal {
            Goal::Kills(kills) => u64::from(kills),
            Goal::Time(time) => time.as_secs(),
        };
        let bar =
            if std::io::stderr().is_terminal() { ProgressBar::new(total) } else { ProgressBar::hidden() };
        let style =
            ProgressStyle::with_template("    {bar:40} {pos}/{len} {msg}").context("the bar's style")?;
        Ok(Self { bar: bar.with_style(style), goal, told: None })
    }

    fn tell(&mut self, standing: &Standing) {
        self.bar.set_position(match self.goal {
            Goal::Kills(_) => u64::from(standing.kills),
            Goal::Time(_) => standing.elapsed.as_secs(),
        });
        let text = format!(
            "{} kills, {} transactions, {} changes checked, slowest recovery {:.1} s",
            standing.kills,
            standing.transactions,
            standing.checked,
            standing.slowest_recovery.as_secs_f32()
        );
        if self.bar.is_hidden() && self.told.is_none_or(|told| told.elapsed() >= Duration::from_secs(10)) {
            eprintln!("... {:.0} s: {text}", standing.elapsed.as_secs_f32());
            self.told = Some(Instant::now());
        }
        self.bar.set_message(text);
    }
}
