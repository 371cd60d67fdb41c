//! Debezium's MariaDB connector in a standalone Kafka Connect worker.

use crate::harness::DatabaseServer;
use crate::harness::child::ChildProcess;
use crate::harness::launch::Launch;
use crate::harness::paths::{Peer, connect_lib, java_home, peer_home};
use crate::harness::ports::free_port;
use anyhow::ensure;
use std::{fs, path::Path};

/// How one worker with one connector is to run.
#[derive(Debug, Clone, Copy)]
pub struct Debezium<'a> {
    /// Where the worker keeps its offsets, its schema history and its log.
    pub dir: &'a Path,
    /// `bootstrap.servers`.
    pub brokers: &'a str,
    /// The server that it reads, as the user `admin`.
    pub server: &'a DatabaseServer,
    /// Unique among everything that replicates from the server.
    pub server_id: u32,
    /// Options of Java.
    pub java: &'a [&'a str],
    /// Further lines of the worker's properties.
    pub worker: &'a str,
    /// Further lines of the connector's properties, `database.include.list` and `table.include.list` among them.
    pub connector: &'a str,
}

impl Debezium<'_> {
    /// Starts it where it was, or at the end of the binlog. It is not ready when this returns.
    ///
    /// Topics are `debezium.<database>.<table>`; the JSON has no schemas, decimals are strings, and a delete has no
    /// tombstone behind it.
    pub fn start(&self) -> anyhow::Result<ChildProcess> {
        let (plugins, worker) = (peer_home(Peer::Debezium), connect_lib());
        ensure!(
            plugins.is_dir() && worker.is_dir(),
            "debezium is not in .cache/; run `cargo xtask provision`"
        );
        fs::create_dir_all(self.dir)?;
        let here = self.dir.display();
        fs::write(
            self.dir.join("worker.properties"),
            format!(
                "bootstrap.servers={brokers}
listeners=http://127.0.0.1:{port}
plugin.path={plugins}
key.converter=org.apache.kafka.connect.json.JsonConverter
key.converter.schemas.enable=false
value.converter=org.apache.kafka.connect.json.JsonConverter
value.converter.schemas.enable=false
offset.storage.file.filename={here}/offsets
offset.flush.interval.ms=1000
producer.acks=all
{more}",
                brokers = self.brokers,
                port = free_port()?,
                plugins = plugins.display(),
                more = self.worker,
            ),
        )?;
        fs::write(
            self.dir.join("connector.properties"),
            format!(
                "name=debezium
connector.class=io.debezium.connector.mariadb.MariaDbConnector
tasks.max=1
database.hostname=127.0.0.1
database.port={port}
database.user=admin
database.password={password}
database.ssl.mode=disable
database.server.id={server_id}
topic.prefix=debezium
snapshot.mode=no_data
include.schema.changes=false
schema.history.internal=io.debezium.storage.file.history.FileSchemaHistory
schema.history.internal.file.filename={here}/schema-history
decimal.handling.mode=string
tombstones.on.delete=false
{more}",
                port = self.server.address().port(),
                password = self.server.secrets().admin,
                server_id = self.server_id,
                more = self.connector,
            ),
        )?;
        fs::write(self.dir.join("log4j2.properties"), LOGGING)?;
        let launch = Launch::new("debezium", java_home()?.join("bin/java"), self.dir)
            .args(self.java.iter().copied())
            .arg(format!("-Dlog4j2.configurationFile={here}/log4j2.properties"))
            .arg("-cp")
            .arg(worker.join("*"))
            .arg("org.apache.kafka.connect.cli.ConnectStandalone")
            .args(["worker.properties", "connector.properties"]);
        ChildProcess::start(launch)
    }
}

const LOGGING: &str = "rootLogger.level=info
rootLogger.appenderRef.out.ref=OUT
appender.out.type=Console
appender.out.name=OUT
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=[%d] %p %m (%c)%n
";
