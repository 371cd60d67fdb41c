//! Debezium and databus on the same tables of one MariaDB: the same keys, ops, before and after of every row change, in the same order.
//!
//! What Debezium writes otherwise is in `exceptions` and in `docs/debezium.md`. A failing run prints its seed;
//! `DATABUS_PARITY_SEED=<seed>` runs it again.

mod change;
mod compare;
mod ddl;
mod exceptions;
mod kinds;
mod sides;
mod workload;

use super::Source;
use crate::shared::{fresh, stack};
use anyhow::{Context, Result};
use compare::{Types, changes, compare};
use exceptions::Exceptions;
use it_tests::harness::{Flavour, Part, Stack};
use it_tests::rng::Rng;
use it_tests::types::{self, ROWS, table::Table};
use sides::Sides;
use std::time::{SystemTime, UNIX_EPOCH};

/// Random tables beside those of `kinds`.
const RANDOM: u32 = 8;
/// Statements or transactions of the seeded workload.
const UNITS: usize = 300;
/// The rows of `kinds` are the same in every run.
const SAME: u64 = 1;

const COMPRESSED: &str = "CREATE TABLE squeezed (id INT PRIMARY KEY, note TEXT COMPRESSED); INSERT INTO squeezed VALUES (1, 'x'); INSERT INTO entry VALUES (5000, 'on')";

const LENIENT: &str = "SET NAMES utf8mb4; SET sql_mode = ''; SET time_zone = '+00:00';";

fn seed() -> Result<u64> {
    match std::env::var("DATABUS_PARITY_SEED") {
        Ok(seed) => seed.parse().context("DATABUS_PARITY_SEED is no number"),
        Err(_) => Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos() as u64),
    }
}

#[test]
fn every_row_change_has_the_key_op_before_and_after_that_debezium_gives_it_in_the_same_order() -> Result<()> {
    let seed = seed()?;
    println!("DATABUS_PARITY_SEED={seed}");
    side_by_side(seed).with_context(|| format!("DATABUS_PARITY_SEED={seed}"))
}

fn side_by_side(seed: u64) -> Result<()> {
    let own = Stack::start(fresh("parity").only(&[Part::MariaDb]).borrow(stack()?, &[Part::Kafka]))?;
    let mut source = Source::new(&own, "id INT PRIMARY KEY, note VARCHAR(40)")?;
    let (mut rng, mut same) = (Rng::new(seed), Rng::new(SAME));
    let mut tables = kinds::tables();
    tables.push(kinds::addresses());
    let fixed = tables.len();
    tables.extend((0..RANDOM).map(|at| readable(&format!("t{at}"), &mut rng)));

    let mut names: Vec<_> = tables.iter().map(|table| table.name.clone()).collect();
    let creates = tables.iter().map(|table| table.ddl.as_str());
    for create in creates.chain(workload::TABLES.map(|(_, create)| create)).chain([ddl::CREATE]) {
        source.sql(&format!("{LENIENT} {create}")).with_context(|| create.to_owned())?;
    }
    names.extend(workload::TABLES.map(|(name, _)| name.to_owned()));
    names.push(ddl::ALTERED.to_owned());

    let mut units = workload::units(UNITS, &mut rng);
    units.extend(ddl::units());
    for (at, table) in tables.iter().enumerate() {
        let rng = if at < fixed { &mut same } else { &mut rng };
        units.extend((1..=ROWS).map(|id| table.insert(id, rng)));
    }
    let database = source.name.clone();
    let mut sides = Sides::start(&mut source, &names)?;
    run(&own, &database, &units)?;
    let select = |table: &Table| own.mariadb()?.sql(&format!("USE {database}; {LENIENT} {}", table.select()));
    let selected = tables.iter().map(select).collect::<Result<Vec<_>>>()?;
    let ends: Vec<_> = tables
        .iter()
        .map(|table| format!("UPDATE {0} SET pad = pad + 1; DELETE FROM {0}", table.name))
        .collect();
    run(&own, &database, &ends)?;
    let (theirs, ours) = sides.published()?;
    let values: Vec<_> = ours.iter().filter_map(|record| record.value.clone()).collect();
    // the exceptions may be wide: whatever Debezium says, databus says what SELECT does
    for (table, selected) in tables.iter().zip(&selected) {
        types::compare(table, selected, &values).with_context(|| table.ddl.clone())?;
    }
    let mut exceptions = Exceptions::default();
    compare(&changes(&theirs)?, &changes(&ours)?, &kinds_of(&tables), &mut exceptions)?;
    // what ends Debezium comes last, in a table that it is not to read
    own.mariadb()?.sql(&format!("USE {database}; {COMPRESSED}"))?;
    sides.debezium_stops("ColumnType.byCode(int)\" is null")?;
    sides.databus_published("{\"id\":5000,")?;
    exceptions.all_met_and_documented()
}

/// Runs units in as few clients as their arguments' longest length lets.
fn run(stack: &Stack, database: &str, units: &[String]) -> Result<()> {
    let mut rest = units;
    while !rest.is_empty() {
        let mut length = 0;
        let fits = rest.iter().take_while(|unit| {
            length += unit.len() + 2;
            length < 100_000
        });
        let (some, more) = rest.split_at(fits.count().max(1));
        let statements = format!("USE {database}; {LENIENT} {}", some.join(";\n"));
        stack.mariadb()?.sql(&statements)?;
        rest = more;
    }
    Ok(())
}

/// A random table of types that Debezium can read.
fn readable(name: &str, rng: &mut Rng) -> Table {
    loop {
        let table = Table::random(name, Flavour::MariaDb1011, rng);
        if table
            .columns
            .iter()
            .all(|column| !column.ddl.starts_with("INET") && !column.ddl.contains("COMPRESSED"))
        {
            return table;
        }
    }
}

fn kinds_of(tables: &[Table]) -> Types {
    let columns = tables.iter().flat_map(|table| table.columns.iter().map(move |column| (table, column)));
    columns.map(|(table, column)| ((table.name.clone(), column.name.clone()), column.ddl.clone())).collect()
}
