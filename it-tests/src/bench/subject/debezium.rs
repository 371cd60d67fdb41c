//! Debezium's MariaDB connector in a Kafka Connect worker, tuned for throughput: large batches and queues, short waits.

use super::super::ground::{DATABASE, Ground, TABLE};
use it_tests::debezium::Debezium;
use it_tests::harness::child::ChildProcess;

/// Starts the worker with the connector; both keep where they are in the folder.
pub(super) fn start(ground: &Ground) -> anyhow::Result<ChildProcess> {
    Debezium {
        dir: &ground.stack.dir().join("debezium"),
        brokers: &ground.stack.kafka_brokers()?,
        server: ground.stack.mariadb()?,
        server_id: 5_401,
        java: &["-Xms1g", "-Xmx1g", "-XX:+UseG1GC"],
        worker: "producer.compression.type=lz4
producer.linger.ms=5
producer.batch.size=524288
producer.buffer.memory=67108864
",
        connector: &format!(
            "database.include.list={DATABASE}
table.include.list={DATABASE}.{TABLE}
max.batch.size=8192
max.queue.size=32768
poll.interval.ms=10
"
        ),
    }
    .start()
}
