//! Transactions of every shape: what stage 1 holds is what was really committed, whatever is rolled back, prepared, cut off or huge.

use super::{SOON, Source, assert_dense, histories};
use crate::shared::{fresh, stack, unique};
use anyhow::{Context, Result, ensure};
use change_event::{
    Value,
    envelope::{Change, Op},
};
use it_tests::harness::{Daemon, Deployment, Not, Part, Service, Stack, wait_until};
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs::OpenOptions,
    sync::atomic::{AtomicU64, Ordering},
};

const COLUMNS: &str = "id INT PRIMARY KEY, note VARCHAR(400) NOT NULL";
const TABLES: [&str; 3] = ["entry", "plain", "crashsafe"];

/// `table id note`, as the stream says it stands after all changes in order.
pub(super) fn folded(changes: &[Vec<u8>]) -> Result<BTreeMap<(String, i64), String>> {
    let mut rows = BTreeMap::new();
    for value in changes {
        let change = Change::parse(value)?;
        let row = change.after.as_ref().or(change.before.as_ref()).context("a change without rows")?;
        let Some(Value::I64(id)) = row.get("id") else { anyhow::bail!("no id in {row:?}") };
        let key = (change.source.table.to_string(), *id);
        match (change.op, row.get("note")) {
            (Op::Delete, _) => drop(rows.remove(&key)),
            (_, Some(Value::Str(note))) => drop(rows.insert(key, note.to_string())),
            (op, note) => anyhow::bail!("{op:?} with note {note:?}"),
        }
    }
    Ok(rows)
}

/// The same, as the server says it.
pub(super) fn selected(source: &Source<'_>, tables: &[&str]) -> Result<BTreeMap<(String, i64), String>> {
    let mut rows = BTreeMap::new();
    for table in tables {
        for line in source.sql(&format!("SELECT id, note FROM {table}"))?.lines() {
            let (id, note) = line.split_once('\t').context("a line without a tab")?;
            rows.insert(((*table).to_owned(), id.parse()?), note.to_owned());
        }
    }
    Ok(rows)
}

/// Waits until the stream, folded, is the tables; returns the changes.
pub(super) fn wait_equal(source: &Source<'_>, tables: &[&str], daemon: &Daemon) -> Result<Vec<Vec<u8>>> {
    let expected = selected(source, tables)?;
    wait_until("the stream to equal the tables", SOON, || {
        let changes = source.changes().map_err(Not::yet)?;
        let rows = folded(&changes).map_err(Not::Ever)?;
        if rows == expected {
            return Ok(changes);
        }
        let missing: Vec<_> =
            expected.iter().filter(|(key, note)| rows.get(*key) != Some(*note)).take(3).collect();
        let extra: Vec<_> = rows.iter().filter(|(key, _)| !expected.contains_key(*key)).take(3).collect();
        let log = daemon.log().unwrap_or_default();
        let log = log.lines().rev().take(5).collect::<Vec<_>>().join("\n");
        Err(Not::Yet(format!(
            "{} rows of {}; missing {missing:?}, extra {extra:?}\n{log}",
            rows.len(),
            expected.len()
        )))
    })
}

/// Captures these tables, which must be there.
fn capture(source: &mut Source<'_>, tables: &[&str]) -> Result<()> {
    let name = source.name.clone();
    let list: Vec<String> = tables.iter().map(|table| format!("\"{name}.{table}\"")).collect();
    source
        .deployment
        .edit(|file| file.set(&format!("source.{name}"), "tables", &format!("[{}]", list.join(", "))))
}

/// A source with an InnoDB, a MyISAM and an Aria table, all captured.
fn mixed_engines<'a>(stack: &'a Stack) -> Result<Source<'a>> {
    let mut source = Source::new(stack, COLUMNS)?;
    source.sql(&format!(
        "CREATE TABLE plain ({COLUMNS}) ENGINE=MyISAM; CREATE TABLE crashsafe ({COLUMNS}) ENGINE=Aria"
    ))?;
    capture(&mut source, &TABLES)?;
    Ok(source)
}

/// Rows seen = published + repeated + undone, by the daemon's own counters.
fn assert_conserved(databus: &Daemon) -> Result<()> {
    let metrics = databus.metrics()?;
    for name in ["databus_rows_total", "databus_binlog_file_rows"] {
        let of = |outcome: &str| -> Result<f64> {
            let line = metrics
                .lines()
                .find(|line| line.starts_with(name) && line.contains(&format!("outcome=\"{outcome}\"")))
                .with_context(|| format!("no {name} of {outcome}"))?;
            Ok(line.rsplit(' ').next().unwrap_or_default().parse()?)
        };
        let (seen, rest) = (of("seen")?, of("published")? + of("repeated")? + of("undone")?);
        ensure!((seen - rest).abs() < 0.5, "{name}: seen {seen}, accounted for {rest}");
    }
    Ok(())
}

#[test]
fn only_what_was_committed_is_published_with_savepoints_and_mixed_engines_scenario_3() -> Result<()> {
    let source = mixed_engines(stack()?)?;
    let mut databus = source.deployment.databus()?;
    source.sql(
        "BEGIN; INSERT INTO entry VALUES (1, 'kept'); SAVEPOINT s1; INSERT INTO entry VALUES (2, 'undone'); ROLLBACK TO s1;
         INSERT INTO entry VALUES (3, 'kept'); COMMIT;
         BEGIN; INSERT INTO entry VALUES (11, 'kept'); SAVEPOINT s1; INSERT INTO entry VALUES (12, 'undone'); INSERT INTO plain VALUES (12, 'stays');
         ROLLBACK TO s1; INSERT INTO entry VALUES (13, 'kept'); COMMIT;
         BEGIN; INSERT INTO entry VALUES (21, 'undone'); INSERT INTO plain VALUES (21, 'stays'); INSERT INTO crashsafe VALUES (21, 'stays');
         ROLLBACK;
         BEGIN; INSERT INTO entry VALUES (31, 'undone'); CREATE TEMPORARY TABLE tt (id INT); INSERT INTO tt VALUES (1); ROLLBACK;
         BEGIN; INSERT INTO entry VALUES (41, 'kept'); SAVEPOINT a; INSERT INTO entry VALUES (42, 'undone'); SAVEPOINT b;
         CREATE TEMPORARY TABLE tu (id INT); UPDATE entry SET note = 'undone'; ROLLBACK TO a; COMMIT",
    )?;
    let changes = wait_equal(&source, &TABLES, &databus)?;
    assert_dense(&changes)?;
    ensure!(changes.len() == 8, "{} changes", changes.len());
    databus.kill_9()?;
    databus.start_again()?;
    source.sql("INSERT INTO entry VALUES (50, 'after a restart')")?;
    assert_dense(&wait_equal(&source, &TABLES, &databus)?)?;
    assert_conserved(&databus)
}

#[test]
fn a_random_mix_of_transactions_survives_kills_and_every_row_is_accounted_for_g1_g2_g4() -> Result<()> {
    let source = mixed_engines(stack()?)?;
    let mut databus = source.deployment.databus()?;
    let seed = std::env::var("DATABUS_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| {
        u64::from(std::process::id()) ^ std::time::UNIX_EPOCH.elapsed().map_or(0, |now| now.as_nanos() as u64)
    });
    println!("DATABUS_SEED={seed}");
    let mut dice = Dice(seed | 1);
    for round in 0..12 {
        let mut script = String::new();
        for _ in 0..15 {
            random_transaction(&mut dice, &source.name, &mut script)?;
        }
        source.sql(&script)?;
        if round % 3 == 1 {
            databus.kill_9()?;
            databus.start_again()?;
        }
    }
    let changes = wait_equal(&source, &TABLES, &databus)?;
    assert_dense(&changes)?;
    assert_conserved(&databus)
}

/// Small numbers from a seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

fn random_transaction(dice: &mut Dice, name: &str, script: &mut String) -> Result<()> {
    static XA: AtomicU64 = AtomicU64::new(0);
    // its engine allows no savepoints in a transaction that it takes part in
    writeln!(script, "REPLACE INTO crashsafe VALUES ({}, 'a{}');", dice.below(60), dice.below(1000))?;
    let xa = (dice.below(4) == 0).then(|| format!("'{name}-{}'", XA.fetch_add(1, Ordering::Relaxed)));
    match &xa {
        Some(xid) => write!(script, "XA START {xid};")?,
        None => script.push_str("BEGIN;"),
    }
    let mut savepoints = 0;
    for _ in 0..=dice.below(6) {
        let table = if xa.is_some() { "entry" } else { TABLES[dice.below(2) as usize] };
        let id = dice.below(60);
        match dice.below(7) {
            0..=2 => writeln!(script, "REPLACE INTO {table} VALUES ({id}, 'r{}');", dice.below(1000))?,
            3 => writeln!(script, "UPDATE {table} SET note = 'u{}' WHERE id > {id};", dice.below(1000))?,
            4 => writeln!(script, "DELETE FROM {table} WHERE id = {id};")?,
            5 => {
                savepoints += 1;
                writeln!(script, "SAVEPOINT s{savepoints};")?;
            }
            _ if savepoints > 0 => {
                savepoints = 1 + dice.below(savepoints);
                writeln!(script, "ROLLBACK TO s{savepoints};")?;
            }
            _ => writeln!(script, "CREATE OR REPLACE TEMPORARY TABLE tt (id INT);")?,
        }
    }
    let undo = dice.below(4) == 0;
    match xa {
        Some(xid) if undo => writeln!(script, "XA END {xid}; XA PREPARE {xid}; XA ROLLBACK {xid};")?,
        Some(xid) if dice.below(3) == 0 => writeln!(script, "XA END {xid}; XA COMMIT {xid} ONE PHASE;")?,
        Some(xid) => writeln!(script, "XA END {xid}; XA PREPARE {xid}; XA COMMIT {xid};")?,
        None if undo => writeln!(script, "ROLLBACK;")?,
        None => writeln!(script, "COMMIT;")?,
    }
    Ok(())
}

/// Ends the stack's server, lets `meanwhile` look at its data folder, and starts it again; the source goes on with the same names.
fn restart_server<'a>(
    stack: &'a mut Stack,
    (name, deployment): (String, Deployment),
    kill: bool,
    meanwhile: impl FnOnce() -> Result<()>,
) -> Result<Source<'a>> {
    let server = stack.mariadb_mut()?;
    if kill {
        server.kill_9()?;
    } else {
        server.stop()?;
    }
    meanwhile()?;
    server.start_again()?;
    Ok(Source { stack, name, deployment })
}

fn metric_reaches(databus: &Daemon, name: &str, at_least: f64) -> Result<()> {
    wait_until(&format!("{name} to reach {at_least}"), SOON, || match databus.metric(name) {
        Ok(Some(value)) if value >= at_least => Ok(()),
        other => Err(Not::Yet(format!("{other:?}"))),
    })
}

#[test]
fn a_prepared_xa_transaction_waits_for_its_commit_over_restarts_of_databus_and_of_the_source_g1_g2_g4()
-> Result<()> {
    let mut stack = Stack::start(fresh("databus-xa").only(&[Part::MariaDb, Part::Kafka]))?;
    let (small, large, undone) = (unique("xa"), unique("xa"), unique("xa"));
    let mut source = Source::new(&stack, COLUMNS)?;
    source.deployment.edit(|file| file.set("databus", "commit_max_rows", "500"))?;
    let mut databus = source.deployment.databus()?;
    for (xid, rows) in [
        (&small, "VALUES (1, 'small')"),
        // more than is kept in memory
        (&large, "SELECT seq, REPEAT('x', 350) FROM seq_1000_to_60999"),
        (&undone, "VALUES (2, 'undone')"),
    ] {
        source.sql(&format!(
            "XA START '{xid}'; INSERT INTO entry {rows}; XA END '{xid}'; XA PREPARE '{xid}'"
        ))?;
    }
    source.sql("INSERT INTO entry VALUES (3, 'between')")?;
    assert_dense(&source.wait_for_changes(1)?)?;
    metric_reaches(&databus, "databus_xa_prepared", 3.0)?;
    databus.kill_9()?;
    // the source too dies between prepare and commit
    let kept = (source.name, source.deployment);
    let source = restart_server(&mut stack, kept, true, || Ok(()))?;
    source.sql(&format!(
        "XA COMMIT '{small}'; INSERT INTO entry VALUES (4, 'later'); XA ROLLBACK '{undone}'"
    ))?;
    databus.start_again()?;
    let changes = source.wait_for_changes(3)?;
    let ids: Vec<_> =
        changes.iter().map(|value| super::number(&Change::parse(value)?, "id")).collect::<Result<_>>()?;
    assert_eq!(ids, [3, 1, 4]);
    // killed while the large one is published in pieces
    source.sql(&format!("XA COMMIT '{large}'; INSERT INTO entry VALUES (5, 'last')"))?;
    metric_reaches(&databus, "databus_seq", 1_000.0)?;
    databus.kill_9()?;
    databus.start_again()?;
    let changes = wait_equal(&source, &["entry"], &databus)?;
    assert_dense(&changes)?;
    ensure!(changes.len() == 60_004, "{} changes", changes.len());
    metric_reaches(&databus, "databus_transactions_total", 1.0)?;
    ensure!(databus.metric("databus_xa_prepared")? == Some(0.0), "something is still prepared");
    assert_conserved(&databus)
}

#[test]
fn a_statement_of_50000_rows_is_resumed_where_it_was_killed_scenario_2() -> Result<()> {
    let mut source = Source::new(stack()?, COLUMNS)?;
    source.deployment.edit(|file| file.set("databus", "commit_max_rows", "500"))?;
    source.sql("INSERT INTO entry SELECT seq, REPEAT('x', 200) FROM seq_1_to_50000")?;
    let mut databus = source.deployment.databus()?;
    metric_reaches(&databus, "databus_seq", 50_000.0)?;
    source.sql("UPDATE entry SET note = CONCAT(note, id)")?;
    metric_reaches(&databus, "databus_seq", 51_000.0)?;
    databus.kill_9()?;
    let before = source.changes()?.len();
    databus.start_again()?;
    let changes = source.wait_for_changes(100_000)?;
    assert_dense(&changes)?;
    ensure!(folded(&changes)? == selected(&source, &["entry"])?, "the stream does not end in the table");
    ensure!(before < 100_000, "the kill came too late to cut the statement");
    Ok(())
}

/// Cuts the last three events off the newest binlog file, as a power cut that lost them would: the server's own last one, the XID, and
/// the last rows. (A file that ends within an event is one that the server itself refuses to send.)
fn cut_newest_binlog(folder: &str) -> Result<()> {
    let mut files: Vec<_> = std::fs::read_dir(folder)?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|number| number.to_string_lossy().parse::<u32>().is_ok()))
        .collect();
    files.sort();
    let newest = files.last().context("no binlog file")?;
    let bytes = std::fs::read(newest)?;
    // behind the magic number: each event's length stands at its byte 9
    let (mut at, mut starts) = (4, Vec::new());
    while let Some(length) = bytes.get(at + 9..at + 13) {
        starts.push(at);
        at += u32::from_le_bytes(length.try_into()?) as usize;
    }
    let cut = starts.iter().rev().nth(2).context("too few events")?;
    Ok(OpenOptions::new().write(true).open(newest)?.set_len(*cut as u64)?)
}

#[test]
fn nothing_of_a_transaction_that_the_sources_death_cut_off_is_ever_published_small_or_large() -> Result<()> {
    let mut stack = Stack::start(fresh("databus-cut").only(&[Part::MariaDb, Part::Kafka]))?;
    let mut source = Source::new(&stack, COLUMNS)?;
    source.deployment.edit(|file| file.set("databus", "commit_max_rows", "500"))?;
    let folder = source.sql("SELECT @@datadir")?.trim().to_owned();
    for (id, rows) in
        [(1, "SELECT 100, REPEAT('x', 300)"), (2, "SELECT seq, REPEAT('x', 300) FROM seq_1000_to_40999")]
    {
        source.sql(&format!("INSERT INTO entry VALUES ({id}, 'before'); INSERT INTO entry {rows}"))?;
        let kept = (source.name, source.deployment);
        source = restart_server(&mut stack, kept, false, || cut_newest_binlog(&folder))?;
    }
    source.sql("INSERT INTO entry VALUES (3, 'after')")?;
    let databus = source.deployment.databus()?;
    let changes = source.wait_for_changes(3)?;
    assert_dense(&changes)?;
    assert_eq!(histories(&changes)?.into_keys().collect::<Vec<_>>(), [1, 2, 3]);
    ensure!(databus.metric("databus_transactions_total")?.is_some(), "no metrics");
    let log = databus.log()?;
    ensure!(log.matches("the source died while it wrote this transaction").count() >= 2, "{log}");
    assert_conserved(&databus)
}

/// Most memory that databus may take, whatever the transaction: its own bounds, the Kafka client's queue of 64 MiB, and the code.
const MOST_MEMORY_KB: u64 = 320 * 1024;

/// Rows of the huge transaction: a number that CI can bear; `DATABUS_HUGE_ROWS` raises it.
const HUGE_ROWS: u64 = 400_000;

fn peak_memory_kb(daemon: &Daemon) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.process().identity().pid))?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).context("no VmHWM")?;
    Ok(line.split_whitespace().nth(1).context("no number")?.parse()?)
}

#[test]
fn a_huge_transaction_is_published_in_bounded_memory_scenario_15() -> Result<()> {
    let rows =
        std::env::var("DATABUS_HUGE_ROWS").ok().and_then(|rows| rows.parse().ok()).unwrap_or(HUGE_ROWS);
    let source = Source::new(stack()?, "id INT PRIMARY KEY, note VARCHAR(40) NOT NULL")?;
    source.sql(&format!(
        "INSERT INTO entry SELECT seq, 'a row of the huge transaction' FROM seq_1_to_{rows}"
    ))?;
    let databus = source.deployment.databus()?;
    let patience = SOON.max(std::time::Duration::from_millis(rows));
    wait_until("the last row", patience, || match databus.metric("databus_seq") {
        Ok(Some(seq)) if seq >= rows as f64 => Ok(()),
        other => Err(Not::Yet(format!("{other:?}"))),
    })
    .with_context(|| super::last_lines(&databus))?;
    let peak = peak_memory_kb(&databus)?;
    println!("{rows} rows in one transaction: peak memory {peak} kB");
    ensure!(peak < MOST_MEMORY_KB, "{peak} kB for {rows} rows");
    assert_conserved(&databus)
}

#[test]
fn a_row_of_20_megabytes_is_joined_from_its_packets_and_published_scenario_15() -> Result<()> {
    let spec =
        fresh("databus-20mb").only(&[Part::MariaDb, Part::Kafka]).mariadb_arg("--max-allowed-packet=128M");
    let stack = Stack::start(spec)?;
    let source = Source::new(&stack, "id INT PRIMARY KEY, note LONGTEXT NOT NULL")?;
    let databus = source.deployment.databus()?;
    source.sql("INSERT INTO entry VALUES (1, REPEAT('x', 20000000)); INSERT INTO entry VALUES (2, 'small'); UPDATE entry SET id = id + 10")?;
    let changes = source.wait_for_changes(6)?;
    assert_dense(&changes)?;
    ensure!(changes[0].len() > 20_000_000, "only {} bytes", changes[0].len());
    let lengths: Vec<_> = folded(&changes)?.into_iter().map(|((_, id), note)| (id, note.len())).collect();
    assert_eq!(lengths, [(11, 20_000_000), (12, 5)]);
    let peak = peak_memory_kb(&databus)?;
    println!("rows of 20 MB: peak memory {peak} kB");
    Ok(())
}
