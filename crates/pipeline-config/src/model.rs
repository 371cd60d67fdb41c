//! The checked configuration that every daemon holds.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{ConfigError, Name, Pipeline, Place, Secret, TableName};

/// A configuration that passed every check that needs no server.
#[derive(Clone, Debug)]
pub struct Config {
    /// The path it was read from, as given.
    pub path: PathBuf,
    /// `[source.NAME]`, at least one, sorted by name.
    pub sources: Vec<Source>,
    /// `[kafka]`.
    pub kafka: Kafka,
    /// `[store]`: the bill store.
    pub store: Store,
    /// `[index]`: the bill index; without it bills are searched in the store.
    pub index: Option<Index>,
    /// `[redis]`.
    pub redis: Redis,
    /// `[databus]`.
    pub databus: Databus,
    /// `[sync_worker]`.
    pub sync_worker: SyncWorker,
    /// `[wallet_api]`.
    pub wallet_api: Option<WalletApi>,
    /// `[bill_api]`.
    pub bill_api: Option<BillApi>,
    /// `[flow]`.
    pub flow: Flow,
    /// `[[pipeline]]`, in the order of the file.
    pub pipelines: Vec<Pipeline>,
}

impl Config {
    /// Reads and checks the file; secrets are not read yet.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path)
            .map_err(|cause| ConfigError::Read { path: path.to_owned(), cause })?;
        Self::parse(path, &text)
    }

    /// Checks `text` as the content of `path` (relative secret files are sought beside it).
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        crate::check::file(path, text)
    }

    /// The source of that name.
    pub fn source(&self, name: &str) -> Option<&Source> {
        self.sources.iter().find(|source| source.name.as_str() == name)
    }

    /// `[wallet_api]`, or the error that this command needs it.
    pub fn require_wallet_api(&self) -> Result<&WalletApi, ConfigError> {
        self.wallet_api.as_ref().ok_or_else(|| self.missing("wallet_api"))
    }

    /// `[bill_api]`, or the error that this command needs it.
    pub fn require_bill_api(&self) -> Result<&BillApi, ConfigError> {
        self.bill_api.as_ref().ok_or_else(|| self.missing("bill_api"))
    }

    fn missing(&self, section: &'static str) -> ConfigError {
        ConfigError::MissingSection { path: self.path.clone(), section }
    }
}

/// How to log in to a MySQL or MariaDB server.
#[derive(Clone, Debug)]
pub struct MySqlLogin {
    /// Host name or address.
    pub host: String,
    /// TCP port, default 3306.
    pub port: u16,
    /// User.
    pub user: String,
    /// Password.
    pub password: Secret,
}

/// TLS to a server.
#[derive(Clone, Debug)]
pub struct Tls {
    /// How much is asked of the server.
    pub mode: TlsMode,
    /// PEM file with the authorities that may sign the server's certificate; without it the public ones.
    pub ca: Option<PathBuf>,
    /// PEM files with our certificate and its key, where the server asks for one.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// `tls` of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsMode {
    /// Plain TCP.
    Disabled,
    /// Encrypted; who answers is not checked.
    Required,
    /// Encrypted; the certificate is signed by a known authority.
    VerifyCa,
    /// Encrypted; the certificate is also for the host that we asked for.
    VerifyIdentity,
}

/// A database whose binlog is tailed.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its name: topics, bill ids and metrics carry it.
    pub name: Name,
    /// The server.
    pub login: MySqlLogin,
    /// How the link to it is protected; default: not at all.
    pub tls: Tls,
    /// Unique among everything that replicates from this server; never 0.
    pub server_id: u32,
    /// The captured tables: at least one, no duplicates.
    pub tables: Vec<TableName>,
    /// Where the list of tables stands.
    pub tables_place: Place,
    /// When the tables are read as they stand, beside their changes.
    pub snapshot: SnapshotMode,
}

/// When databus reads a source's tables as they stand, beside their changes. An operator may ask for it at any time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotMode {
    /// At the first start, which then streams from the binlog's end. The default.
    Initial,
    /// Never by itself: the first start streams from the oldest binlog that the source has.
    Never,
    /// As initial, and when the source no longer has the binlog that comes next.
    WhenNeeded,
}

impl Source {
    /// Stage 1's topic, `changes.<source>`.
    pub fn changes_topic(&self) -> String {
        format!("changes.{}", self.name)
    }

    /// True if `database.table` is captured.
    pub fn captures(&self, database: &str, table: &str) -> bool {
        self.tables.iter().any(|t| t.database() == database && t.table() == table)
    }
}

/// The broker and our topics in it.
#[derive(Clone, Debug)]
pub struct Kafka {
    /// Bootstrap addresses, `host:port[,host:port]`.
    pub brokers: String,
    /// Where the brokers are named, for "unreachable".
    pub brokers_place: Place,
    /// Stage 2's topic, default `bills`.
    pub bills_topic: String,
    /// Stage 2's partition count, default 12; fixed once the topic exists.
    pub bills_partitions: i32,
    /// Retention of both stages, default 14 days.
    pub retention: Duration,
}

impl Kafka {
    /// The compacted topic of the checkpoints.
    pub const CHECKPOINTS_TOPIC: &str = "databus.checkpoints";
}

/// The bill store.
#[derive(Clone, Debug)]
pub struct Store {
    /// The server.
    pub login: MySqlLogin,
    /// Database name, default `bills`; letters, digits and `_`.
    pub database: String,
}

/// The bill index.
#[derive(Clone, Debug)]
pub struct Index {
    /// `http://` or `https://` address without a path.
    pub url: String,
    /// User and password, where the server asks for them.
    pub login: Option<(String, Secret)>,
    /// Alias that readers and writers use, default `bills`.
    pub alias: String,
    /// How soon a written bill can be found, default 200 ms.
    pub refresh_interval: Duration,
}

/// Redis: nonces, grants, shared flow control.
#[derive(Clone, Debug)]
pub struct Redis {
    /// `redis://host:port/db` (or `rediss://`), default `redis://127.0.0.1:6379/0`.
    pub url: String,
    /// Password, where the server asks for one.
    pub password: Option<Secret>,
}

/// `databus`.
#[derive(Clone, Debug)]
pub struct Databus {
    /// Admin port, default 127.0.0.1:8081.
    pub admin_listen: SocketAddr,
    /// Longest wait before rows are committed while more keep coming, default 100 ms; up to five times that while a backlog is read.
    pub commit_max_wait: Duration,
    /// Most rows in one Kafka transaction, default 20,000; up to five times that while a backlog is read.
    pub commit_max_rows: u64,
    /// Connections that read a snapshot's chunks ahead, default 2, at most 16.
    pub snapshot_connections: usize,
    /// Most rows in one chunk of a snapshot, default 5000, at most 20,000.
    pub snapshot_chunk_rows: u64,
    /// This process's name among all that read the same sources; default: host name and admin port. One that starts under a name takes
    /// the place of the one before it at once.
    pub instance: Option<String>,
    /// Warn when the source will remove a binlog file that is still needed within this time, default 24 hours.
    pub purge_warning: Duration,
}

/// `sync-worker`.
#[derive(Clone, Debug)]
pub struct SyncWorker {
    /// Admin port, default 127.0.0.1:8082.
    pub admin_listen: SocketAddr,
    /// Most records folded into one write to a sink, default 1000.
    pub batch_max_records: usize,
    /// Longest wait for more records while the sink is idle, default 0: batches grow while a write is under way.
    pub batch_max_wait: Duration,
}

/// `wallet-api`.
#[derive(Clone, Debug)]
pub struct WalletApi {
    /// HTTP, default 127.0.0.1:8080.
    pub listen: SocketAddr,
    /// Admin port, default 127.0.0.1:8083.
    pub admin_listen: SocketAddr,
    /// Thrift, default 127.0.0.1:9090.
    pub rpc_listen: SocketAddr,
    /// Bearer token of platform staff.
    pub admin_token: Secret,
    /// What other services show to the Thrift port.
    pub rpc_token: Secret,
    /// 32 bytes in base64: encrypts app secrets at rest.
    pub master_key: Secret,
    /// Server of the databases `accounting` and `wallet`.
    pub database: MySqlLogin,
}

/// `bill-api`.
#[derive(Clone, Debug)]
pub struct BillApi {
    /// HTTP, default 127.0.0.1:8090.
    pub listen: SocketAddr,
    /// Admin port, default 127.0.0.1:8084.
    pub admin_listen: SocketAddr,
    /// wallet-api's Thrift address, `host:port`.
    pub wallet_rpc: String,
    /// What to show to that port.
    pub rpc_token: Secret,
    /// 32 bytes in base64: signs page cursors.
    pub cursor_key: Secret,
}

/// Flow control of both APIs, by class of route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Reading routes.
    pub read: FlowClass,
    /// Writing routes.
    pub write: FlowClass,
}

/// One token bucket per app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowClass {
    /// Tokens that come back each second, default 100.
    pub per_second: u32,
    /// Most tokens at once, default 200; never below 1.
    pub burst: u32,
}
