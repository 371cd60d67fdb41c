//! A connection that writes: transactions of every shape, each noted in the ledger with what it changed.

use super::ledger::{Tally, number};
use super::scene::Scene;
use super::statement::{Captured, Effect, Statement};
use crate::rng::Rng;
use anyhow::{Context, Result};
use sqlx::mysql::MySqlDatabaseError;
use sqlx::{AssertSqlSafe, Executor, MySqlConnection};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// What DDL and other writers may do to a statement: no such table, unknown column, lock wait too long, deadlock, table changed meanwhile,
/// row changed since it was read.
const REFUSED: [u16; 6] = [1146, 1054, 1205, 1213, 1412, 1020];

/// Ranges of keys that a writer remembers; beyond that it deletes.
const MOST_RANGES: usize = 12;

/// One step of a transaction.
enum Step {
    Do(Statement),
    Savepoint,
    BackToSavepoint,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Commit,
    Rollback,
    /// Prepared and committed as an XA transaction of its own name.
    Xa,
    /// Prepared and rolled back.
    XaRollback,
    /// One statement without BEGIN.
    Alone,
}

/// How far the big transactions are: each is undone by the two after it, so that the table does not grow.
#[derive(Clone, Copy)]
enum Big {
    Insert,
    Update(i64),
    Delete(i64),
}

struct Writer<'s> {
    scene: &'s Scene<'s>,
    connection: MySqlConnection,
    rng: Rng,
    /// Keys of `entry` that may be there.
    entries: Vec<i64>,
    /// Runs of keys of `entry`.
    ranges: Vec<(i64, u32)>,
    /// Accounts of `posting`.
    accounts: Vec<i64>,
    big: Big,
    /// The name of the XA transaction in hand.
    xa: String,
}

/// Writes until the load is to stop.
pub(super) fn write(scene: &Scene<'_>, number: usize) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut connection = scene.connect().await?;
        // whoever waits for another gives up early: there is always something else to write
        connection.execute("SET SESSION innodb_lock_wait_timeout = 5, lock_wait_timeout = 20").await?;
        let (writers, rows) = (scene.options.writers as i64, i64::from(scene.options.rows));
        let own = |upto: i64| (1..=upto).filter(|key| key % writers == number as i64).take(500).collect();
        let mut writer = Writer {
            scene,
            connection,
            rng: Rng::new(scene.options.seed.wrapping_mul(31).wrapping_add(number as u64)),
            entries: own(rows),
            ranges: Vec::new(),
            accounts: own(rows / 4),
            big: Big::Insert,
            xa: String::new(),
        };
        let pause = Duration::from_secs(1) * u32::try_from(writers)? / scene.options.rate.max(1);
        let mut clock = tokio::time::interval(pause);
        clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !scene.load_is_over() {
            clock.tick().await;
            writer.transact().await.with_context(|| format!("writer {number}"))?;
        }
        Ok(())
    })
}

impl Writer<'_> {
    async fn transact(&mut self) -> Result<()> {
        let big = self.scene.wants_big.swap(false, Ordering::Relaxed) || self.rng.one_in(400);
        let (steps, end) = if big { (vec![self.big()], End::Commit) } else { self.draw() };
        let scene = self.scene;
        let gate = scene.gate.read().await;
        let done = self.run(steps, end).await;
        drop(gate);
        match done {
            Ok(Some((number, tally))) => {
                scene.ledger.note(number, tally);
                if big {
                    scene.bigs.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            }
            Ok(None) => Ok(()),
            Err(error) if is_refused(&error) => Ok(self.back_out(end).await?),
            Err(error) => Err(error.into()),
        }
    }

    /// Answers the transaction's number and what it changed, where it was committed and changed something.
    async fn run(&mut self, steps: Vec<Step>, end: End) -> Result<Option<(u64, Tally)>, sqlx::Error> {
        match end {
            End::Alone => {}
            End::Xa | End::XaRollback => {
                // names are the server's
                self.xa = format!("'{}-{}'", self.scene.source.name, self.scene.fresh(1));
                self.xa("START").await?;
            }
            End::Commit | End::Rollback => {
                self.connection.execute("BEGIN").await?;
            }
        }
        let (mut tally, mut saved) = (Tally::default(), Tally::default());
        for step in steps {
            match step {
                Step::Do(statement) => {
                    let sql = AssertSqlSafe(statement.sql.clone());
                    let rows = self.connection.execute(sqlx::raw_sql(sql)).await?.rows_affected();
                    statement.count(rows, &mut tally);
                }
                Step::Savepoint => {
                    self.connection.execute("SAVEPOINT here").await?;
                    saved = tally;
                }
                Step::BackToSavepoint => {
                    self.connection.execute("ROLLBACK TO here").await?;
                    tally = saved;
                }
            }
        }
        match end {
            End::Commit => {
                self.connection.execute("COMMIT").await?;
            }
            End::Rollback => {
                self.connection.execute("ROLLBACK").await?;
                return Ok(None);
            }
            End::Xa | End::XaRollback => {
                self.xa("END").await?;
                self.xa("PREPARE").await?;
                self.xa(if end == End::Xa { "COMMIT" } else { "ROLLBACK" }).await?;
                if end == End::XaRollback {
                    return Ok(None);
                }
            }
            End::Alone => {}
        }
        if tally.total() == 0 {
            return Ok(None);
        }
        let gtid: String = sqlx::query_scalar("SELECT @@last_gtid").fetch_one(&mut self.connection).await?;
        let number = number(&gtid).ok_or_else(|| sqlx::Error::Protocol(format!("a GTID {gtid:?}")))?;
        Ok(Some((number, tally)))
    }

    async fn xa(&mut self, verb: &str) -> Result<(), sqlx::Error> {
        let sql = AssertSqlSafe(format!("XA {verb} {}", self.xa));
        self.connection.execute(sqlx::raw_sql(sql)).await.map(drop)
    }

    /// After a statement was refused: back to no transaction, whatever kind it was.
    async fn back_out(&mut self, end: End) -> Result<(), sqlx::Error> {
        if matches!(end, End::Xa | End::XaRollback) {
            // after a deadlock the server has ended and marked it already
            drop(self.xa("END").await);
            self.xa("ROLLBACK").await
        } else {
            self.connection.execute("ROLLBACK").await.map(drop)
        }
    }

    fn draw(&mut self) -> (Vec<Step>, End) {
        match self.rng.below(100) {
            0..30 => (vec![Step::Do(self.statement())], End::Alone),
            30..75 => {
                let count = 2 + self.rng.below(7);
                (self.statements(count), End::Commit)
            }
            75..85 => {
                let mut steps = self.statements(2);
                steps.push(Step::Savepoint);
                steps.extend(self.statements(3));
                if !self.rng.one_in(4) {
                    steps.push(Step::BackToSavepoint);
                }
                steps.extend(self.statements(1));
                (steps, End::Commit)
            }
            85..93 => (self.statements(3), End::Rollback),
            93..98 => (self.statements(4), End::Xa),
            _ => (self.statements(3), End::XaRollback),
        }
    }

    fn statements(&mut self, count: usize) -> Vec<Step> {
        (0..count).map(|_| Step::Do(self.statement())).collect()
    }

    fn statement(&mut self) -> Statement {
        use Captured::{Entry, Posting};
        match self.rng.below(100) {
            0..15 => {
                let id = self.scene.fresh(1);
                self.entries.push(id);
                Statement::on(
                    Entry,
                    Effect::Create,
                    format!("INSERT INTO entry (id, note, n) VALUES ({id}, {}, 0)", self.text()),
                )
            }
            15..40 => self.update(Entry),
            40..50 => self.delete(Entry),
            50..57 => self.rekey(Entry),
            57..67 => self.range(),
            67..77 => {
                let (account, count) = (self.scene.fresh(1), 1 + self.rng.below(12));
                self.accounts.push(account);
                let rows: Vec<_> =
                    (0..count).map(|id| format!("({account}, {id}, {}, 0)", self.text())).collect();
                Statement::on(
                    Posting,
                    Effect::Create,
                    format!("INSERT INTO posting (account, id, body, n) VALUES {}", rows.join(", ")),
                )
            }
            77..85 => self.update(Posting),
            85..90 => self.delete(Posting),
            90..95 => self.rekey(Posting),
            _ => {
                let id = self.scene.fresh(1);
                Statement::unseen(format!("INSERT INTO side (id, note) VALUES ({id}, {})", self.text()))
            }
        }
    }

    fn update(&mut self, table: Captured) -> Statement {
        let (key, id) = self.pick(table);
        let more = self.extras(table);
        let sql = format!("UPDATE {table} SET n = n + 1{more} WHERE {key} = {id}");
        Statement::on(table, Effect::Update, sql)
    }

    fn delete(&mut self, table: Captured) -> Statement {
        let (key, id) = self.pick(table);
        self.own(table).retain(|known| *known != id);
        Statement::on(table, Effect::Delete, format!("DELETE FROM {table} WHERE {key} = {id}"))
    }

    /// Changes a row's key, or a part of the key in several rows at once.
    fn rekey(&mut self, table: Captured) -> Statement {
        let (key, id) = self.pick(table);
        let other = self.scene.fresh(1);
        let own = self.own(table);
        own.retain(|known| *known != id);
        own.push(other);
        let sql = format!("UPDATE {table} SET {key} = {other} WHERE {key} = {id}");
        Statement::on(table, Effect::Move, sql)
    }

    /// Many neighbouring rows at once: written, changed, then deleted.
    fn range(&mut self) -> Statement {
        let at = self.rng.below(self.ranges.len().max(1));
        match self.ranges.get(at).copied() {
            Some((first, count)) if self.ranges.len() >= MOST_RANGES || self.rng.one_in(3) => {
                self.ranges.swap_remove(at);
                let last = first + i64::from(count) - 1;
                Statement::on(
                    Captured::Entry,
                    Effect::Delete,
                    format!("DELETE FROM entry WHERE id BETWEEN {first} AND {last}"),
                )
            }
            Some((first, count)) if self.rng.one_in(2) => {
                let (last, more) = (first + i64::from(count) - 1, self.extras(Captured::Entry));
                Statement::on(
                    Captured::Entry,
                    Effect::Update,
                    format!("UPDATE entry SET n = n + 1{more} WHERE id BETWEEN {first} AND {last}"),
                )
            }
            _ => {
                let count = 5 + self.rng.below(60) as u32;
                let first = self.scene.fresh(count);
                self.ranges.push((first, count));
                Statement::on(
                    Captured::Entry,
                    Effect::Create,
                    format!(
                        "INSERT INTO entry (id, note, n) SELECT seq, CONCAT('range ', seq), 0 FROM seq_{first}_to_{}",
                        first + i64::from(count) - 1
                    ),
                )
            }
        }
    }

    /// As many rows as the options say, in one transaction that is far larger than a commit.
    fn big(&mut self) -> Step {
        let count = self.scene.options.big;
        let last = |first: i64| first + i64::from(count) - 1;
        let (statement, next) = match self.big {
            Big::Insert => {
                let first = self.scene.fresh(count);
                let wide = if self.rng.one_in(2) { 600 } else { 10 };
                let sql = format!(
                    "INSERT INTO entry (id, note, n) SELECT seq, CONCAT(REPEAT('x', {wide}), seq), 0 FROM seq_{first}_to_{}",
                    last(first)
                );
                (Statement::on(Captured::Entry, Effect::Create, sql), Big::Update(first))
            }
            Big::Update(first) => {
                let sql = format!("UPDATE entry SET n = n + 1 WHERE id BETWEEN {first} AND {}", last(first));
                (Statement::on(Captured::Entry, Effect::Update, sql), Big::Delete(first))
            }
            Big::Delete(first) => {
                let sql = format!("DELETE FROM entry WHERE id BETWEEN {first} AND {}", last(first));
                (Statement::on(Captured::Entry, Effect::Delete, sql), Big::Insert)
            }
        };
        self.big = next;
        Step::Do(statement)
    }

    /// The first column of the table's key, and a value that may be there: mostly one that no other writer touches.
    fn pick(&mut self, table: Captured) -> (&'static str, i64) {
        let rows = self.scene.options.rows as usize;
        let (key, own, upto) = match table {
            Captured::Entry => ("id", &self.entries, rows),
            Captured::Posting => ("account", &self.accounts, rows / 4),
        };
        if own.is_empty() || self.rng.one_in(12) {
            return (key, 1 + self.rng.below(upto) as i64);
        }
        (key, *self.rng.pick(own))
    }

    /// The keys of a table that no other writer touches.
    fn own(&mut self, table: Captured) -> &mut Vec<i64> {
        match table {
            Captured::Entry => &mut self.entries,
            Captured::Posting => &mut self.accounts,
        }
    }

    fn text(&mut self) -> String {
        format!("'{} \"quoted\" é收😀 {}'", self.rng.below(1_000_000), "x".repeat(self.rng.below(60)))
    }

    /// Assignments to some of the columns that DDL added.
    fn extras(&mut self, table: Captured) -> String {
        let columns = self.scene.shape.columns(table);
        let mut more = String::new();
        for column in columns {
            if self.rng.one_in(2) {
                more.push_str(&format!(", {} = {}", column.name, column.kind.literal(&mut self.rng)));
            }
        }
        more
    }
}

fn is_refused(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.try_downcast_ref::<MySqlDatabaseError>());
    code.is_some_and(|error| REFUSED.contains(&error.number()))
}
