//! Our daemons against one stack: one `pipelines.toml`, one set of ports, one folder for logs.

use super::config::{DaemonPorts, PipelinesToml};
use super::daemon::{Daemon, own_binary};
use super::launch::Launch;
use super::ports::loopback;
use super::stack::Stack;
use anyhow::{Context, bail, ensure};
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// What the daemons of one test or demo share. `Debug` leaves the environment out: it carries secrets.
#[derive(Clone)]
pub struct Deployment {
    dir: PathBuf,
    ports: DaemonPorts,
    env: Vec<(String, String)>,
    file: PipelinesToml,
}

impl fmt::Debug for Deployment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deployment")
            .field("dir", &self.dir)
            .field("ports", &self.ports)
            .finish_non_exhaustive()
    }
}

impl Deployment {
    /// Writes `<stack>/<name>/pipelines.toml`, the shipped file with this stack's addresses and free ports.
    pub fn new(stack: &Stack, name: &str) -> anyhow::Result<Self> {
        Self::edited(stack, name, |_| Ok(()))
    }

    /// As [`Deployment::new`], with changes of the test's own to the file.
    pub fn edited(
        stack: &Stack,
        name: &str,
        edit: impl FnOnce(&mut PipelinesToml) -> anyhow::Result<()>,
    ) -> anyhow::Result<Self> {
        let ports = DaemonPorts::free()?;
        let mut file = PipelinesToml::for_stack(stack.addresses(), &ports)?;
        edit(&mut file)?;
        let secrets = stack.secrets().env().into_iter();
        let env = secrets.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self { dir: stack.dir().join(name), ports, env, file }.written()
    }

    /// A second deployment for the same parts and the same file, save for the ports: a standby databus, one more
    /// sync-worker, another bill-api.
    pub fn twin(&self, name: &str) -> anyhow::Result<Self> {
        let ports = DaemonPorts::free()?;
        let mut file = self.file.clone();
        file.set_text("databus", "admin_listen", &loopback(ports.databus_admin).to_string())?;
        file.set_text("sync_worker", "admin_listen", &loopback(ports.sync_worker_admin).to_string())?;
        file.set_text("bill_api", "listen", &loopback(ports.bill_api).to_string())?;
        file.set_text("bill_api", "admin_listen", &loopback(ports.bill_api_admin).to_string())?;
        let dir = self.dir.with_file_name(name);
        let same_wallet = DaemonPorts {
            wallet_api: self.ports.wallet_api,
            wallet_api_admin: self.ports.wallet_api_admin,
            wallet_rpc: self.ports.wallet_rpc,
            ..ports
        };
        Self { dir, ports: same_wallet, env: self.env.clone(), file }.written()
    }

    fn written(self) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&self.dir)
            .with_context(|| format!("cannot create {}", self.dir.display()))?;
        self.file.write(&self.config_path())?;
        Ok(self)
    }

    /// Sets an environment variable for every program started from here on, for example `RUST_LOG`.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Changes the file on disk; daemons see it at their next start.
    pub fn edit(
        &mut self,
        edit: impl FnOnce(&mut PipelinesToml) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        edit(&mut self.file)?;
        self.file.write(&self.config_path())
    }

    /// The file that `--config` names.
    pub fn config_path(&self) -> PathBuf {
        self.dir.join("pipelines.toml")
    }

    /// Folder of the config and the daemons' logs.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The ports in the file.
    pub fn ports(&self) -> &DaemonPorts {
        &self.ports
    }

    /// Base URL of wallet-api.
    pub fn wallet_url(&self) -> String {
        format!("http://{}", loopback(self.ports.wallet_api))
    }

    /// Base URL of bill-api.
    pub fn bill_url(&self) -> String {
        format!("http://{}", loopback(self.ports.bill_api))
    }

    /// Starts `databus run` and waits until it is ready.
    pub fn databus(&self) -> anyhow::Result<Daemon> {
        self.daemon("databus", &["run"])
    }

    /// Starts `sync-worker run` (router and writers) and waits until it is ready.
    pub fn sync_worker(&self) -> anyhow::Result<Daemon> {
        self.daemon("sync-worker", &["run"])
    }

    /// Starts `wallet-api run` and waits until it is ready.
    pub fn wallet_api(&self) -> anyhow::Result<Daemon> {
        self.daemon("wallet-api", &["run"])
    }

    /// Starts `bill-api run` and waits until it is ready.
    pub fn bill_api(&self) -> anyhow::Result<Daemon> {
        self.daemon("bill-api", &["run"])
    }

    /// Starts a daemon with arguments of the test's own (`--config` is added) and waits until it is ready.
    pub fn daemon(&self, binary: &str, args: &[&str]) -> anyhow::Result<Daemon> {
        Daemon::start(self.launch(binary, args)?, self.admin_port(binary)?)
    }

    /// As [`Deployment::daemon`], without waiting: for daemons that are to refuse, wait or take a role over.
    pub fn daemon_unready(&self, binary: &str, args: &[&str]) -> anyhow::Result<Daemon> {
        Daemon::launch(self.launch(binary, args)?, self.admin_port(binary)?)
    }

    /// Creates all databases' tables, the index and its alias: the `migrate` commands.
    pub fn migrate(&self) -> anyhow::Result<()> {
        self.run_ok("wallet-api", &["migrate"])?;
        self.run_ok("sync-worker", &["migrate"]).map(drop)
    }

    /// Runs a command of ours to its end, for example `("replay", &["diff", "--output", "json"])`.
    pub fn run(&self, binary: &str, args: &[&str]) -> anyhow::Result<Output> {
        self.command(binary, args)?.output().with_context(|| format!("cannot start {binary}"))
    }

    /// A command of ours, not started: for tests that hold its output themselves.
    pub fn command(&self, binary: &str, args: &[&str]) -> anyhow::Result<Command> {
        let mut command = Command::new(own_binary(binary)?);
        command
            .args(args)
            .arg("--config")
            .arg(self.config_path())
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.dir)
            .stdin(Stdio::null());
        Ok(command)
    }

    /// As [`Deployment::run`]; an exit code other than 0 is an error with the command's own words. Answers stdout.
    pub fn run_ok(&self, binary: &str, args: &[&str]) -> anyhow::Result<String> {
        let output = self.run(binary, args)?;
        ensure!(
            output.status.success(),
            "`{binary} {}` ended with {}:\n{}",
            args.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn launch(&self, binary: &str, args: &[&str]) -> anyhow::Result<Launch> {
        let launch = Launch::new(binary, own_binary(binary)?, &self.dir)
            .args(args.iter().copied())
            .arg("--config")
            .arg(self.config_path());
        Ok(self.env.iter().fold(launch, |launch, (name, value)| launch.env(name, value)))
    }

    fn admin_port(&self, binary: &str) -> anyhow::Result<u16> {
        Ok(match binary {
            "databus" => self.ports.databus_admin,
            "sync-worker" => self.ports.sync_worker_admin,
            "wallet-api" => self.ports.wallet_api_admin,
            "bill-api" => self.ports.bill_api_admin,
            other => bail!("{other} is not a daemon of ours"),
        })
    }
}
