//! Maxwell with the same producer settings as the others.

use super::super::ground::{DATABASE, Ground, TABLE};
use anyhow::ensure;
use it_tests::harness::child::ChildProcess;
use it_tests::harness::launch::Launch;
use it_tests::harness::paths::{Peer, java_home, peer_home};
use std::ffi::OsString;
use std::fs;

/// Starts it; it keeps where it is in a database of its own.
pub(super) fn start(ground: &Ground) -> anyhow::Result<ChildProcess> {
    let home = peer_home(Peer::Maxwell);
    ensure!(home.is_dir(), "maxwell is not in .cache/; run `cargo xtask bench databus`");
    let dir = ground.stack.dir().join("maxwell");
    fs::create_dir_all(&dir)?;
    let mariadb = ground.stack.mariadb()?;
    fs::write(
        dir.join("config.properties"),
        format!(
            "host=127.0.0.1
port={port}
user=admin
password={password}
jdbc_options=useSSL=false&allowPublicKeyRetrieval=true
replica_server_id=5402
filter=exclude: *.*, include: {DATABASE}.{TABLE}
producer=kafka
kafka_topic=maxwell
kafka.bootstrap.servers={brokers}
kafka.acks=all
kafka.compression.type=lz4
kafka.linger.ms=5
kafka.batch.size=524288
kafka.buffer.memory=67108864
log_level=info
",
            port = mariadb.address().port(),
            password = mariadb.secrets().admin,
            brokers = ground.stack.kafka_brokers()?,
        ),
    )?;
    let mut class_path = home.join("classes").into_os_string();
    class_path.push(OsString::from(":"));
    class_path.push(home.join("*"));
    let launch = Launch::new("maxwell", java_home()?.join("bin/java"), &dir)
        .args(["-Xms1g", "-Xmx1g", "-cp"])
        .arg(class_path)
        .args(["com.zendesk.maxwell.Maxwell", "--config", "config.properties"]);
    ChildProcess::start(launch)
}
