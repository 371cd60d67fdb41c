//! A source of a test's own, and what databus published of it.

use crate::{
    harness::{Daemon, DatabaseServer, Deployment, Not, PipelinesToml, Proxy, Stack, wait_until},
    shared::unique,
    topic::read_all,
};
use anyhow::{Context, Result, ensure};
use change_event::{
    Value, Version,
    checkpoint::{self, Checkpoint},
    envelope::{Change, Op},
};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

/// How long a slow machine may take.
pub const SOON: Duration = Duration::from_secs(60);

/// A source of its own within a stack: database, source name and server id that no other test uses.
#[derive(Debug)]
pub struct Source<'a> {
    /// Its parts.
    pub stack: &'a Stack,
    /// Name of the source, its database and its deployment.
    pub name: String,
    /// The daemons for it.
    pub deployment: Deployment,
}

impl<'a> Source<'a> {
    /// A source with one captured table `fund_order`-like by `columns`, and everything else of the shipped file.
    pub fn new(stack: &'a Stack, columns: &str) -> Result<Self> {
        static SERVER_ID: AtomicU32 = AtomicU32::new(9_000);
        let name = unique("src");
        stack.mariadb()?.create_database(&name)?;
        stack.mariadb()?.sql(&format!("CREATE TABLE {name}.entry ({columns})"))?;
        let deployment = Deployment::edited(stack, &name, |file| {
            file.replace("accounting", &name);
            let section = format!("source.{name}");
            file.set(&section, "tables", &format!("[\"{name}.entry\"]"))?;
            file.set(&section, "server_id", &SERVER_ID.fetch_add(1, Ordering::Relaxed).to_string())?;
            // these tests count every change that the binlog holds; those of snapshots say so
            file.set_text(&section, "snapshot", "never")?;
            keep_only_the_movements_pipeline(file);
            Ok(())
        })?;
        Ok(Self { stack, name, deployment })
    }

    /// Runs SQL in its database; answers the rows, tab-separated.
    pub fn sql(&self, statements: &str) -> Result<String> {
        self.stack.mariadb()?.sql(&format!("USE {};\n{statements}", self.name))
    }

    /// What stage 1 holds of it, in order.
    pub fn changes(&self) -> Result<Vec<Vec<u8>>> {
        let records = read_all(&self.stack.kafka_brokers()?, &format!("changes.{}", self.name))?;
        Ok(records.into_iter().filter_map(|record| record.value).collect())
    }

    /// The same source read from another server.
    pub fn read_from(&mut self, server: &DatabaseServer) -> Result<()> {
        self.read_at(server.address())
    }

    /// The same source read through a proxy of its own.
    pub fn read_through_a_proxy(&mut self) -> Result<Proxy> {
        let proxy = Proxy::start(self.stack.mariadb()?.address())?;
        self.read_at(proxy.address())?;
        Ok(proxy)
    }

    fn read_at(&mut self, address: SocketAddr) -> Result<()> {
        let name = self.name.clone();
        self.deployment.edit(|file| file.source_at(&name, address))
    }

    /// The last checkpoint.
    pub fn checkpoint(&self) -> Result<Checkpoint> {
        let records = read_all(&self.stack.kafka_brokers()?, checkpoint::TOPIC)?;
        let last =
            records.into_iter().rev().find(|record| record.key == self.name).context("no checkpoint")?;
        Ok(serde_json::from_slice(&last.value.context("a checkpoint without content")?)?)
    }

    /// Waits until stage 1 holds this many changes; more are an error at once.
    pub fn wait_for_changes(&self, count: usize) -> Result<Vec<Vec<u8>>> {
        wait_until(&format!("{count} changes"), SOON, || match self.changes() {
            Ok(changes) if changes.len() == count => Ok(changes),
            Ok(changes) if changes.len() > count => {
                Err(Not::Ever(anyhow::anyhow!("{} changes", changes.len())))
            }
            Ok(changes) => Err(Not::Yet(format!("{} changes", changes.len()))),
            Err(error) => Err(Not::yet(error)),
        })
    }
}

/// The orders pipeline names columns that these tests' tables do not have; databus does not look at pipelines.
fn keep_only_the_movements_pipeline(file: &mut PipelinesToml) {
    let text = file.text();
    let orders = text.find("# What the merchant did").unwrap_or(text.len());
    let movements = text.find("# What moved the balance").unwrap_or(text.len());
    *file = PipelinesToml::from_text(&format!("{}{}", &text[..orders], &text[movements..]));
}

/// G2: every seq is the one before it plus one; returns the last.
pub fn assert_dense(changes: &[Vec<u8>]) -> Result<Version> {
    let mut last = Version::START;
    for (at, value) in changes.iter().enumerate() {
        let seq = Change::parse(value)?.source.seq;
        ensure!(seq.follows(last), "change {at} has seq {seq} after {last}");
        last = seq;
    }
    Ok(last)
}

/// A number column of the row as it is, or as it was where it is gone.
pub fn number(change: &Change<'_>, column: &str) -> Result<i64> {
    let row = change.after.as_ref().or(change.before.as_ref()).context("a change without rows")?;
    match row.get(column) {
        Some(Value::I64(number)) => Ok(*number),
        other => anyhow::bail!("{column} is {other:?}"),
    }
}

/// Every row's changes in order: what each id went through.
pub fn histories(changes: &[Vec<u8>]) -> Result<BTreeMap<i64, Vec<Op>>> {
    let mut histories: BTreeMap<i64, Vec<Op>> = BTreeMap::new();
    for value in changes {
        let change = Change::parse(value)?;
        histories.entry(number(&change, "id")?).or_default().push(change.op);
    }
    Ok(histories)
}

/// Runs `databus run` where it must refuse; returns its exit code and stderr.
pub fn refusal(deployment: &Deployment) -> Result<(Option<i32>, String)> {
    let output = deployment.run("databus", &["run"])?;
    Ok((output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned()))
}

/// The end of a daemon's log, for messages.
pub fn last_lines(daemon: &Daemon) -> String {
    let log = daemon.log().unwrap_or_default();
    let lines: Vec<_> = log.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
