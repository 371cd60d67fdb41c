//! Debezium's MariaDB connector in a Kafka Connect worker, tuned for throughput: large batches and queues, short waits.

use super::super::ground::{DATABASE, Ground, TABLE};
use anyhow::ensure;
use it_tests::harness::child::ChildProcess;
use it_tests::harness::launch::Launch;
use it_tests::harness::paths::{Peer, connect_lib, java_home, peer_home};
use it_tests::harness::ports::free_port;
use std::fs;

/// Starts the worker with the connector; both keep where they are in the folder.
pub(super) fn start(ground: &Ground) -> anyhow::Result<ChildProcess> {
    let (plugins, worker) = (peer_home(Peer::Debezium), connect_lib());
    ensure!(
        plugins.is_dir() && worker.is_dir(),
        "debezium is not in .cache/; run `cargo xtask bench databus`"
    );
    let dir = ground.stack.dir().join("debezium");
    fs::create_dir_all(&dir)?;
    let here = dir.display();
    fs::write(
        dir.join("worker.properties"),
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
producer.compression.type=lz4
producer.linger.ms=5
producer.batch.size=524288
producer.buffer.memory=67108864
",
            brokers = ground.stack.kafka_brokers()?,
            port = free_port()?,
            plugins = plugins.display(),
        ),
    )?;
    let mariadb = ground.stack.mariadb()?;
    fs::write(
        dir.join("connector.properties"),
        format!(
            "name=bench
connector.class=io.debezium.connector.mariadb.MariaDbConnector
tasks.max=1
database.hostname=127.0.0.1
database.port={port}
database.user=admin
database.password={password}
database.ssl.mode=disable
database.server.id=5401
topic.prefix=debezium
database.include.list={DATABASE}
table.include.list={DATABASE}.{TABLE}
snapshot.mode=no_data
include.schema.changes=false
schema.history.internal=io.debezium.storage.file.history.FileSchemaHistory
schema.history.internal.file.filename={here}/schema-history
decimal.handling.mode=string
tombstones.on.delete=false
max.batch.size=8192
max.queue.size=32768
poll.interval.ms=10
",
            port = mariadb.address().port(),
            password = mariadb.secrets().admin,
        ),
    )?;
    fs::write(dir.join("log4j2.properties"), LOGGING)?;
    let launch = Launch::new("debezium", java_home()?.join("bin/java"), &dir)
        .args(["-Xms1g", "-Xmx1g", "-XX:+UseG1GC"])
        .arg(format!("-Dlog4j2.configurationFile={here}/log4j2.properties"))
        .arg("-cp")
        .arg(worker.join("*"))
        .arg("org.apache.kafka.connect.cli.ConnectStandalone")
        .args(["worker.properties", "connector.properties"]);
    ChildProcess::start(launch)
}

const LOGGING: &str = "rootLogger.level=info
rootLogger.appenderRef.out.ref=OUT
appender.out.type=Console
appender.out.name=OUT
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=[%d] %p %m (%c)%n
";
