//! One running database server.

use super::flavour::Flavour;
use super::options::ServerOptions;
use super::shell::{RootShell, SOCKET};
use super::{mariadb, mysql};
use crate::harness::child::ChildProcess;
use crate::harness::launch::Launch;
use crate::harness::paths::is_root;
use crate::harness::poll::Not;
use crate::harness::ports::{free_port, loopback};
use crate::harness::secrets::Secrets;
use crate::harness::service::Service;
use anyhow::{Context, bail, ensure};
use std::fs;
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

/// A running MariaDB or MySQL; ends with its value, or when this process ends.
#[derive(Debug)]
pub struct DatabaseServer {
    process: ChildProcess,
    flavour: Flavour,
    shell: RootShell,
    dir: PathBuf,
    port: u16,
    secrets: Secrets,
}

impl DatabaseServer {
    /// Starts it, initialising the data folder if there is none, and creates the databases and users.
    pub fn start(flavour: Flavour, options: ServerOptions) -> anyhow::Result<Self> {
        let dir = options.dir;
        let data = dir.join("data");
        initialise(flavour, &dir, &data)?;
        let port = match options.port {
            Some(port) => port,
            None => free_port()?,
        };
        let secrets = match options.secrets {
            Some(secrets) => secrets,
            None => Secrets::random()?,
        };
        let launch = Launch::new(flavour.make(), flavour.server_program()?, &dir)
            .arg("--no-defaults")
            .args(run_as())
            .arg(format!("--datadir={}", data.display()))
            .arg(temporary(&dir)?)
            .arg(format!("--socket={SOCKET}"))
            .arg(format!("--pid-file={}", dir.join("server.pid").display()))
            .arg(format!("--port={port}"))
            .arg(format!("--server-id={}", options.server_id))
            .args(COMMON_ARGS);
        let launch = if flavour.is_mysql() {
            launch.args(mysql::places(flavour)).args(mysql::SERVER_ARGS)
        } else {
            launch.args(flavour.base_dir()).args(mariadb::SERVER_ARGS)
        };
        let launch = launch.args(options.args).lifetime(options.lifetime);
        let shell = RootShell::new(flavour, &data)?;
        let process = ChildProcess::start(launch)?;
        let mut this = Self { process, flavour, shell, dir, port, secrets };
        this.wait_ready().with_context(|| format!("{flavour} did not start"))?;
        this.create_users()?;
        Ok(this)
    }

    /// Its make and series.
    pub fn flavour(&self) -> Flavour {
        self.flavour
    }

    /// Its own words about its version, for example `11.8.6-MariaDB`.
    pub fn version(&self) -> anyhow::Result<String> {
        Ok(self.sql("SELECT VERSION()")?.trim().to_owned())
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        loopback(self.port)
    }

    /// Its folder: log, data, pid file.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The folder with the binlog files, `binlog.000001` and so on.
    pub fn data_dir(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// The passwords of its users.
    pub fn secrets(&self) -> &Secrets {
        &self.secrets
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
        let users = if self.flavour.is_mysql() { mysql::users } else { mariadb::users };
        self.sql(&users(&self.secrets)).context("cannot create the databases and users")?;
        Ok(())
    }
}

const COMMON_ARGS: [&str; 7] = [
    "--bind-address=127.0.0.1",
    "--skip-name-resolve",
    "--innodb-flush-log-at-trx-commit=1",
    "--character-set-server=utf8mb4",
    "--collation-server=utf8mb4_bin",
    "--default-time-zone=+00:00",
    "--max-connections=500",
];

impl Service for DatabaseServer {
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

/// Reads the greeting that the server sends to every new client: protocol version 10.
pub fn greeting(address: SocketAddr) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut head = [0; 5];
    stream.read_exact(&mut head)?;
    ensure!(head.last() == Some(&10), "not a database server's greeting: {head:?}");
    Ok(())
}

/// A folder of its own for temporary tables: a server that starts clears away what it finds in a shared one.
pub(super) fn temporary(dir: &Path) -> anyhow::Result<String> {
    let folder = dir.join("tmp");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    Ok(format!("--tmpdir={}", folder.display()))
}

/// Root must say so; for others the server runs as who they are.
pub(super) fn run_as() -> Option<&'static str> {
    is_root().then_some("--user=root")
}

/// The error of a program that ended badly, with its own words.
pub(super) fn failed(program: &str, output: &Output) -> anyhow::Result<()> {
    if !output.status.success() {
        let text =
            String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        bail!("{program} failed with {}:\n{}", output.status, text.trim());
    }
    Ok(())
}

/// Makes the data folder in one step: a half-made one from an interrupted run is thrown away.
fn initialise(flavour: Flavour, dir: &Path, data: &Path) -> anyhow::Result<()> {
    if data.join("mysql").is_dir() {
        return Ok(());
    }
    let fresh = dir.join("data.new");
    for folder in [&fresh, &data.to_path_buf()] {
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
    }
    fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let fill = if flavour.is_mysql() { mysql::initialise } else { mariadb::initialise };
    fill(flavour, dir, &fresh).with_context(|| format!("cannot make a data folder for {flavour}"))?;
    fs::rename(&fresh, data).with_context(|| format!("cannot move {} into place", fresh.display()))
}
