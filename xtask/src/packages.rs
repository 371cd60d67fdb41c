//! Packages of the machine: what is missing, and apt to install it.

use crate::{java, supervise};
use anyhow::{Context, bail};
use it_tests::harness::paths::{is_root, program};
use std::path::Path;
use std::process::{Command, Stdio};

/// One thing that must be there, and the apt package that brings it.
struct Need {
    package: &'static str,
    is_there: fn() -> bool,
}

// mariadb's "core" packages are the programs alone: no service, no user, no start at boot
const NEEDS: [Need; 12] = [
    Need { package: "mariadb-server-core", is_there: || has("mariadbd") && has("mariadb-install-db") },
    Need { package: "mariadb-client-core", is_there: || has("mariadb") },
    Need { package: "redis-server", is_there: || has("redis-server") },
    Need { package: "openjdk-17-jdk-headless", is_there: || java::is_recent_enough() },
    Need { package: "maven", is_there: || has("mvn") },
    Need { package: "gcc", is_there: || has("gcc") },
    Need { package: "g++", is_there: || has("g++") },
    Need { package: "make", is_there: || has("make") },
    Need { package: "pkg-config", is_there: || has("pkg-config") },
    Need { package: "libssl-dev", is_there: || Path::new("/usr/include/openssl/ssl.h").exists() },
    Need { package: "zlib1g-dev", is_there: || Path::new("/usr/include/zlib.h").exists() },
    Need { package: "util-linux", is_there: || has("setpriv") && has("unshare") },
];

fn has(name: &str) -> bool {
    program(name).is_some()
}

/// Names of the packages to install.
pub(crate) fn missing() -> Vec<&'static str> {
    NEEDS.iter().filter(|need| !(need.is_there)()).map(|need| need.package).collect()
}

/// Installs packages, and holds apt back from starting the services that come with them.
pub(crate) fn install(packages: &[&str]) -> anyhow::Result<()> {
    let by_hand = format!("install by hand: {}", packages.join(" "));
    if !has("apt-get") {
        bail!("this machine has no apt-get; {by_hand}");
    }
    let mut command = if is_root() {
        Command::new("sh")
    } else if has("sudo") {
        let mut sudo = Command::new("sudo");
        // without a terminal sudo cannot ask for a password: let it say so in place of waiting
        sudo.args(if supervise::has_terminal() { &["sh"][..] } else { &["--non-interactive", "sh"][..] });
        sudo
    } else {
        bail!("not root, and there is no sudo; {by_hand}");
    };
    let output = command
        .args(["-c", INSTALL, "install"])
        .args(packages)
        .stdin(Stdio::null())
        .output()
        .context("cannot start apt-get")?;
    if !output.status.success() {
        let text =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        bail!("apt-get ended with {}: {}\n{}\n{by_hand}", output.status, hint(&text), last_lines(&text));
    }
    let still: Vec<&str> = missing().into_iter().filter(|name| packages.contains(name)).collect();
    if !still.is_empty() {
        bail!("apt-get succeeded, yet something of {} is still missing", still.join(" "));
    }
    Ok(())
}

/// policy-rc.d is Debian's own switch against starting services on installation; it is put back as it was.
const INSTALL: &str = r#"set -e
export DEBIAN_FRONTEND=noninteractive
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' > "$policy"
  chmod 755 "$policy"
fi
wait='-o DPkg::Lock::Timeout=300 -o Acquire::Retries=3'
apt-get -q $wait update
apt-get -q $wait install --yes --no-install-recommends "$@"
"#;

fn hint(text: &str) -> &'static str {
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if says(&[
        "Temporary failure resolving",
        "Could not connect",
        "Failed to fetch",
        "Network is unreachable",
    ]) {
        "the package mirror cannot be reached; check the network and run again"
    } else if says(&["No space left", "not enough free space", "don't have enough free space"]) {
        "the disk is full; free some space and run again"
    } else if says(&["Could not get lock"]) {
        "another package tool is at work; wait for it and run again"
    } else if says(&["a password is required", "not in the sudoers"]) {
        "sudo wants a password; run this in a terminal, or as root"
    } else if says(&["Unable to locate package"]) {
        "this system has no such package; it was tried on Debian 12"
    } else {
        "see below"
    }
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines.get(lines.len().saturating_sub(12)..).unwrap_or_default().join("\n")
}
