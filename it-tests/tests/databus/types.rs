//! Every column type, on both MariaDBs; MySQL's are in its own binary.

use super::{Source, assert_dense, last_lines};
use crate::shared::{stack, unique};
use anyhow::{Context, Result, ensure};
use change_event::{
    Value,
    envelope::{Change, Op},
};
use it_tests::{
    harness::{Flavour, Stack},
    shared::stack_on,
    types::{LENIENT, column, every_value_streams_as_select_returns_it},
};

#[test]
fn every_value_of_random_tables_streams_as_select_returns_it_on_mariadb_10_11_scenario_12() -> Result<()> {
    every_value_streams_as_select_returns_it(stack()?, Flavour::MariaDb1011)
}

#[test]
fn every_value_of_random_tables_streams_as_select_returns_it_on_mariadb_11_8_scenario_12() -> Result<()> {
    every_value_streams_as_select_returns_it(stack_on(Flavour::MariaDb118)?, Flavour::MariaDb118)
}

/// MariaDB from 11.8.9 on leaves them out of updates and deletes, whatever `binlog_row_image` says.
#[test]
fn a_generated_column_is_what_select_returns_or_absent_also_one_that_came_while_streaming() -> Result<()> {
    for flavour in [Flavour::MariaDb1011, Flavour::MariaDb118] {
        let source = Source::new(
            stack_on(flavour)?,
            "id INT PRIMARY KEY, twice BIGINT AS (id * 2) STORED, note VARCHAR(9), thrice BIGINT AS (id * 3) VIRTUAL",
        )?;
        let mut databus = source.deployment.databus()?;
        source.sql("INSERT INTO entry (id, note) VALUES (1, 'a'), (2, NULL); UPDATE entry SET note = 'b'")?;
        source.wait_for_changes(4).with_context(|| last_lines(&databus))?;
        source.sql(
            "ALTER TABLE entry ADD COLUMN late BIGINT AS (id * 4) STORED FIRST;
             UPDATE entry SET note = 'c' WHERE id = 2; DELETE FROM entry",
        )?;
        let changes = source.wait_for_changes(7).with_context(|| last_lines(&databus))?;
        assert_dense(&changes)?;
        let mut notes = Vec::new();
        for value in &changes {
            let change = Change::parse(value)?;
            for row in [&change.before, &change.after].into_iter().flatten() {
                let Some(Value::I64(id)) = row.get("id") else { anyhow::bail!("no id") };
                for (name, times) in [("twice", 2), ("thrice", 3), ("late", 4)] {
                    let there = row.get(name);
                    let expected = Value::I64(id * times);
                    ensure!(there.is_none_or(|there| *there == expected), "{flavour}: {name} is {there:?}");
                    ensure!(there.is_some() || name == "late" || change.op != Op::Create, "no {name}");
                }
                let note = row.get("note").with_context(|| format!("{flavour}: no note"))?;
                notes.push(if let Value::Str(note) = note { note.to_string() } else { "NULL".to_owned() });
            }
        }
        assert_eq!(notes, ["a", "NULL", "a", "b", "NULL", "b", "b", "c", "b", "c"], "{flavour}");
        // what else is missing was lost at the source
        source.sql("INSERT INTO entry (id, note) VALUES (3, 'd'); SET binlog_row_image = MINIMAL; UPDATE entry SET note = 'e'")?;
        assert_eq!(databus.wait_exit()?, Some(1), "{flavour}");
        let log = databus.log()?;
        ensure!(log.contains("the row image is not FULL"), "{flavour}: {log}");
        ensure!(source.changes()?.len() == 8, "{flavour}: {} changes", source.changes()?.len());
    }
    Ok(())
}

#[test]
fn every_character_of_every_charset_streams_as_select_returns_it_scenario_12() -> Result<()> {
    let source = Source::new(
        stack()?,
        &format!(
            "id INT PRIMARY KEY, {}",
            column::CHARSETS.map(|name| format!("`{name}` TEXT CHARACTER SET {name}")).join(", ")
        ),
    )?;
    // rows of 256 characters: all of the basic plane but surrogates, and some of a higher one
    let blocks = (0..0xd8).chain(0xe0..0x100).chain(0x1f6..0x1f8);
    let rows: Vec<_> = blocks
        .map(|block| {
            let text: String = (0..256).filter_map(|low| char::from_u32(block * 256 + low)).collect();
            let row = format!("({block}{})", ", @text".repeat(column::CHARSETS.len()));
            format!(
                "SET @text = CONVERT(x'{}' USING utf8mb4); INSERT INTO entry VALUES {row}",
                hex::encode(text)
            )
        })
        .collect();
    let databus = source.deployment.databus()?;
    // the client takes its statements as an argument, which has a longest length
    for some in rows.chunks(40) {
        source.sql(&format!("{LENIENT} {}", some.join(";\n")))?;
    }
    let changes = source.wait_for_changes(rows.len()).with_context(|| last_lines(&databus))?;
    let list = column::CHARSETS.map(|name| format!("HEX(CONVERT(`{name}` USING utf8mb4))")).join(", ");
    let selected = source.sql(&format!("{LENIENT} SELECT id, {list} FROM entry ORDER BY id"))?;
    for (line, value) in selected.lines().zip(&changes) {
        let change = Change::parse(value)?;
        let row = change.after.context("no after image")?;
        for ((name, streamed), expected) in row.columns().zip(line.split('\t')).skip(1) {
            let Value::Str(text) = streamed else { anyhow::bail!("{name} is {streamed:?}") };
            let expected = String::from_utf8(hex::decode(expected)?)?;
            for (a, b) in text.chars().zip(expected.chars()) {
                // what the server itself cannot convert comes out as ? there
                ensure!(
                    a == b || b == '?' || b == '\u{fffd}',
                    "{name}: U+{:04X}, and SELECT has U+{:04X}",
                    a as u32,
                    b as u32
                );
            }
            ensure!(text.chars().count() == expected.chars().count(), "{name}: {text:?} and {expected:?}");
        }
    }
    Ok(())
}

/// A zone whose clock goes from 03:00 back to 02:00 on 25 October 2026, as Berlin's; the server has none by default.
fn zone_with_summer_time(stack: &Stack) -> Result<String> {
    let name = format!("Test/{}", unique("zone"));
    stack.mariadb()?.sql(&format!(
        "INSERT INTO mysql.time_zone (Use_leap_seconds) VALUES ('N'); SET @zone = LAST_INSERT_ID();
         INSERT INTO mysql.time_zone_name (Name, Time_zone_id) VALUES ('{name}', @zone);
         INSERT INTO mysql.time_zone_transition_type (Time_zone_id, Transition_type_id, `Offset`, Is_DST, Abbreviation)
           VALUES (@zone, 0, 3600, 0, 'CET'), (@zone, 1, 7200, 1, 'CEST');
         INSERT INTO mysql.time_zone_transition (Time_zone_id, Transition_time, Transition_type_id)
           VALUES (@zone, 1774746000, 1), (@zone, 1792890000, 0)"
    ))?;
    Ok(name)
}

#[test]
fn a_timestamp_is_utc_and_a_datetime_its_own_clock_whatever_the_zones_are_scenario_13() -> Result<()> {
    let source = Source::new(stack()?, "id INT PRIMARY KEY, at TIMESTAMP(6) NULL, clock DATETIME(6)")?;
    let zone = zone_with_summer_time(source.stack)?;
    let _databus = source.deployment.databus()?;
    source.sql(&format!(
        "SET time_zone = '+08:00'; INSERT INTO entry VALUES (1, '2026-11-22 18:20:00.000001', '2026-11-22 18:20:00.000001');
         SET time_zone = '-05:00'; INSERT INTO entry VALUES (2, '2026-11-22 18:20:00.000001', '2026-11-22 18:20:00.000001');
         SET time_zone = '+00:00'; INSERT INTO entry VALUES (3, FROM_UNIXTIME(1792888200), '2026-10-25 02:30:00'),
           (4, FROM_UNIXTIME(1792891800), '2026-10-25 02:30:00');
         SET time_zone = '{zone}'; INSERT INTO entry VALUES (5, '2026-10-25 01:30:00', '2026-10-25 01:30:00')"
    ))?;
    // 02:30 of that night comes twice: no clock of that zone tells the two apart, the stream does
    let local = source.sql(&format!(
        "SET time_zone = '{zone}'; SELECT DISTINCT CAST(at AS CHAR) FROM entry WHERE id IN (3, 4)"
    ))?;
    assert_eq!(local, "2026-10-25 02:30:00.000000\n");
    let morning = 1_795_371_600_000_001; // 2026-11-22T18:20:00.000001 in any clock
    let night = 1_792_895_400_000_000; // 2026-10-25T02:30
    let expected = [
        ("2026-11-22T10:20:00.000001Z", morning),
        ("2026-11-22T23:20:00.000001Z", morning),
        ("2026-10-25T00:30:00.000000Z", night),
        ("2026-10-25T01:30:00.000000Z", night),
        ("2026-10-24T23:30:00.000000Z", night - 3_600_000_000),
    ];
    let changes = source.wait_for_changes(expected.len())?;
    for (value, (at, clock)) in changes.iter().zip(expected) {
        let change = Change::parse(value)?;
        let row = change.after.context("no after image")?;
        assert_eq!(
            (row.get("at"), row.get("clock")),
            (Some(&Value::Str(at.into())), Some(&Value::I64(clock)))
        );
    }
    Ok(())
}
