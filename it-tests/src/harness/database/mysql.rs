//! What is MySQL's own way: making a data folder, settings, users.

use super::flavour::Flavour;
use super::server::{failed, run_as, temporary};
use crate::harness::secrets::Secrets;
use std::path::Path;
use std::process::{Command, Stdio};

/// Row binlog with full images and metadata, GTIDs, synced at every commit.
pub(super) const SERVER_ARGS: [&str; 10] = [
    "--log-bin=binlog",
    "--binlog-row-image=FULL",
    "--binlog-row-metadata=FULL",
    "--gtid-mode=ON",
    "--enforce-gtid-consistency=ON",
    "--sync-binlog=1",
    "--mysqlx=OFF",
    "--performance-schema=OFF",
    "--innodb-buffer-pool-size=256M",
    "--innodb-redo-log-capacity=128M",
];

/// Where a server that lies elsewhere than it was built for finds its own files.
pub(super) fn places(flavour: Flavour) -> Vec<String> {
    let Some(home) = flavour.home() else { return Vec::new() };
    let usr = home.join("usr");
    vec![
        format!("--basedir={}", usr.display()),
        format!("--lc-messages-dir={}", usr.join("share/mysql").display()),
        format!("--character-sets-dir={}", usr.join("share/mysql/charsets").display()),
        format!("--plugin-dir={}", usr.join("lib/mysql/plugin").display()),
        // the folder that the package was built with is not there, and a server without it does not start
        "--secure-file-priv=NULL".to_owned(),
    ]
}

/// Fills an empty data folder; root has no password, and also no way in but the socket.
pub(super) fn initialise(flavour: Flavour, dir: &Path, fresh: &Path) -> anyhow::Result<()> {
    let output = Command::new(flavour.server_program()?)
        .arg("--no-defaults")
        .args(run_as())
        .args(places(flavour))
        .arg(format!("--datadir={}", fresh.display()))
        .arg(temporary(dir)?)
        .args(["--log-bin=binlog", "--initialize-insecure"])
        .stdin(Stdio::null())
        .output()?;
    failed("mysqld --initialize-insecure", &output)
}

/// Databases and users; not part of the history that a source's reader sees.
pub(super) fn users(secrets: &Secrets) -> String {
    let Secrets { databus, wallet, bills, admin, .. } = secrets;
    format!(
        "SET SESSION sql_log_bin = 0;
         CREATE DATABASE IF NOT EXISTS accounting;
         CREATE DATABASE IF NOT EXISTS wallet;
         CREATE DATABASE IF NOT EXISTS bills;
         CREATE USER IF NOT EXISTS databus@'127.0.0.1', wallet@'127.0.0.1', bills@'127.0.0.1', admin@'127.0.0.1';
         ALTER USER databus@'127.0.0.1' IDENTIFIED BY '{databus}', wallet@'127.0.0.1' IDENTIFIED BY '{wallet}',
           bills@'127.0.0.1' IDENTIFIED BY '{bills}', admin@'127.0.0.1' IDENTIFIED BY '{admin}';
         GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO databus@'127.0.0.1';
         GRANT SELECT ON accounting.* TO databus@'127.0.0.1';
         GRANT ALL ON accounting.* TO wallet@'127.0.0.1';
         GRANT ALL ON wallet.* TO wallet@'127.0.0.1';
         GRANT ALL ON bills.* TO bills@'127.0.0.1';
         GRANT ALL ON *.* TO admin@'127.0.0.1' WITH GRANT OPTION;"
    )
}
