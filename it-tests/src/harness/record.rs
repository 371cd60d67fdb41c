//! `stack.json`: what runs where, so that another process can ask for its status or end it.

use super::child::kill_leftover;
use super::identity::Identity;
use super::secrets::Secrets;
use super::service::STOP_DEADLINE;
use super::{database, elasticsearch, http, kafka, redis};
use anyhow::{Context, bail};
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// One of the four real parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// The accounting database, and in tests the wallet's and the bill store too.
    MariaDb,
    /// Nonces and grants.
    Redis,
    /// Both stages.
    Kafka,
    /// The bill index.
    Elasticsearch,
}

impl Part {
    /// All four.
    pub const ALL: [Self; 4] = [Self::MariaDb, Self::Redis, Self::Kafka, Self::Elasticsearch];

    /// Its folder in a stack's directory; also the name of its log and pid file.
    pub fn name(self) -> &'static str {
        match self {
            Self::MariaDb => "mariadb",
            Self::Redis => "redis",
            Self::Kafka => "kafka",
            Self::Elasticsearch => "elasticsearch",
        }
    }

    /// One question over its own protocol.
    pub fn check(self, address: SocketAddr) -> anyhow::Result<()> {
        match self {
            Self::MariaDb => database::greeting(address),
            Self::Redis => redis::ping(address),
            Self::Kafka => kafka::ask_api_versions(address),
            Self::Elasticsearch => {
                http::get_ok(&elasticsearch::health_url(address), Duration::from_secs(5)).map(drop)
            }
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where the parts of a stack listen; `None` for one that it runs without.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Addresses {
    /// MariaDB.
    pub mariadb: Option<SocketAddr>,
    /// Redis.
    pub redis: Option<SocketAddr>,
    /// Kafka.
    pub kafka: Option<SocketAddr>,
    /// Elasticsearch (HTTP).
    pub elasticsearch: Option<SocketAddr>,
}

impl Addresses {
    /// The address of one part.
    pub fn of(&self, part: Part) -> Option<SocketAddr> {
        match part {
            Part::MariaDb => self.mariadb,
            Part::Redis => self.redis,
            Part::Kafka => self.kafka,
            Part::Elasticsearch => self.elasticsearch,
        }
    }
}

/// The content of `stack.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StackRecord {
    /// The processes, by part.
    pub processes: Vec<(Part, Identity)>,
    /// Where they listen.
    pub addresses: Addresses,
    /// Passwords and keys; the file is readable by its owner alone.
    pub secrets: Secrets,
}

/// How one part is doing.
#[derive(Debug)]
pub struct PartStatus {
    /// Which.
    pub part: Part,
    /// Its process.
    pub pid: i32,
    /// Where it listens.
    pub address: Option<SocketAddr>,
    /// Ok if it answers; else why not.
    pub health: anyhow::Result<()>,
}

impl StackRecord {
    /// Reads a stack's record; `None` if no stack was started in this directory.
    pub fn load(dir: &Path) -> anyhow::Result<Option<Self>> {
        let path = record_path(dir);
        if !path.exists() {
            return Ok(None);
        }
        let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let record = serde_json::from_slice(&bytes);
        record.map(Some).with_context(|| format!("{} is damaged; delete {}", path.display(), dir.display()))
    }

    /// Writes it, whole or not at all.
    pub fn save(&self, dir: &Path) -> anyhow::Result<()> {
        write_private(&record_path(dir), &serde_json::to_vec_pretty(self)?)
    }

    /// Asks every part.
    pub fn status(&self) -> Vec<PartStatus> {
        let ask = |(part, identity): &(Part, Identity)| {
            let address = self.addresses.of(*part);
            let health = match address {
                _ if !identity.is_alive() => Err(anyhow::anyhow!("not running")),
                Some(address) => part.check(address),
                None => Err(anyhow::anyhow!("no address recorded")),
            };
            PartStatus { part: *part, pid: identity.pid, address, health }
        };
        self.processes.iter().map(ask).collect()
    }

    /// Whether any of its processes still runs.
    pub fn is_running(&self) -> bool {
        self.processes.iter().any(|(_, identity)| identity.is_alive())
    }

    /// Ends all processes, in order and side by side; answers the parts that had to be killed at the deadline.
    pub fn stop(&self) -> anyhow::Result<Vec<Part>> {
        let stop = |(part, identity): (Part, Identity)| {
            let in_time = !identity.is_alive() || identity.stop(STOP_DEADLINE)?;
            Ok((!in_time).then_some(part))
        };
        let results: Vec<anyhow::Result<Option<Part>>> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                self.processes.iter().map(|process| scope.spawn(|| stop(*process))).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|_| bail!("a stop panicked")))
                .collect()
        });
        results.into_iter().filter_map(Result::transpose).collect()
    }
}

/// Holds a stack's directory for one process: the kernel lets go of it when that process ends.
#[derive(Debug)]
pub struct DirLock {
    _file: Flock<File>,
}

impl DirLock {
    /// Takes the directory, or fails if another process holds it.
    pub fn take(dir: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let path = dir.join("lock");
        let file = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(file) => Ok(Self { _file: file }),
            Err((_, error)) => {
                bail!("{} is in use by another run ({error}); choose another name", dir.display())
            }
        }
    }
}

/// Kills what a run left behind in its directory.
pub fn kill_leftovers(dir: &Path) -> anyhow::Result<()> {
    Part::ALL.iter().try_for_each(|part| kill_leftover(&dir.join(part.name()).join(format!("{part}.pid"))))
}

/// Deletes the directories `<prefix><pid>...` whose process has ended, with what still runs in them.
///
/// Both the pid and the lock must say so: a live run has its directory before it has locked it.
pub fn sweep_ended_runs(parent: &Path, prefix: &str) -> anyhow::Result<()> {
    let Ok(entries) = fs::read_dir(parent) else { return Ok(()) };
    for entry in entries.flatten() {
        let (name, dir) = (entry.file_name(), entry.path());
        let Some(rest) = name.to_str().and_then(|name| name.strip_prefix(prefix)) else { continue };
        let pid = rest.split('-').next().and_then(|pid| pid.parse::<u32>().ok());
        let ended = pid.is_some_and(|pid| Identity::of(pid).is_none_or(|owner| !owner.is_alive()));
        if ended && let Ok(_lock) = DirLock::take(&dir) {
            kill_leftovers(&dir)?;
            fs::remove_dir_all(&dir).with_context(|| format!("cannot delete {}", dir.display()))?;
        }
    }
    Ok(())
}

/// Writes a file that its owner alone may read, whole or not at all.
pub fn write_private(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let mut fresh = path.to_path_buf().into_os_string();
    fresh.push(".new");
    let fresh = PathBuf::from(fresh);
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&fresh)?;
    file.write_all(bytes)?;
    fs::rename(&fresh, path).with_context(|| format!("cannot write {}", path.display()))
}

fn record_path(dir: &Path) -> PathBuf {
    dir.join("stack.json")
}
