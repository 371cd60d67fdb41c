//! Snapshots beside a running stream: stage 1 replayed in order is exactly the source's table, whatever happens meanwhile.

use super::{SOON, Source};
use crate::shared::{fresh, stack};
use anyhow::{Context, Result, ensure};
use change_event::envelope::{Change, Op};
use it_tests::{
    harness::{Daemon, Not, Part, Service, Stack, wait_until},
    snapshots::{Load, filled, kills_and_ddl_amid_a_snapshot, metric, wait_for_snapshots},
    topic::Record,
};
use std::{
    collections::BTreeMap,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

const ROWS: u64 = 12_000;

#[test]
fn a_snapshot_amid_writes_at_full_speed_replays_to_the_table_exactly_g1_g2() -> Result<()> {
    let source = filled(stack()?, ROWS)?.with_snapshot("initial", 60)?;
    let load = Load::default();
    let databus = std::thread::scope(|scope| -> Result<Daemon> {
        let writers = load.start(scope, &source, 3, ROWS);
        let run = (|| {
            let databus = source.deployment.databus()?;
            wait_for_snapshots(&databus)?;
            Ok(databus)
        })();
        load.join(writers)?;
        run
    })?;
    let replayed = source.wait_for_equality(&["id", "note", "n"])?;
    let chunks = metric(&databus, "databus_snapshot_chunks_total");
    println!(
        "{} rows read in {chunks} chunks amid {} statements; {} changes",
        replayed.read,
        load.statements.load(Ordering::Relaxed),
        replayed.changes
    );
    ensure!(chunks >= 200.0, "{chunks} chunks are too few to prove anything");
    let kinds: Vec<_> =
        replayed.marks.iter().map(|(kind, outcome)| (kind.as_str(), outcome.as_str())).collect();
    assert_eq!(kinds, [("snapshot-begin", ""), ("snapshot-end", "done")]);
    Ok(())
}

#[test]
fn kill_nine_and_ddl_amid_a_snapshot_change_nothing_and_no_chunk_is_lost_g1_g2_g4() -> Result<()> {
    kills_and_ddl_amid_a_snapshot(stack()?, ROWS)
}

#[test]
fn an_operator_asks_for_some_rows_and_sees_how_far_it_is() -> Result<()> {
    let source = filled(stack()?, 3_000)?.with_snapshot("never", 100)?;
    // what the binlog of another time brought is not there any more
    let databus = source.deployment.databus()?;
    source.wait_for_changes(3_000)?;
    let table = format!("{}.entry", source.name);
    let ask = |filter: &str| {
        source.deployment.run("databus", &["snapshot", "--table", &table, "--where", filter, "--wait"])
    };
    let done = ask("n = 0 AND id % 10 = 3 AND note LIKE 'row %'")?;
    let told = String::from_utf8_lossy(&done.stderr).into_owned();
    ensure!(done.status.success(), "{told}");
    ensure!(told.contains("done: 300 rows"), "{told}");
    let read =
        source.records()?.iter().filter_map(|record| record.value.clone()).skip(3_000).collect::<Vec<_>>();
    assert_eq!(read.len(), 300);
    for value in &read {
        let change = Change::parse(value)?;
        ensure!(change.op == Op::Read && super::number(&change, "id")? % 10 == 3, "{change:?}");
    }
    for (filter, problem) in [
        ("id = 1) OR (1 = 1", "parenthesis"),
        ("nothing = 1", "nothing"),
        ("id = 1; SELECT 1", "semicolon"),
        ("id = ", "filter"),
    ] {
        let refused = ask(filter)?;
        let told = String::from_utf8_lossy(&refused.stderr).into_owned();
        ensure!(refused.status.code() == Some(2) && told.contains(problem), "{filter}: {told}");
    }
    let unknown = source.deployment.run("databus", &["snapshot", "--table", "no.such"])?;
    assert_eq!(unknown.status.code(), Some(2));
    drop(databus);
    // asked for while nobody runs: taken up at the next start
    source.deployment.run_ok("databus", &["snapshot", "--table", &table, "--where", "id <= 5"])?;
    let _databus = source.deployment.databus()?;
    source.wait_for_changes(3_305)?;
    Ok(())
}

#[test]
fn keys_of_several_columns_and_of_text_are_read_once_each_in_the_servers_order() -> Result<()> {
    let source = Source::new(
        stack()?,
        "name VARCHAR(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci, raw VARBINARY(8), kind ENUM('z','a','m'), at DATETIME(3),
         amount DECIMAL(20,4), plain CHAR(9) CHARACTER SET utf8mb3 COLLATE utf8mb3_unicode_ci, big BIGINT UNSIGNED, id INT,
         PRIMARY KEY (name, raw, kind, at, amount, plain, big)",
    )?
    .with_snapshot("initial", 40)?;
    source.sql(
        "INSERT IGNORE INTO entry SELECT
           CONCAT(ELT(1 + seq % 7, 'a', 'B', 'ä', 'É', 'z', '收', '😀'), seq % 3), UNHEX(LPAD(HEX(seq % 256), 2, '0')), 1 + seq % 3,
           TIMESTAMPADD(MICROSECOND, seq % 5 * 1000, '2026-11-22 10:00:00'), (seq % 11) / 7 - 1, ELT(1 + seq % 3, 'Ö', 'o', 'é'),
           18446744073709551615 - seq % 13, seq
         FROM seq_1_to_4000",
    )?;
    let count: usize = source.sql("SELECT COUNT(*) FROM entry")?.trim().parse()?;
    let databus = source.deployment.databus()?;
    wait_for_snapshots(&databus)?;
    let changes = source.wait_for_changes(count)?;
    let order: Vec<i64> =
        changes.iter().map(|value| super::number(&Change::parse(value)?, "id")).collect::<Result<_>>()?;
    let wanted = source.sql("SELECT id FROM entry ORDER BY name, raw, kind, at, amount, plain, big")?;
    let wanted: Vec<i64> = wanted.lines().map(str::parse).collect::<Result<_, _>>()?;
    ensure!(order == wanted, "the snapshot's order is not the server's");
    ensure!(metric(&databus, "databus_snapshot_chunks_total") > 50.0, "too few chunks");
    Ok(())
}

#[test]
fn a_hundred_thousand_rows_are_read_in_seconds_and_no_writer_waits_for_it() -> Result<()> {
    let source = filled(stack()?, 100_000)?.with_snapshot("initial", 5_000)?;
    let started = Instant::now();
    let databus = source.deployment.databus()?;
    let mut longest = Duration::ZERO;
    while metric(&databus, "databus_snapshot_chunks_total") == 0.0
        || metric(&databus, "databus_snapshots_pending") > 0.0
    {
        let asked = Instant::now();
        // an exclusive lock is what a reader with a lock of its own, or a long transaction, would hold up
        source.sql("LOCK TABLES entry WRITE; UPDATE entry SET n = n + 1 WHERE id = 77777; UNLOCK TABLES")?;
        longest = longest.max(asked.elapsed());
        ensure!(started.elapsed() < SOON, "the snapshot does not end");
    }
    let took = started.elapsed();
    let replayed = source.wait_for_equality(&["id", "note", "n"])?;
    println!("{} rows in {took:?}; longest wait for an exclusive lock {longest:?}", replayed.read);
    ensure!(longest < Duration::from_secs(5), "a writer waited {longest:?}");
    Ok(())
}

#[test]
fn a_purged_binlog_is_bridged_by_a_snapshot_between_marks_and_seq_goes_on() -> Result<()> {
    let stack = Stack::start(fresh("databus-gap").only(&[Part::MariaDb, Part::Kafka]))?;
    let source = filled(&stack, 500)?.with_snapshot("when_needed", 100)?;
    let mut databus = source.deployment.databus()?;
    source.wait_for_changes(500)?;
    wait_for_snapshots(&databus)?;
    databus.stop()?;
    source.sql(
        "DELETE FROM entry WHERE id <= 100; UPDATE entry SET n = 5; FLUSH BINARY LOGS; FLUSH BINARY LOGS",
    )?;
    let last = source.sql("SHOW MASTER STATUS")?;
    let last = last.split('\t').next().context("no binlog")?;
    wait_until("the binlog to be purged", SOON, || {
        // a file that somebody still reads stays, and the server notices a reader that left within a second or so
        source.sql(&format!("PURGE BINARY LOGS TO '{last}'")).map_err(Not::yet)?;
        let files = source.sql("SHOW BINARY LOGS").map_err(Not::yet)?;
        if files.starts_with(last) { Ok(()) } else { Err(Not::Yet(files)) }
    })?;
    databus.start_again()?;
    wait_for_snapshots(&databus)?;
    let records = wait_until("the rows that are left", SOON, || match source.records() {
        Ok(records) if records.iter().filter(|record| record.value.is_some()).count() == 900 => Ok(records),
        Ok(records) => Err(Not::Yet(format!("{} records", records.len()))),
        Err(error) => Err(Not::yet(error)),
    })?;
    let changes: Vec<_> = records.iter().filter_map(|record| record.value.clone()).collect();
    super::assert_dense(&changes)?;
    let marks: Vec<_> = records
        .iter()
        .filter(|record| record.value.is_none())
        .map(|record| (record.header("databus.mark"), record.header("databus.cause")))
        .collect();
    let (begin, end) = (Some("snapshot-begin"), Some("snapshot-end"));
    let (initial, gap) = (Some("initial"), Some("gap"));
    assert_eq!(marks, [(begin, initial), (end, initial), (begin, gap), (end, gap)]);
    source.sql("INSERT INTO entry VALUES (9000, 'after the gap', 1)")?;
    wait_until("the stream to go on", SOON, || match source.changes() {
        Ok(changes) if changes.len() == 901 => Ok(()),
        other => Err(Not::Yet(format!("{:?} changes", other.map(|changes| changes.len())))),
    })
}

#[test]
fn a_row_reads_the_same_from_a_snapshot_and_from_the_stream_whatever_its_types() -> Result<()> {
    let source = Source::new(
        stack()?,
        "id BIGINT UNSIGNED PRIMARY KEY, tiny TINYINT, small SMALLINT UNSIGNED ZEROFILL, medium MEDIUMINT, year_of YEAR, big BIGINT,
         price DECIMAL(65,30), cheap DECIMAL(4,2) ZEROFILL, kind ENUM('collect','pay','收') , code CHAR(3) CHARACTER SET ascii, long_code CHAR(250),
         note TEXT, plain VARCHAR(300) CHARACTER SET utf8mb3, raw BINARY(4), blob_of VARBINARY(300), day_of DATE, at_six DATETIME(6),
         at_zero DATETIME, stamp TIMESTAMP(3) NULL, day_must DATE NOT NULL, at_must DATETIME(4) NOT NULL, stamp_must TIMESTAMP(6) NOT NULL,
         single FLOAT, twice DOUBLE, one BIT(1), bits BIT(37), flags SET('a','b','收'), since TIME(6), doc JSON, spot POINT, shape GEOMETRY,
         who UUID, host INET6, west VARCHAR(20) CHARACTER SET latin1, han VARCHAR(20) CHARACTER SET gbk, twin INT AS (tiny + 1) VIRTUAL,
         kept INT AS (tiny * 2) STORED, hidden INT INVISIBLE DEFAULT 4",
    )?
    .with_snapshot("never", 100)?;
    let zeros = "'0000-00-00', '0000-00-00 00:00:00', '0000-00-00 00:00:00'";
    source.sql(&format!(
        "SET time_zone = '+08:00', sql_mode = '';
         INSERT INTO entry (id, tiny, small, medium, year_of, big, price, cheap, kind, code, long_code, note, plain, raw, blob_of, day_of, at_six,
          at_zero, stamp, day_must, at_must, stamp_must, single, twice, one, bits, flags, since, doc, spot, shape, who, host, west, han) VALUES
         (18446744073709551615, -128, 65535, -1, 2026, -9223372036854775808, -12345678901234567890123456789012345.000000000000000000000000000001,
          0.29, 'pay', 'CNY', REPEAT('长', 250), 'a\\nb\\\\c\\t\\0\"/', 'é', x'ff00', x'00ff', '1969-12-31', '1969-12-31 23:59:59.999999',
          '2026-11-22 18:20:00', '2026-11-22 18:20:00.123', '9999-12-31', '1000-01-01 00:00:00.1', '2038-01-19 11:14:07.999999',
          1.1, -1.7976931348623157e308, b'1', b'1010101', 'a,收', '-838:59:58.999999', '{{\"k\": [1, null, \"é\"]}}', POINT(1.5, -2), LINESTRING(POINT(0, 0), POINT(1, 1)),
          '123e4567-e89b-12d3-a456-426655440000', '2001:db8::ff00:42:8329', 'é€', '收款'),
         (2, 0, 7, 8388607, 0, 9223372036854775807, 0.5, 0, '收', '', ' x ', '', '😀', '', '', '0000-00-00', '0000-00-00 00:00:00',
          '2000-00-01 10:00:00', '1970-01-01 08:00:01', {zeros}, -0.0, 4.9e-324, b'0', 0, '', '00:00:00.000001', '[]', POINT(0, 0), POINT(3, 4),
          '00000000-0000-0000-0000-000000000000', '::', '', ''),
         (1, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, {zeros}, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)"
    ))?;
    let _databus = source.deployment.databus()?;
    source.wait_for_changes(3)?;
    let table = format!("{}.entry", source.name);
    source.deployment.run_ok("databus", &["snapshot", "--table", &table, "--wait"])?;
    let records: Vec<_> = source.records()?.into_iter().filter(|record| record.value.is_some()).collect();
    let image = |record: &Record| -> Result<String> {
        let text = String::from_utf8(record.value.clone().unwrap_or_default())?;
        let from = text.find("\"after\":").context("no after")?;
        let to = text.find(",\"op\":").context("no op")?;
        Ok(text[from..to].to_owned())
    };
    let of = |streamed: bool| -> Result<BTreeMap<String, String>> {
        let wanted = records.iter().filter(|record| {
            let value = record.value.as_deref().unwrap_or_default();
            Change::parse(value).is_ok_and(|change| (change.op == Op::Create) == streamed)
        });
        wanted.map(|record| Ok((record.key.clone(), image(record)?))).collect()
    };
    let (streamed, read) = (of(true)?, of(false)?);
    assert_eq!(streamed.len(), 3);
    assert_eq!(read, streamed);
    Ok(())
}

#[test]
fn rows_of_megabytes_are_read_in_chunks_that_fit_and_a_predicate_may_stay_empty() -> Result<()> {
    let source = Source::new(stack()?, "id INT PRIMARY KEY, body LONGBLOB NOT NULL")?
        .with_snapshot("initial", 5_000)?;
    source.sql(
        "INSERT INTO entry SELECT seq, REPEAT(CHAR(seq), IF(seq > 40, 10, 1500000)) FROM seq_1_to_400",
    )?;
    let databus = source.deployment.databus()?;
    let changes = source.wait_for_changes(400)?;
    super::assert_dense(&changes)?;
    let order: Vec<i64> =
        changes.iter().map(|value| super::number(&Change::parse(value)?, "id")).collect::<Result<_>>()?;
    ensure!(order.iter().copied().eq(1..=400), "rows are missing or out of order");
    wait_for_snapshots(&databus)?;
    let table = format!("{}.entry", source.name);
    source.deployment.run_ok("databus", &["snapshot", "--table", &table, "--where", "id < 0", "--wait"])?;
    assert_eq!(source.changes()?.len(), 400);
    Ok(())
}
