//! What is MariaDB's own way: making a data folder, settings, users.

use super::flavour::Flavour;
use super::server::{failed, run_as, temporary};
use crate::harness::secrets::Secrets;
use std::path::Path;
use std::process::{Command, Stdio};

/// Row binlog with full images and metadata, synced at every commit.
pub(super) const SERVER_ARGS: [&str; 9] = [
    "--log-bin=binlog",
    "--binlog-format=ROW",
    "--binlog-row-image=FULL",
    "--binlog-row-metadata=FULL",
    "--gtid-strict-mode=ON",
    // for the day it becomes a replica
    "--log-slave-updates=ON",
    "--sync-binlog=1",
    "--innodb-buffer-pool-size=256M",
    "--innodb-log-file-size=128M",
];

/// Fills an empty data folder.
pub(super) fn initialise(flavour: Flavour, dir: &Path, fresh: &Path) -> anyhow::Result<()> {
    let program = flavour.program("usr/bin", "mariadb-install-db")?;
    let output = Command::new(program)
        .arg("--no-defaults")
        .args(flavour.base_dir())
        .args(run_as())
        .arg(format!("--datadir={}", fresh.display()))
        .arg(temporary(dir)?)
        .args(["--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"])
        .stdin(Stdio::null())
        .output()?;
    failed("mariadb-install-db", &output)
}

/// Databases and users; not part of the history that a source's reader sees.
pub(super) fn users(secrets: &Secrets) -> String {
    let Secrets { databus, wallet, bills, admin, .. } = secrets;
    format!(
        "SET SESSION sql_log_bin = 0;
         CREATE DATABASE IF NOT EXISTS accounting;
         CREATE DATABASE IF NOT EXISTS wallet;
         CREATE DATABASE IF NOT EXISTS bills;
         CREATE OR REPLACE USER databus@'127.0.0.1' IDENTIFIED BY '{databus}';
         GRANT REPLICATION SLAVE, BINLOG MONITOR, REPLICA MONITOR ON *.* TO databus@'127.0.0.1';
         GRANT SELECT ON accounting.* TO databus@'127.0.0.1';
         CREATE OR REPLACE USER wallet@'127.0.0.1' IDENTIFIED BY '{wallet}';
         GRANT ALL ON accounting.* TO wallet@'127.0.0.1';
         GRANT ALL ON wallet.* TO wallet@'127.0.0.1';
         CREATE OR REPLACE USER bills@'127.0.0.1' IDENTIFIED BY '{bills}';
         GRANT ALL ON bills.* TO bills@'127.0.0.1';
         CREATE OR REPLACE USER admin@'127.0.0.1' IDENTIFIED BY '{admin}';
         GRANT ALL ON *.* TO admin@'127.0.0.1' WITH GRANT OPTION;"
    )
}
