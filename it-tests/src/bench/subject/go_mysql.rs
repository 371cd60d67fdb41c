//! go-mysql's canal to Kafka; it stores no position, so each start tells it one.

use super::super::ground::{DATABASE, Ground, TABLE};
use anyhow::ensure;
use it_tests::harness::child::ChildProcess;
use it_tests::harness::launch::Launch;
use it_tests::harness::paths::{Peer, peer_home};
use std::fs;

/// Starts it at a file and a place in it.
pub(super) fn start(ground: &Ground, at: &(String, u64)) -> anyhow::Result<ChildProcess> {
    let program = peer_home(Peer::GoMysql).join("gomysql");
    ensure!(program.is_file(), "go-mysql is not in .cache/; run `cargo xtask bench databus`");
    let dir = ground.stack.dir().join("go-mysql");
    fs::create_dir_all(&dir)?;
    let mariadb = ground.stack.mariadb()?;
    let launch = Launch::new("go-mysql", program, &dir)
        .args(["-user", "admin", "-database", &mariadb.address().to_string()])
        .args(["-brokers", &ground.stack.kafka_brokers()?, "-topic", "go-mysql"])
        .args(["-table", &format!("{DATABASE}\\.{TABLE}")])
        .args(["-file", &at.0, "-position", &at.1.to_string()])
        .env("BENCH_PASSWORD", &mariadb.secrets().admin);
    ChildProcess::start(launch)
}
