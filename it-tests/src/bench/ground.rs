//! The one MariaDB and the one Kafka that all programs work on, and the table that they follow.

use super::rows::RowWriter;
use anyhow::Context;
use it_tests::harness::paths::run_dir;
use it_tests::harness::record::sweep_ended_runs;
use it_tests::harness::{Part, Service, Stack, StackSpec};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use std::path::Path;

/// Name of the database and of databus's source.
pub(super) const DATABASE: &str = "bench";
/// The table.
pub(super) const TABLE: &str = "bill";

/// Running parts and what was written so far.
#[derive(Debug)]
pub(super) struct Ground {
    pub(super) stack: Stack,
    pub(super) writer: RowWriter,
}

impl Ground {
    /// Starts both, as a production server would be set up in what matters here, and creates the table.
    pub(super) fn start(dir: Option<&Path>) -> anyhow::Result<Self> {
        sweep_ended_runs(&run_dir(), "bench-")?;
        let spec = match dir {
            Some(dir) => StackSpec::in_dir(std::path::absolute(dir)?).keep(),
            None => StackSpec::in_dir(run_dir().join(format!("bench-{}", std::process::id()))),
        };
        let stack = Stack::start(
            spec.only(&[Part::MariaDb, Part::Kafka])
                .mariadb_arg("--innodb-buffer-pool-size=1G")
                .mariadb_arg("--innodb-log-file-size=512M")
                .mariadb_arg("--max-binlog-size=1G")
                .kafka_java(&["-Xms1g", "-Xmx1g", "-XX:+UseG1GC"])
                .kafka_property("log.segment.bytes=268435456"),
        )?;
        stack.mariadb()?.create_database(DATABASE)?;
        let writer = RowWriter::new(&stack)?;
        Ok(Self { stack, writer })
    }

    /// Writes a backlog. The server syncs at each commit again when it is there, as it does for the latency.
    pub(super) fn backlog(&mut self, rows: u64, per_transaction: u64) -> anyhow::Result<()> {
        let started = std::time::Instant::now();
        let mariadb = self.stack.mariadb()?;
        mariadb.sql("SET GLOBAL sync_binlog = 0; SET GLOBAL innodb_flush_log_at_trx_commit = 0")?;
        self.writer.write(rows, per_transaction)?;
        mariadb.sql("SET GLOBAL sync_binlog = 1; SET GLOBAL innodb_flush_log_at_trx_commit = 1")?;
        println!(
            "  {rows} rows written, {per_transaction} a transaction ({:.1} s)",
            started.elapsed().as_secs_f32()
        );
        Ok(())
    }

    /// File and place where the binlog ends now.
    pub(super) fn binlog_end(&self) -> anyhow::Result<(String, u64)> {
        let told = self.stack.mariadb()?.sql("SHOW MASTER STATUS")?;
        let mut words = told.split('\t');
        let file = words.next().context("no binlog file")?.to_owned();
        let position = words.next().and_then(|word| word.trim().parse().ok());
        Ok((file, position.with_context(|| format!("no binlog position in {told:?}"))?))
    }

    /// A topic of one partition.
    pub(super) fn create_topic(&self, name: &str) -> anyhow::Result<()> {
        let admin: AdminClient<DefaultClientContext> =
            ClientConfig::new().set("bootstrap.servers", self.stack.kafka_brokers()?).create()?;
        let topic = NewTopic::new(name, 1, TopicReplication::Fixed(1));
        let created = futures::executor::block_on(admin.create_topics([&topic], &AdminOptions::new()))?;
        for result in created {
            result.map_err(|(name, code)| anyhow::anyhow!("cannot create topic {name}: {code}"))?;
        }
        Ok(())
    }

    /// CPU seconds of the broker and of the database until now.
    pub(super) fn servers_cpu(&self) -> anyhow::Result<(f64, f64)> {
        let kafka = self.stack.kafka.as_ref().context("no kafka")?;
        let of = |process: &dyn Service| super::usage::cpu_seconds(&process.process().identity());
        Ok((of(kafka), of(self.stack.mariadb()?)))
    }
}
