//! The options of the binaries that `cargo xtask` builds and starts, written once: xtask checks them and answers `--help` before it builds
//! anything, then passes the words on as they were given.

use crate::harness::paths::{Peer, repo_root};
use clap::{Args, Subcommand, value_parser};
use std::path::PathBuf;

/// What `chaos` is run on.
#[derive(Debug, Subcommand)]
pub enum ChaosCommand {
    /// databus: `kill -9` at random moments under a mixed load with DDL; then stage 1 against what the source committed
    Databus(ChaosOptions),
}

/// A round of chaos.
#[derive(Debug, Args)]
pub struct ChaosOptions {
    /// How long to go on
    #[arg(long, conflicts_with = "kills", value_parser = value_parser!(u64).range(1..))]
    pub minutes: Option<u64>,
    /// How often to kill [default: 200, if no --minutes are given]
    #[arg(long, value_parser = value_parser!(u32).range(1..))]
    pub kills: Option<u32>,
    /// Repeats the plan of an earlier round, which printed it
    #[arg(long)]
    pub seed: Option<u64>,
    /// databus processes for the one source; with 2 an election decides which is active
    #[arg(long, default_value_t = 1, value_parser = value_parser!(u8).range(1..=2))]
    pub instances: u8,
    /// Transactions a second
    #[arg(long, default_value_t = 80, value_parser = value_parser!(u32).range(1..))]
    pub rate: u32,
}

/// What `bench` measures.
#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// From the binlog to stage 1: rows a second, CPU, memory, latency, restart
    Databus(BenchOptions),
}

/// What to measure, and how often.
#[derive(Debug, Args)]
pub struct BenchOptions {
    /// Rows of the backlog in transactions of 1,000
    #[arg(long, default_value_t = 1_000_000)]
    pub rows: u64,
    /// Rows of the backlog in transactions of one
    #[arg(long, default_value_t = 100_000)]
    pub single_rows: u64,
    /// Seconds of 200 transactions a second for the latency; 0 leaves it out
    #[arg(long, default_value_t = 60)]
    pub latency_secs: u64,
    /// Measured beside databus: all, none, or some of debezium, maxwell, go-mysql
    #[arg(long, default_value = "all", value_name = "LIST", value_parser = peers)]
    pub peers: Peers,
    /// How often all is measured; the tables show the medians
    #[arg(long, default_value_t = 3, value_parser = value_parser!(u32).range(1..))]
    pub runs: u32,
    /// Folder of benchmarks.md and of the folder benchmarks with the charts [default: docs of this working copy]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Where data, configuration and logs go [default: .run/bench-<pid>, deleted at the end]
    #[arg(long, value_name = "DIR")]
    pub run_dir: Option<PathBuf>,
}

impl BenchOptions {
    /// The folder of benchmarks.md.
    pub fn out(&self) -> PathBuf {
        self.out.clone().unwrap_or_else(|| repo_root().join("docs"))
    }
}

/// Peers as the command line names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peers(pub Vec<Peer>);

/// Reads `all`, `none` or `debezium,maxwell`.
fn peers(list: &str) -> Result<Peers, String> {
    let named = |name: &str| Peer::ALL.into_iter().find(|peer| peer.name() == name.trim());
    match list {
        "all" => Ok(Peers(Peer::ALL.to_vec())),
        "none" => Ok(Peers(Vec::new())),
        some => some
            .split(',')
            .map(|name| {
                named(name).ok_or_else(|| {
                    format!("no peer `{name}`; there are all, none, debezium, maxwell, go-mysql")
                })
            })
            .collect::<Result<_, _>>()
            .map(Peers),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_all_none_or_some_by_name() {
        assert_eq!(peers("all").unwrap().0, Peer::ALL);
        assert_eq!(peers("none").unwrap().0, []);
        assert_eq!(peers("maxwell, debezium").unwrap().0, [Peer::Maxwell, Peer::Debezium]);
        assert!(peers("maxwell,kafka").unwrap_err().contains("`kafka`"));
        assert!(peers("").is_err());
    }
}
