//! Brings a bare machine to where the tests and the demo can run. Does nothing for what is already there.

use crate::progress::step;
use crate::{debian, maven, packages, peers};
use anyhow::{Context, bail};
use clap::Args;
use it_tests::harness::Flavour;
use it_tests::harness::paths::{Peer, cache_dir, program, repo_root};
use it_tests::harness::record::DirLock;
use std::process::Command;
use std::time::Duration;

/// Cold build, downloads and the stack's own files come to about 5 GB.
const WANTED_GB: u64 = 6;
/// With parts and build in place, this much is plenty for a run.
const WANTED_AGAIN_GB: u64 = 2;

/// The servers beside the system's own MariaDB that `cargo xtask test` wants.
pub(crate) const FOR_TESTS: [Flavour; 1] = [Flavour::MariaDb118];

/// Arguments of `provision`.
#[derive(Args)]
pub(crate) struct ProvisionArgs {
    /// MySQL, too, from Debian's unstable suite
    #[arg(long)]
    mysql: bool,
}

/// The command `provision`.
pub(crate) fn run(args: &ProvisionArgs) -> anyhow::Result<()> {
    provision(&FOR_TESTS)?;
    if args.mysql { provision(&[Flavour::MySql97]) } else { Ok(()) }
}

/// Installs what is missing: what every command needs, and these database servers.
pub(crate) fn provision(servers: &[Flavour]) -> anyhow::Result<()> {
    let missing = |server: &&Flavour| !server.is_there();
    let bare = !packages::missing().is_empty() || !maven::has_kafka() || !maven::has_elasticsearch();
    let whole = !bare && maven::has_flink() && peers::has_debezium();
    check_disk(if bare { WANTED_GB } else { WANTED_AGAIN_GB })?;
    if whole && !servers.iter().any(|server| missing(&server)) {
        return Ok(());
    }
    let cache = cache_dir();
    // two runs at once must not write over one another; the second finds everything there
    let _lock = it_tests::harness::wait_until("another provisioning", Duration::from_secs(900), || {
        DirLock::take(&cache).map_err(it_tests::harness::Not::yet)
    })?;
    let packages = packages::missing();
    if !packages.is_empty() {
        step(&format!("install packages: {}", packages.join(" ")), || packages::install(&packages))?;
    }
    if !maven::has_kafka() {
        step("fetch kafka (44 MB)", maven::fetch_kafka)?;
    }
    if !maven::has_elasticsearch() {
        step("fetch elasticsearch (107 MB)", maven::fetch_elasticsearch)?;
    }
    if !maven::has_flink() {
        step("fetch flink's json format (6 MB)", maven::fetch_flink)?;
    }
    // what stage 1 is compared with
    peers::provision(&[Peer::Debezium])?;
    for server in servers.iter().filter(missing) {
        step(&debian::what(*server), || debian::fetch(*server))?;
    }
    Ok(())
}

/// Fails, naming both figures, when less than this is free below the working copy.
pub(crate) fn check_disk(wanted_gb: u64) -> anyhow::Result<()> {
    let root = repo_root();
    let Some(df) = program("df") else { return Ok(()) };
    let output = Command::new(df).args(["--output=avail", "--block-size=1M"]).arg(&root).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let free_mb: u64 = text
        .lines()
        .nth(1)
        .and_then(|line| line.trim().parse().ok())
        .with_context(|| format!("cannot read the free space below {} from: {text}", root.display()))?;
    if free_mb < wanted_gb * 1024 {
        bail!("{free_mb} MB free below {}, {wanted_gb} GB wanted; free some space", root.display());
    }
    Ok(())
}
