//! Debezium and databus side by side on one server and one broker.

use crate::{
    databus::{Source, last_lines},
    shared::unique,
};
use anyhow::{Context, Result, ensure};
use it_tests::{
    debezium::Debezium,
    harness::{Daemon, Not, Service, child::ChildProcess, wait_until},
    source::SOON,
    topic::{self, Record, read_all},
};
use std::time::Duration;

/// Rows of this table say where both are; they are not compared.
const PLACE: &str = "place";
/// A JVM with a connector on a busy machine.
const FIRST_ROW: Duration = Duration::from_secs(120);

/// Both, following.
pub(super) struct Sides<'a> {
    source: &'a Source<'a>,
    debezium: ChildProcess,
    databus: Daemon,
    topic: String,
}

/// Where this and that are documented: <https://debezium.io/documentation/reference/stable/connectors/mariadb.html>.
fn connector(database: &str, tables: &[String], topic: &str) -> String {
    let tables: Vec<_> = tables.iter().map(|table| format!("{database}.{table}")).collect();
    format!(
        "database.include.list={database}
table.include.list={}
skipped.operations=none
enable.time.adjuster=false
time.precision.mode=adaptive_time_microseconds
binary.handling.mode=base64
bigint.unsigned.handling.mode=precise
poll.interval.ms=10
schema.history.internal.skip.unparseable.ddl=true
inconsistent.schema.handling.mode=warn
transforms=one
transforms.one.type=org.apache.kafka.connect.transforms.RegexRouter
transforms.one.regex=.*
transforms.one.replacement={topic}
",
        tables.join(","),
    )
}

/// `precise` is a number in JSON with the first; a NULL stays a NULL in a column that has a default with the second.
const WORKER: &str = "value.converter.decimal.format=NUMERIC
key.converter.decimal.format=NUMERIC
value.converter.replace.null.with.default=false
";

impl<'a> Sides<'a> {
    /// Starts both for these tables and the source's own, and waits until each has published a row: from there on, both publish every change.
    pub(super) fn start(source: &'a mut Source<'_>, tables: &[String]) -> Result<Self> {
        source
            .sql(&format!("CREATE TABLE {PLACE} (id INT PRIMARY KEY AUTO_INCREMENT, kind INT NOT NULL)"))?;
        let mut all = tables.to_vec();
        all.push(PLACE.to_owned());
        let names: Vec<_> = all.iter().map(|table| format!("\"{}.{table}\"", source.name)).collect();
        let section = format!("source.{}", source.name);
        source.deployment.edit(|file| file.set(&section, "tables", &format!("[{}]", names.join(", "))))?;
        let source: &'a Source<'_> = source;
        let brokers = source.stack.kafka_brokers()?;
        let topic = unique("debezium");
        topic::create(&brokers, &topic)?;
        let mut debezium = Debezium {
            dir: &source.stack.dir().join("debezium"),
            brokers: &brokers,
            server: source.stack.mariadb()?,
            server_id: 5_401,
            // lives for a minute
            java: &["-Xms256m", "-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"],
            worker: WORKER,
            connector: &connector(&source.name, &all, &topic),
        }
        .start()?;
        let databus = source.deployment.databus()?;
        wait_until("debezium's first row", FIRST_ROW, || {
            alive(&mut debezium)?;
            source.sql(&format!("INSERT INTO {PLACE} (kind) VALUES (0)")).map_err(Not::Ever)?;
            match read_all(&brokers, &topic) {
                Ok(records) if records.is_empty() => Err(Not::from("none yet")),
                Ok(_) => Ok(()),
                Err(error) => Err(Not::yet(error)),
            }
        })
        .with_context(|| debezium.log_tail(3))?;
        Ok(Self { source, debezium, databus, topic })
    }

    /// What each has published of everything that was committed until now: Debezium, databus.
    pub(super) fn published(&mut self) -> Result<(Vec<Record>, Vec<Record>)> {
        self.source.sql(&format!("INSERT INTO {PLACE} (kind) VALUES (1)"))?;
        let brokers = self.source.stack.kafka_brokers()?;
        let ours = wait_until("databus to come to the end", SOON, || {
            if !self.databus.process_mut().is_running() {
                return Err(Not::Ever(anyhow::anyhow!("databus has ended")));
            }
            whole(&brokers, &format!("changes.{}", self.source.name))
        })
        .with_context(|| last_lines(&self.databus))?;
        let theirs = wait_until("debezium to come to the end", FIRST_ROW, || {
            alive(&mut self.debezium)?;
            whole(&brokers, &self.topic)
        })
        .with_context(|| self.debezium.log_tail(3))?;
        ensure!(self.debezium.is_running(), "debezium has ended: {}", self.debezium.log_tail(30));
        Ok((theirs, ours))
    }
}

impl Sides<'_> {
    /// Waits until Debezium's connector has failed with these words in its log, while databus goes on.
    pub(super) fn debezium_stops(&mut self, words: &str) -> Result<()> {
        wait_until("debezium to fail", SOON, || match alive(&mut self.debezium) {
            Err(Not::Ever(error)) if error.to_string().contains(words) => Ok(()),
            Ok(()) => Err(Not::from("it goes on")),
            Err(other) => Err(other),
        })
    }

    /// Waits until databus has published a change with these words in it.
    pub(super) fn databus_published(&self, words: &str) -> Result<()> {
        wait_until("databus to go on", SOON, || {
            let changes = self.source.changes().map_err(Not::yet)?;
            let found = changes.iter().any(|value| String::from_utf8_lossy(value).contains(words));
            if found { Ok(()) } else { Err(Not::Yet(format!("{words} is not in {} changes", changes.len()))) }
        })
    }
}

/// An error if it has ended, or if its connector has: that leaves the worker running.
fn alive(debezium: &mut ChildProcess) -> Result<(), Not> {
    if let Some(status) = debezium.exit_status() {
        return Err(Not::Ever(anyhow::anyhow!("debezium ended with {status}")));
    }
    let log = std::fs::read_to_string(debezium.log_path()).unwrap_or_default();
    match log.find("Task is being killed and will not recover") {
        None => Ok(()),
        Some(at) => {
            let from = log[..at].rfind("\n[").unwrap_or(0);
            let words = log[from..].lines().filter(|line| !line.starts_with("\tat ")).take(20);
            let words: String = words.map(|line| format!("\n{line}")).collect();
            Err(Not::Ever(anyhow::anyhow!("debezium's connector has failed:{words}")))
        }
    }
}

/// The records without those of the place, if the last of these is there.
fn whole(brokers: &str, topic: &str) -> Result<Vec<Record>, Not> {
    let mut records = read_all(brokers, topic).map_err(Not::yet)?;
    let count = records.len();
    let is = |record: &Record, what: &str| {
        record.value.as_ref().is_some_and(|value| String::from_utf8_lossy(value).contains(what))
    };
    let ended = records.iter().any(|record| is(record, "\"kind\":1}"));
    records.retain(|record| !is(record, &format!("\"table\":\"{PLACE}\"")));
    if ended { Ok(records) } else { Err(Not::Yet(format!("{count} records"))) }
}
