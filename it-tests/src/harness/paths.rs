//! Where things lie in the working copy, and the pinned versions of the parts that Maven brings.

use std::path::{Path, PathBuf};

/// Version of the Kafka jars in `.cache/kafka-<version>/`.
pub const KAFKA_VERSION: &str = "4.3.1";
/// Version of the distribution in `.cache/elasticsearch-<version>/`.
pub const ELASTICSEARCH_VERSION: &str = "8.19.21";

/// Version of Flink's jars in `.cache/flink-<version>/`.
pub const FLINK_VERSION: &str = "1.20.3";

/// The root of the working copy that this crate was built from.
pub fn repo_root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// Downloaded parts; safe to delete, `cargo xtask provision` fills it again.
pub fn cache_dir() -> PathBuf {
    repo_root().join(".cache")
}

/// Directories of running stacks, one per name.
pub fn run_dir() -> PathBuf {
    repo_root().join(".run")
}

/// The Kafka jars.
pub fn kafka_lib() -> PathBuf {
    cache_dir().join(format!("kafka-{KAFKA_VERSION}"))
}

/// The unpacked Elasticsearch distribution, shared read-only by every node.
pub fn elasticsearch_home() -> PathBuf {
    cache_dir().join(format!("elasticsearch-{ELASTICSEARCH_VERSION}"))
}

/// The jars of Flink's `debezium-json` format.
pub fn flink_lib() -> PathBuf {
    cache_dir().join(format!("flink-{FLINK_VERSION}"))
}

/// What the bench measures beside databus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// Debezium's MariaDB connector in a standalone Kafka Connect worker.
    Debezium,
    /// Maxwell.
    Maxwell,
    /// `bench/peers/go-mysql`: go-mysql's canal and the franz-go producer.
    GoMysql,
}

impl Peer {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Debezium, Self::Maxwell, Self::GoMysql];

    /// Its name on the command line and in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Debezium => "debezium",
            Self::Maxwell => "maxwell",
            Self::GoMysql => "go-mysql",
        }
    }

    /// Its version.
    pub fn version(self) -> &'static str {
        match self {
            Self::Debezium => "3.5.0.Final",
            Self::Maxwell => "1.22.6",
            Self::GoMysql => "1.13.0",
        }
    }
}

/// Where a peer lies.
pub fn peer_home(peer: Peer) -> PathBuf {
    cache_dir().join(format!("{}-{}", peer.name(), peer.version()))
}

/// The jars of Kafka Connect's worker.
pub fn connect_lib() -> PathBuf {
    cache_dir().join(format!("connect-{KAFKA_VERSION}"))
}

/// Finds a program on PATH or in the sbin folders, which a plain user's PATH may lack.
pub fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/local/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file())
}

/// As [`program`], with an error that says what to run when it is missing.
pub fn required_program(name: &str) -> anyhow::Result<PathBuf> {
    program(name)
        .ok_or_else(|| anyhow::anyhow!("program `{name}` is not installed; run `cargo xtask provision`"))
}

/// The home of the JDK to use: `JAVA_HOME`, else the one behind `java` on PATH.
pub fn java_home() -> anyhow::Result<PathBuf> {
    if let Some(home) =
        std::env::var_os("JAVA_HOME").map(PathBuf::from).filter(|h| h.join("bin/java").is_file())
    {
        return Ok(home);
    }
    let java = required_program("java")?.canonicalize()?;
    let home = java.parent().and_then(Path::parent);
    home.map(Path::to_path_buf)
        .ok_or_else(|| anyhow::anyhow!("`java` at {} has no home folder", java.display()))
}

/// Whether this process runs as root, which some parts must be told and one refuses.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}
