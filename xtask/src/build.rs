//! Commands that build the workspace and run something from it: test, ci, demo.

use crate::provision::{FOR_TESTS, provision};
use crate::supervise::{exit_code, foreground};
use anyhow::ensure;
use clap::Args;
use it_tests::harness::Flavour;
use it_tests::harness::paths::{repo_root, run_dir};
use it_tests::harness::record::sweep_ended_runs;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `test`.
#[derive(Args)]
pub(crate) struct TestArgs {
    /// Only this package, for example it-tests (default: all)
    #[arg(long, short, value_name = "NAME")]
    package: Option<String>,
    /// The tests that need a MySQL, and only those: fetches it from Debian's unstable suite into .cache/
    #[arg(long, conflicts_with = "package")]
    mysql: bool,
    /// Passed to the test runner, for example a part of a test's name
    #[arg(last = true, value_name = "ARGS")]
    rest: Vec<String>,
}

/// Arguments of `demo`.
#[derive(Args)]
pub(crate) struct DemoArgs {
    /// Where everything of this run goes [default: .run/demo-<pid>]
    #[arg(long, value_name = "DIR")]
    run_dir: Option<PathBuf>,
    /// Leave everything running at the end, until Ctrl-C, and keep the directory with all logs
    #[arg(long)]
    keep: bool,
    /// Passed to the demo itself; `-- --help` lists what it takes
    #[arg(last = true, value_name = "ARGS")]
    rest: Vec<String>,
}

/// Installs, builds, tests.
pub(crate) fn test(args: &TestArgs) -> anyhow::Result<ExitCode> {
    provision(if args.mysql { &[Flavour::MySql97] } else { &FOR_TESTS })?;
    let mut line = match &args.package {
        _ if args.mysql => words(&MYSQL_TESTS),
        Some(package) => words(&["test", "--package", package]),
        None => words(&["test", "--workspace"]),
    };
    if !args.rest.is_empty() {
        line.push("--".to_owned());
        line.extend(args.rest.iter().cloned());
    }
    in_order(&[words(&PROGRAMS), line])
}

/// The daemons that tests start. With the tests, because without them the features of many crates differ, and they would be built twice.
const PROGRAMS: [&str; 4] = ["build", "--workspace", "--bins", "--tests"];

/// `cargo test --workspace` leaves this binary out: it-tests/Cargo.toml says so.
/// All packages are named, as in the build before it: with one alone the features of many crates differ, and they
/// would be built once more.
const MYSQL_TESTS: [&str; 4] = ["test", "--workspace", "--test", "mysql"];

/// Formatting, lints, tests.
pub(crate) fn ci() -> anyhow::Result<ExitCode> {
    provision(&FOR_TESTS)?;
    in_order(&[
        words(&["fmt", "--all", "--check"]),
        words(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]),
        words(&["clippy", "--workspace", "--test", "mysql", "--", "-D", "warnings"]),
        words(&PROGRAMS),
        words(&["test", "--workspace"]),
    ])
}

/// Installs, builds for release, runs `target/release/demo`.
pub(crate) fn demo(args: &DemoArgs) -> anyhow::Result<ExitCode> {
    provision(&[])?;
    let built = cargo(&words(&["build", "--release", "--workspace", "--bins"]))?;
    if !built.success() {
        return Ok(exit_code(built));
    }
    let dir = args.run_dir.clone().unwrap_or_else(|| run_dir().join(format!("demo-{}", std::process::id())));
    let demo = release_program("demo")?;
    let mut line: Vec<OsString> = vec![demo.into(), "--run-dir".into(), std::path::absolute(dir)?.into()];
    if args.keep {
        line.push("--keep".into());
    }
    line.extend(args.rest.iter().map(OsString::from));
    Ok(exit_code(foreground(&line)?))
}

/// Runs cargo commands until one fails; the exit code is the last one's.
fn in_order(lines: &[Vec<String>]) -> anyhow::Result<ExitCode> {
    for line in lines {
        let status = cargo(line)?;
        if !status.success() {
            eprintln!("error: `cargo {}` ended with {status}", line.join(" "));
            return Ok(exit_code(status));
        }
    }
    // a test run's shared stack has no last moment of its own to tidy up in; after a failure its logs stay
    sweep_ended_runs(&run_dir(), "test-")?;
    Ok(ExitCode::SUCCESS)
}

/// The path of a program of ours that was just built for release.
pub(crate) fn release_program(name: &str) -> anyhow::Result<PathBuf> {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repo_root().join("target"), PathBuf::from);
    let path = target.join("release").join(name);
    ensure!(path.is_file(), "the build made no {}; is it-tests/src/bin/{name}.rs there?", path.display());
    Ok(path)
}

pub(crate) fn cargo(args: &[String]) -> anyhow::Result<std::process::ExitStatus> {
    eprintln!("$ cargo {}", args.join(" "));
    std::env::set_current_dir(repo_root())?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let line: Vec<OsString> = std::iter::once(cargo).chain(args.iter().map(OsString::from)).collect();
    foreground(&line)
}

pub(crate) fn words(line: &[&str]) -> Vec<String> {
    line.iter().map(|word| (*word).to_owned()).collect()
}
