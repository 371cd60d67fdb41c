//! DDL between the transactions: columns come, go, change their names and types; captured tables are emptied, and replaced as migration
//! tools do it; tables nobody captures are made, swapped and emptied; binlog files are closed.

use super::ledger::{Tally, number};
use super::scene::Scene;
use super::shape::{Column, Kind};
use super::statement::Captured;
use crate::rng::Rng;
use anyhow::{Context, Result};
use change_event::envelope::Op;
use sqlx::mysql::MySqlDatabaseError;
use sqlx::{AssertSqlSafe, Executor, MySqlConnection};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Between two statements, if nobody asks for one.
const PAUSE: Duration = Duration::from_millis(900);
/// How often it is looked whether somebody does.
const TICK: Duration = Duration::from_millis(10);

/// Most added columns of a table.
const MOST_COLUMNS: usize = 6;

struct Alterer<'s> {
    scene: &'s Scene<'s>,
    connection: MySqlConnection,
    rng: Rng,
    /// Names given out.
    names: u32,
}

/// Sends DDL until the load is to stop.
pub(super) fn alter(scene: &Scene<'_>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut connection = scene.connect().await?;
        connection.execute("SET SESSION lock_wait_timeout = 10").await?;
        let rng = Rng::new(scene.options.seed.wrapping_mul(77));
        let mut alterer = Alterer { scene, connection, rng, names: 0 };
        let mut last = Instant::now();
        let mut clock = tokio::time::interval(TICK);
        while !scene.load_is_over() {
            clock.tick().await;
            let wanted = scene.wants_ddl.swap(false, Ordering::Relaxed);
            if wanted || last.elapsed() >= PAUSE {
                alterer.one(wanted).await.context("ddl")?;
                last = Instant::now();
            }
        }
        Ok(())
    })
}

impl Alterer<'_> {
    /// One statement or swap; `captured`: of a captured table for sure.
    async fn one(&mut self, captured: bool) -> Result<()> {
        let table = *self.rng.pick(&Captured::ALL);
        match self.rng.below(if captured { 60 } else { 100 }) {
            0..20 => self.add(table).await,
            20..34 => self.drop(table).await,
            34..48 => self.rename(table).await,
            48..54 => self.retype(table).await,
            54..57 => self.replace(table).await,
            57..60 => self.empty().await,
            60..65 => self.index(table).await,
            65..82 => self.side().await,
            _ => self.send("FLUSH BINARY LOGS").await.map(drop),
        }
    }

    fn name(&mut self) -> String {
        self.names += 1;
        format!("c{}", self.names)
    }

    /// Whether it went through: writers may hold the table for longer than the patience lasts.
    async fn send(&mut self, sql: &str) -> Result<bool> {
        self.scene.ddls.fetch_add(1, Ordering::Relaxed);
        match self.connection.execute(sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))).await {
            Ok(_) => Ok(true),
            Err(error) => {
                let code = error
                    .as_database_error()
                    .and_then(|error| error.try_downcast_ref::<MySqlDatabaseError>())
                    .map(MySqlDatabaseError::number);
                if code.is_some_and(|code| [1205, 1213].contains(&code)) {
                    return Ok(false);
                }
                Err(error).with_context(|| sql.to_owned())
            }
        }
    }

    async fn add(&mut self, table: Captured) -> Result<()> {
        if self.scene.shape.columns(table).len() >= MOST_COLUMNS {
            return self.drop(table).await;
        }
        let (name, kind) = (self.name(), *self.rng.pick(&Kind::ALL));
        let place = match self.rng.below(4) {
            0 => " FIRST",
            1 => " AFTER n",
            _ => "",
        };
        let how = if self.rng.one_in(3) { ", ALGORITHM=COPY" } else { "" };
        if self
            .send(&format!("ALTER TABLE {table} ADD COLUMN {name} {} NULL{place}{how}", kind.sql()))
            .await?
        {
            self.scene.shape.added(table, Column { name, kind });
        }
        Ok(())
    }

    async fn drop(&mut self, table: Captured) -> Result<()> {
        let columns = self.scene.shape.columns(table);
        if columns.is_empty() {
            return self.index(table).await;
        }
        let column = self.rng.pick(&columns);
        if self.send(&format!("ALTER TABLE {table} DROP COLUMN {}", column.name)).await? {
            self.scene.shape.dropped(table, &column.name);
        }
        Ok(())
    }

    async fn rename(&mut self, table: Captured) -> Result<()> {
        let columns = self.scene.shape.columns(table);
        if columns.is_empty() {
            return self.index(table).await;
        }
        let (column, name) = (self.rng.pick(&columns).name.clone(), self.name());
        if self.send(&format!("ALTER TABLE {table} RENAME COLUMN {column} TO {name}")).await? {
            self.scene.shape.renamed(table, &column, &name);
        }
        Ok(())
    }

    /// A type that holds every value that was there; some show it in another way, which no row event says.
    async fn retype(&mut self, table: Captured) -> Result<()> {
        let columns = self.scene.shape.columns(table);
        let other = columns.iter().find_map(|column| Some((column.name.clone(), column.kind.other()?)));
        let Some((name, kind)) = other else { return self.index(table).await };
        if self.send(&format!("ALTER TABLE {table} MODIFY {name} {} NULL", kind.sql())).await? {
            self.scene.shape.retyped(table, &name, kind);
        }
        Ok(())
    }

    async fn index(&mut self, table: Captured) -> Result<()> {
        self.send(&format!("ALTER TABLE {table} ADD INDEX IF NOT EXISTS counted (n)")).await?;
        self.send(&format!("ALTER TABLE {table} DROP INDEX IF EXISTS counted")).await.map(drop)
    }

    /// A table that nobody captures, swapped, emptied, dropped.
    async fn side(&mut self) -> Result<()> {
        let name = format!("other_{}", self.name());
        self.send(&format!("CREATE TABLE {name} LIKE side")).await?;
        self.send(&format!("INSERT INTO {name} SELECT * FROM side LIMIT 1000")).await?;
        self.send(&format!("RENAME TABLE side TO {name}_old, {name} TO side")).await?;
        self.send(&format!("TRUNCATE TABLE {name}_old")).await?;
        self.send(&format!("DROP TABLE {name}_old")).await.map(drop)
    }

    /// What a migration tool does: a copy takes the table's place. Nobody writes meanwhile, so that both hold the same rows.
    async fn replace(&mut self, table: Captured) -> Result<()> {
        let scene = self.scene;
        let alone = scene.gate.write().await;
        self.send(&format!("CREATE TABLE {table}_new LIKE {table}")).await?;
        self.send(&format!("INSERT INTO {table}_new SELECT * FROM {table}")).await?;
        self.send(&format!("RENAME TABLE {table} TO {table}_old, {table}_new TO {table}")).await?;
        drop(alone);
        self.send(&format!("DROP TABLE {table}_old")).await.map(drop)
    }

    /// The table whose rows the writers bring back soonest.
    async fn empty(&mut self) -> Result<()> {
        let table = Captured::Posting;
        if !self.send(&format!("TRUNCATE TABLE {table}")).await? {
            return Ok(());
        }
        let gtid: String = sqlx::query_scalar("SELECT @@last_gtid").fetch_one(&mut self.connection).await?;
        let mut tally = Tally::default();
        tally.add(table, Op::Truncate, 1);
        self.scene.ledger.note(number(&gtid).with_context(|| format!("a GTID {gtid:?}"))?, tally);
        Ok(())
    }
}
