//! Every column type: random tables with random rows, and each streamed value equals what SELECT returns in a canonical form.
//!
//! A failing run prints its seed; `DATABUS_TYPES_SEED=<seed>` runs it again.

pub mod canon;
pub mod column;
pub mod literal;
pub mod table;

use crate::{
    harness::{Flavour, Stack},
    rng::Rng,
    source::{Source, assert_dense, last_lines},
};
use anyhow::{Context, Result, ensure};
use change_event::{
    Row, Value,
    envelope::{Change, Op},
};
use std::time::{SystemTime, UNIX_EPOCH};
use table::Table;

const TABLES: u32 = 16;
/// Rows of each table.
pub const ROWS: u32 = 24;

fn seed() -> Result<u64> {
    match std::env::var("DATABUS_TYPES_SEED") {
        Ok(seed) => seed.parse().context("DATABUS_TYPES_SEED is no number"),
        Err(_) => Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos() as u64),
    }
}

/// Values that the server stores as it pleases: zero dates, the empty ENUM, `?` for what a charset has not.
pub const LENIENT: &str = "SET NAMES utf8mb4; SET sql_mode = ''; SET time_zone = '+00:00';";

/// Streams random tables from the stack's server, and compares.
pub fn every_value_streams_as_select_returns_it(stack: &Stack, flavour: Flavour) -> Result<()> {
    let seed = seed()?;
    println!("DATABUS_TYPES_SEED={seed} on {flavour}");
    let mut rng = Rng::new(seed);
    let mut source = Source::new(stack, "id INT PRIMARY KEY")?;
    let tables: Vec<_> = (0..TABLES).map(|at| Table::random(&format!("t{at}"), flavour, &mut rng)).collect();
    for table in &tables {
        source
            .sql(&format!("{LENIENT} {}", table.ddl))
            .with_context(|| format!("seed {seed}: {}", table.ddl))?;
    }
    let names = tables.iter().map(|table| table.name.as_str()).chain(["entry"]);
    let names: Vec<_> = names.map(|table| format!("\"{}.{table}\"", source.name)).collect();
    let section = format!("source.{}", source.name);
    source.deployment.edit(|file| file.set(&section, "tables", &format!("[{}]", names.join(", "))))?;
    let databus = source.deployment.databus()?;
    for table in &tables {
        let inserts: Vec<_> = (1..=ROWS).map(|id| table.insert(id, &mut rng)).collect();
        // the client takes its statements as an argument, which has a longest length
        for some in inserts.chunks(4) {
            source
                .sql(&format!("{LENIENT} {}", some.join(";\n")))
                .with_context(|| format!("seed {seed}: rows of {}", table.ddl))?;
        }
    }
    let mut selected = Vec::new();
    for table in &tables {
        selected.push(source.sql(&format!("{LENIENT} {}", table.select()))?);
        source.sql(&format!("UPDATE {0} SET pad = pad + 1; DELETE FROM {0}", table.name))?;
    }
    let changes = source
        .wait_for_changes((TABLES * ROWS * 3) as usize)
        .with_context(|| format!("seed {seed}: {}", last_lines(&databus)))?;
    assert_dense(&changes)?;
    for (table, selected) in tables.iter().zip(&selected) {
        compare(table, selected, &changes).with_context(|| format!("seed {seed}: {}", table.ddl))?;
    }
    Ok(())
}

/// Each image of each row of `table`: after it was created, before and after its update, before it was deleted.
pub fn compare(table: &Table, selected: &str, changes: &[Vec<u8>]) -> Result<()> {
    let mut images = 0;
    for value in changes {
        let change = Change::parse(value)?;
        if change.source.table != table.name {
            continue;
        }
        let wanted: &[&Option<Row<'_>>] = match change.op {
            Op::Create => &[&change.after],
            Op::Update => &[&change.before, &change.after],
            Op::Delete => &[&change.before],
            other => anyhow::bail!("a change of kind {other:?}"),
        };
        for row in wanted {
            let row = row.as_ref().with_context(|| format!("{:?} without an image", change.op))?;
            let Some(Value::I64(id)) = row.get("id") else { anyhow::bail!("a row without its id") };
            let expected = selected
                .lines()
                .map(|line| line.split('\t').collect::<Vec<_>>())
                .find(|cells| cells.first() == Some(&id.to_string().as_str()))
                .with_context(|| format!("no row {id} in {selected}"))?;
            table.compare(&expected, row, change.op).with_context(|| format!("row {id}, {:?}", change.op))?;
            images += 1;
        }
    }
    ensure!(images == ROWS * 4, "{images} images of {} rows", ROWS);
    Ok(())
}
