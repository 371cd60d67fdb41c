//! What all parts of a round share.

use super::Options;
use super::ledger::Ledger;
use super::shape::Shape;
use super::statement::Captured;
use crate::harness::{Not, Stack};
use crate::source::Source;
use anyhow::{Result, anyhow, bail};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Longest time that anything may take on a slow machine.
pub(super) const DEADLINE: Duration = Duration::from_secs(120);

/// A source with two captured tables, and the signals between those who work on it.
#[derive(Debug)]
pub(super) struct Scene<'a> {
    pub(super) source: Source<'a>,
    pub(super) options: Options,
    pub(super) ledger: Ledger,
    pub(super) shape: Shape,
    /// Held by every transaction; a swap of tables, which must find nobody writing between copy and rename, holds it alone.
    pub(super) gate: tokio::sync::RwLock<()>,
    /// The last key that was given out.
    keys: AtomicI64,
    load_is_over: AtomicBool,
    reading_is_over: AtomicBool,
    /// The killer wants a big transaction now.
    pub(super) wants_big: AtomicBool,
    /// Big transactions committed.
    pub(super) bigs: AtomicU64,
    /// The killer wants DDL now.
    pub(super) wants_ddl: AtomicBool,
    /// DDL statements sent.
    pub(super) ddls: AtomicU64,
    /// Changes read and checked, and those of snapshots among them.
    pub(super) checked: AtomicU64,
    pub(super) snapshot_rows: AtomicU64,
    /// The numbers of the first and of the last transaction that the reader saw.
    pub(super) first: AtomicU64,
    pub(super) seen: AtomicU64,
    /// Snapshots that have begun in stage 1 and not ended.
    pub(super) open_snapshots: AtomicU64,
    problem: Mutex<Option<anyhow::Error>>,
}

impl<'a> Scene<'a> {
    /// Creates database, tables with their first rows, and the configuration.
    pub(super) fn new(stack: &'a Stack, options: Options) -> Result<Self> {
        let [entry, posting] = Captured::ALL;
        let mut source = Source::new(stack, entry.definition())?;
        let rows = options.rows;
        source.sql(&format!(
            "CREATE TABLE {posting} ({}); CREATE TABLE side (id INT PRIMARY KEY, note VARCHAR(200) NOT NULL);
             INSERT INTO {entry} (id, note, n) SELECT seq, CONCAT('row ', seq), 0 FROM seq_1_to_{rows};
             INSERT INTO {posting} (account, id, body, n) SELECT 1 + seq DIV 4, seq % 4, CONCAT('posting ', seq), 0 FROM seq_0_to_{};",
            posting.definition(),
            rows - 1,
            entry = entry.name(),
            posting = posting.name(),
        ))?;
        let (name, section) = (source.name.clone(), format!("source.{}", source.name));
        source.deployment.edit(|file| {
            file.set(
                &section,
                "tables",
                &format!("[\"{name}.{}\", \"{name}.{}\"]", entry.name(), posting.name()),
            )?;
            file.set_text(&section, "snapshot", "initial")?;
            file.set("databus", "snapshot_chunk_rows", "100")?;
            // so that a big transaction is cut in many pieces
            file.set("databus", "commit_max_rows", "500")
        })?;
        Ok(Self {
            source,
            keys: AtomicI64::new(i64::from(rows)),
            options,
            ledger: Ledger::default(),
            shape: Shape::default(),
            gate: tokio::sync::RwLock::default(),
            load_is_over: AtomicBool::new(false),
            reading_is_over: AtomicBool::new(false),
            wants_big: AtomicBool::new(false),
            bigs: AtomicU64::new(0),
            wants_ddl: AtomicBool::new(false),
            ddls: AtomicU64::new(0),
            checked: AtomicU64::new(0),
            snapshot_rows: AtomicU64::new(0),
            first: AtomicU64::new(0),
            seen: AtomicU64::new(0),
            open_snapshots: AtomicU64::new(0),
            problem: Mutex::new(None),
        })
    }

    /// The first of so many keys that nobody else has.
    pub(super) fn fresh(&self, count: u32) -> i64 {
        self.keys.fetch_add(i64::from(count), Ordering::Relaxed) + 1
    }

    pub(super) fn stop_load(&self) {
        self.load_is_over.store(true, Ordering::Relaxed);
    }

    pub(super) fn load_is_over(&self) -> bool {
        self.load_is_over.load(Ordering::Relaxed)
    }

    pub(super) fn stop_reader(&self) {
        self.reading_is_over.store(true, Ordering::Relaxed);
    }

    pub(super) fn reading_is_over(&self) -> bool {
        self.reading_is_over.load(Ordering::Relaxed)
    }

    /// Keeps the first error of all parts, which ends the round.
    pub(super) fn note(&self, ended: Result<()>) {
        self.note_value(ended);
    }

    /// As [`Scene::note`], with what the part brought.
    pub(super) fn note_value<T>(&self, ended: Result<T>) -> Option<T> {
        match ended {
            Ok(value) => Some(value),
            Err(error) => {
                self.problem.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                None
            }
        }
    }

    /// The first error of a part, if there was one; it is told once.
    pub(super) fn check(&self) -> Result<()> {
        match self.problem.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// As a status for waiting: hopeless once a part has failed.
    pub(super) fn not_yet(&self, status: impl Into<String>) -> Not {
        match self.problem.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            Some(error) => Not::Ever(anyhow!("{error:#}")),
            None => Not::Yet(status.into()),
        }
    }

    /// Connects as somebody who may do anything.
    pub(super) async fn connect(&self) -> Result<sqlx::MySqlConnection> {
        use sqlx::Connection;
        let url = self.source.stack.mariadb()?.url("admin", &self.source.name)?;
        match tokio::time::timeout(DEADLINE, sqlx::MySqlConnection::connect(&url)).await {
            Ok(connected) => Ok(connected?),
            Err(_) => bail!("the database does not answer"),
        }
    }
}
