//! A private Elasticsearch node, security off, loopback only.
//!
//! Three traps are handled here: it refuses uid 0, it refuses a `HOME` that is a parent of its own folder, and
//! `GET /` is not there in this distribution, so readiness is `/_cluster/health`.

use super::child::ChildProcess;
use super::launch::{Disguise, Launch, Lifetime, NOBODY};
use super::paths::{elasticsearch_home, java_home};
use super::poll::Not;
use super::ports::loopback;
use super::service::Service;
use anyhow::{Context, ensure};
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// A running node.
#[derive(Debug)]
pub struct Elasticsearch {
    process: ChildProcess,
    port: u16,
}

impl Elasticsearch {
    /// Starts it in `dir`.
    pub fn start(dir: &Path, port: u16, transport_port: u16, lifetime: Lifetime) -> anyhow::Result<Self> {
        let home = elasticsearch_home();
        let program = home.join("bin/elasticsearch");
        ensure!(program.is_file(), "no elasticsearch in {}; run `cargo xtask provision`", home.display());
        for folder in ["home", "tmp", "data", "logs", "config"] {
            fs::create_dir_all(dir.join(folder))?;
        }
        copy_files(&home.join("config"), &dir.join("config"))?;
        fs::write(dir.join("config/elasticsearch.yml"), settings(dir, port, transport_port))?;
        if Disguise::here()? == Disguise::Nobody {
            give_away(dir)?;
        }
        let launch = Launch::new("elasticsearch", program, dir)
            .env("HOME", dir.join("home"))
            .env("ES_TMPDIR", dir.join("tmp"))
            .env("ES_PATH_CONF", dir.join("config"))
            .env("ES_JAVA_HOME", java_home()?)
            .env("ES_JAVA_OPTS", "-Xms512m -Xmx512m -XX:TieredStopAtLevel=1")
            .env("CLI_JAVA_OPTS", "-Xmx64m -XX:TieredStopAtLevel=1")
            .as_plain_user()
            .lifetime(lifetime);
        let mut this = Self { process: ChildProcess::start(launch)?, port };
        this.wait_ready().context(
            "elasticsearch did not start (it refuses root: where user namespaces are forbidden it runs as the user \
             nobody, who must be able to enter the working copy's folders)",
        )?;
        Ok(this)
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        loopback(self.port)
    }

    /// `http://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }
}

impl Service for Elasticsearch {
    fn process(&self) -> &ChildProcess {
        &self.process
    }

    fn process_mut(&mut self) -> &mut ChildProcess {
        &mut self.process
    }

    fn probe(&self) -> Box<dyn Fn() -> Result<(), Not> + Send> {
        let url = health_url(self.address());
        Box::new(move || super::http::get_ok(&url, Duration::from_secs(5)).map(drop).map_err(Not::yet))
    }
}

/// Answers 200 when the node serves.
pub fn health_url(address: SocketAddr) -> String {
    format!("http://{address}/_cluster/health")
}

fn settings(dir: &Path, port: u16, transport_port: u16) -> String {
    format!(
        "cluster.name: private
node.name: n1
discovery.type: single-node
network.host: 127.0.0.1
http.port: {port}
transport.port: {transport_port}
path.data: {dir}/data
path.logs: {dir}/logs
xpack.security.enabled: false
xpack.ml.enabled: false
cluster.routing.allocation.disk.threshold_enabled: false
action.auto_create_index: false
",
        dir = dir.display()
    )
}

fn copy_files(from: &Path, to: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            fs::create_dir_all(&target)?;
            copy_files(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)
                .with_context(|| format!("cannot copy {}", entry.path().display()))?;
        }
    }
    Ok(())
}

/// Makes a folder and all in it nobody's.
fn give_away(dir: &Path) -> anyhow::Result<()> {
    std::os::unix::fs::chown(dir, Some(NOBODY), Some(NOBODY))
        .with_context(|| format!("cannot give {} to the user nobody", dir.display()))?;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            give_away(&entry.path())?;
        } else {
            std::os::unix::fs::chown(entry.path(), Some(NOBODY), Some(NOBODY))?;
        }
    }
    Ok(())
}
