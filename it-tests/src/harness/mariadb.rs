//! A private MariaDB: row binlog with full images and metadata, synced at every commit.

use super::child::ChildProcess;
use super::launch::{Launch, Lifetime};
use super::paths::required_program;
use super::poll::Not;
use super::ports::loopback;
use super::secrets::Secrets;
use super::service::Service;
use anyhow::{Context, bail, ensure};
use std::fs;
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

// relative to the data folder, where server and client both run: a full path may be longer than a socket's may be
const SOCKET: &str = "server.sock";

/// A running MariaDB.
#[derive(Debug)]
pub struct MariaDb {
    process: ChildProcess,
    shell: RootShell,
    port: u16,
    secrets: Secrets,
}

impl MariaDb {
    /// Starts it in `dir`, initialising the data folder if there is none, and creates the databases and users.
    /// `extra_args` come last, so they override the defaults here.
    pub fn start(
        dir: &Path,
        port: u16,
        secrets: &Secrets,
        lifetime: Lifetime,
        extra_args: &[String],
    ) -> anyhow::Result<Self> {
        let data = dir.join("data");
        initialise(dir, &data)?;
        let launch = Launch::new("mariadb", required_program("mariadbd")?, dir)
            .arg("--no-defaults")
            .args(run_as())
            .arg(format!("--datadir={}", data.display()))
            .arg(temporary(dir)?)
            .arg(format!("--socket={SOCKET}"))
            .arg(format!("--pid-file={}", dir.join("server.pid").display()))
            .arg(format!("--port={port}"))
            .args(SERVER_ARGS)
            .args(extra_args)
            .lifetime(lifetime);
        let process = ChildProcess::start(launch)?;
        let shell = RootShell { client: required_program("mariadb")?, data };
        let mut this = Self { process, shell, port, secrets: secrets.clone() };
        this.wait_ready()?;
        this.create_users()?;
        Ok(this)
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        loopback(self.port)
    }

    /// Runs SQL as root through the socket; answers the rows, tab-separated, without a header.
    pub fn sql(&self, statements: &str) -> anyhow::Result<String> {
        self.shell.run(statements)
    }

    /// `mysql://user:password@127.0.0.1:port/database` for one of the users `databus`, `wallet`, `bills`, `admin`.
    pub fn url(&self, user: &str, database: &str) -> anyhow::Result<String> {
        let password = match user {
            "databus" => &self.secrets.databus,
            "wallet" => &self.secrets.wallet,
            "bills" => &self.secrets.bills,
            "admin" => &self.secrets.admin,
            other => bail!("the harness creates no database user {other}"),
        };
        Ok(format!("mysql://{user}:{password}@{}/{database}", self.address()))
    }

    /// Creates one more database, for a test of its own; `databus` may read it, `wallet` and `bills` own it.
    pub fn create_database(&self, name: &str) -> anyhow::Result<()> {
        if !name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_') {
            bail!("not a plain database name: {name}");
        }
        self.sql(&format!(
            "CREATE DATABASE `{name}`;
             GRANT SELECT ON `{name}`.* TO databus@'127.0.0.1';
             GRANT ALL ON `{name}`.* TO wallet@'127.0.0.1', bills@'127.0.0.1';"
        ))?;
        Ok(())
    }

    fn create_users(&self) -> anyhow::Result<()> {
        let Secrets { databus, wallet, bills, admin, .. } = &self.secrets;
        // not part of the history that a source's reader sees
        self.sql(&format!(
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
        ))
        .context("cannot create the databases and users")?;
        Ok(())
    }
}

const SERVER_ARGS: [&str; 16] = [
    "--bind-address=127.0.0.1",
    "--skip-name-resolve",
    "--server-id=1",
    "--log-bin=binlog",
    "--binlog-format=ROW",
    "--binlog-row-image=FULL",
    "--binlog-row-metadata=FULL",
    "--gtid-strict-mode=ON",
    "--sync-binlog=1",
    "--innodb-flush-log-at-trx-commit=1",
    "--innodb-buffer-pool-size=256M",
    "--innodb-log-file-size=128M",
    "--character-set-server=utf8mb4",
    "--collation-server=utf8mb4_bin",
    "--default-time-zone=+00:00",
    "--max-connections=500",
];

impl Service for MariaDb {
    fn process(&self) -> &ChildProcess {
        &self.process
    }

    fn process_mut(&mut self) -> &mut ChildProcess {
        &mut self.process
    }

    fn probe(&self) -> Box<dyn Fn() -> Result<(), Not> + Send> {
        let shell = self.shell.clone();
        Box::new(move || shell.run("SELECT 1").map(drop).map_err(Not::yet))
    }
}

/// The `mariadb` client as root over the socket.
#[derive(Debug, Clone)]
struct RootShell {
    client: PathBuf,
    data: PathBuf,
}

impl RootShell {
    fn run(&self, statements: &str) -> anyhow::Result<String> {
        let output = Command::new(&self.client)
            .args(["--no-defaults", "--user=root", "--socket", SOCKET, "--batch", "--skip-column-names"])
            .args(["--execute", statements])
            .current_dir(&self.data)
            .stdin(Stdio::null())
            .output()?;
        if !output.status.success() {
            bail!("mariadb client: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8(output.stdout)?)
    }
}

/// Reads the greeting that the server sends to every new client: protocol version 10.
pub fn greeting(address: SocketAddr) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut head = [0; 5];
    stream.read_exact(&mut head)?;
    ensure!(head.last() == Some(&10), "not a mariadb greeting: {head:?}");
    Ok(())
}

/// A folder of its own for temporary tables: a server that starts clears away what it finds in a shared one.
fn temporary(dir: &Path) -> anyhow::Result<String> {
    let folder = dir.join("tmp");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    Ok(format!("--tmpdir={}", folder.display()))
}

/// Root must say so; for others the server runs as who they are.
fn run_as() -> Option<&'static str> {
    super::paths::is_root().then_some("--user=root")
}

/// Makes the data folder in one step: a half-made one from an interrupted run is thrown away.
fn initialise(dir: &Path, data: &Path) -> anyhow::Result<()> {
    if data.join("mysql").is_dir() {
        return Ok(());
    }
    let fresh = dir.join("data.new");
    for folder in [&fresh, &data.to_path_buf()] {
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
    }
    fs::create_dir_all(dir)?;
    let output = Command::new(required_program("mariadb-install-db")?)
        .arg("--no-defaults")
        .args(run_as())
        .arg(format!("--datadir={}", fresh.display()))
        .arg(temporary(dir)?)
        .args(["--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"])
        .stdin(Stdio::null())
        .output()?;
    if !output.status.success() {
        let text =
            String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        bail!("mariadb-install-db failed with {}:\n{}", output.status, text.trim());
    }
    fs::rename(&fresh, data).with_context(|| format!("cannot move {} into place", fresh.display()))
}
