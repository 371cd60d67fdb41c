//! databus against a real MariaDB and Kafka: what it publishes is what the source committed, whatever is killed.

mod bad_input;
mod chaos;
mod compressed;
mod ddl;
mod failover;
mod high_availability;
mod hostile;
mod kafka_faults;
mod links;
mod many_sources;
mod operations;
mod parity;
mod positions;
mod readers;
mod snapshot;
mod transactions;
mod types;

use crate::shared::{fresh, stack};
use anyhow::{Context, Result, ensure};
use change_event::{
    Value,
    envelope::{Change, Op},
};
use it_tests::{
    documented::documented,
    harness::{Not, Part, Service, Stack, wait_until},
    source::{SOON, Source, assert_dense, histories, last_lines, number, refusal},
    topic::read_all,
};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

#[test]
fn every_change_arrives_once_in_commit_order_and_a_changed_key_is_a_delete_and_a_create_g1_g2() -> Result<()>
{
    let source = Source::new(stack()?, "id INT PRIMARY KEY, note VARCHAR(40) NOT NULL")?;
    source.sql("INSERT INTO entry VALUES (1, 'before databus started')")?;
    let _databus = source.deployment.databus()?;
    source.sql("BEGIN; INSERT INTO entry VALUES (2, 'two'), (3, 'three'); SAVEPOINT s1; UPDATE entry SET note = '收款 \"q\"' WHERE id = 2; COMMIT")?;
    source.sql("UPDATE entry SET id = 30 WHERE id = 3; DELETE FROM entry WHERE id = 1; BEGIN; INSERT INTO entry VALUES (9, 'undone'); ROLLBACK")?;

    let changes = source.wait_for_changes(7)?;

    assert_eq!(assert_dense(&changes)?.counter(), 7);
    let seen: Vec<_> = changes
        .iter()
        .map(|value| {
            let change = Change::parse(value)?;
            let transaction = change.transaction.as_ref().context("a change without its transaction")?;
            Ok((change.op, number(&change, "id")?, transaction.total_order))
        })
        .collect::<Result<_>>()?;
    let expected = [
        (Op::Create, 1, 1),
        (Op::Create, 2, 1),
        (Op::Create, 3, 2),
        (Op::Update, 2, 3),
        (Op::Delete, 3, 1),
        (Op::Create, 30, 2),
        (Op::Delete, 1, 1),
    ];
    assert_eq!(seen, expected);
    let update = Change::parse(&changes[3])?;
    assert_eq!(update.before.as_ref().and_then(|row| row.get("note")), Some(&Value::Str("two".into())));
    assert_eq!(update.after.as_ref().and_then(|row| row.get("note")), Some(&Value::Str("收款 \"q\"".into())));
    let records = read_all(&source.stack.kafka_brokers()?, &format!("changes.{}", source.name))?;
    assert_eq!(records[4].key, r#"{"id":3}"#);
    Ok(())
}

#[test]
fn column_values_equal_what_select_returns() -> Result<()> {
    let source = Source::new(
        stack()?,
        "id BIGINT UNSIGNED PRIMARY KEY, tiny TINYINT, small SMALLINT UNSIGNED, medium MEDIUMINT, year_of YEAR, big BIGINT,
         price DECIMAL(65,30), cheap DECIMAL(4,2), kind ENUM('collect','pay') , code CHAR(3) CHARACTER SET ascii, long_code CHAR(250),
         note TEXT, plain VARCHAR(300) CHARACTER SET utf8mb3, raw BINARY(4), blob_of VARBINARY(300), day_of DATE, at_six DATETIME(6),
         at_zero DATETIME, stamp TIMESTAMP(3) NULL",
    )?;
    source.sql(
        "SET time_zone = '+08:00';
         INSERT INTO entry VALUES
         (18446744073709551615, -128, 65535, -1, 2026, -9223372036854775808, -12345678901234567890123456789012345.000000000000000000000000000001,
          -0.29, 'pay', 'CNY', REPEAT('长', 250), 'a\\nb\\\\c', 'é', x'ff00', x'00ff', '1969-12-31', '1969-12-31 23:59:59.999999',
          '2026-11-22 18:20:00', '2026-11-22 18:20:00.123'),
         (1, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)",
    )?;
    let _databus = source.deployment.databus()?;
    let changes = source.wait_for_changes(2)?;
    let change = Change::parse(&changes[0])?;
    let row = change.after.context("no after image")?;
    // SELECT in the canonical form of the mapping, computed by the server
    let select = source.sql(
        "SET time_zone = '+00:00'; SELECT id, tiny, small, medium, year_of + 0, big, price, cheap, kind, code, long_code, note, plain,
         TO_BASE64(raw), TO_BASE64(blob_of), DATEDIFF(day_of, '1970-01-01'), TIMESTAMPDIFF(MICROSECOND, '1970-01-01', at_six),
         TIMESTAMPDIFF(MICROSECOND, '1970-01-01', at_zero) DIV 1000, DATE_FORMAT(stamp, '%Y-%m-%dT%T.123Z') FROM entry WHERE id > 1",
    )?;
    let selected: Vec<_> = select.trim_end_matches('\n').split('\t').collect();
    let streamed: Vec<String> = row
        .columns()
        .map(|(_, value)| match value {
            Value::I64(number) => number.to_string(),
            Value::U64(number) => number.to_string(),
            // the client escapes what the mapping does not
            Value::Str(text) => text.replace('\\', "\\\\").replace('\n', "\\n"),
            other => format!("{other:?}"),
        })
        .collect();
    assert_eq!(streamed, selected);
    let nulls = Change::parse(&changes[1])?;
    let nulls = nulls.after.context("no after image")?;
    assert_eq!(nulls.columns().filter(|(_, value)| **value == Value::Null).count(), 18);
    Ok(())
}

/// Writes transactions of several rows, ids rising, until told to stop; returns how many rows were committed.
fn write_until(source: &Source<'_>, stop: &AtomicBool, written: &AtomicU64) -> Result<()> {
    let mut next = 1;
    while !stop.load(Ordering::Relaxed) {
        let statements: Vec<String> = (0..20)
            .map(|_| {
                let insert = format!("BEGIN; INSERT INTO entry VALUES ({}, 'a'), ({}, 'b'); UPDATE entry SET note = 'c' WHERE id = {}; COMMIT;", next, next + 1, next);
                next += 2;
                insert
            })
            .collect();
        source.sql(&statements.join("\n"))?;
        written.store(next - 1, Ordering::Relaxed);
    }
    Ok(())
}

fn assert_complete(source: &Source<'_>, rows: u64) -> Result<()> {
    let changes = source.wait_for_changes(usize::try_from(rows / 2 * 3)?)?;
    assert_dense(&changes)?;
    let histories = histories(&changes)?;
    ensure!(histories.len() as u64 == rows, "{} of {rows} rows", histories.len());
    for (id, history) in histories {
        let expected: &[Op] = if id % 2 == 1 { &[Op::Create, Op::Update] } else { &[Op::Create] };
        ensure!(history == expected, "row {id} went through {history:?}");
    }
    Ok(())
}

/// Waits until the writer is this far.
fn wait_written(written: &AtomicU64, at_least: u64) -> Result<()> {
    wait_until("rows to be written", SOON, || match written.load(Ordering::Relaxed) {
        enough if enough >= at_least => Ok(()),
        few => Err(Not::Yet(format!("{few} of {at_least}"))),
    })
}

#[test]
fn kill_nine_during_a_flood_loses_and_doubles_nothing_g1_g2_g4() -> Result<()> {
    let source = Source::new(stack()?, "id INT PRIMARY KEY, note VARCHAR(40) NOT NULL")?;
    let (stop, written) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut databus = source.deployment.databus()?;
    std::thread::scope(|scope| -> Result<()> {
        let writer = scope.spawn(|| write_until(&source, &stop, &written));
        let killing = (|| -> Result<()> {
            for round in 1..=5 {
                wait_written(&written, round * 400)?;
                databus.kill_9()?;
                databus.start_again()?;
            }
            Ok(())
        })();
        stop.store(true, Ordering::Relaxed);
        writer.join().map_err(|_| anyhow::anyhow!("the writer panicked"))??;
        killing
    })?;
    assert_complete(&source, written.load(Ordering::Relaxed))
}

#[test]
fn a_killed_broker_that_comes_back_costs_no_change_and_doubles_none_g2_g4() -> Result<()> {
    let mut stack = Stack::start(fresh("databus-broker").only(&[Part::MariaDb, Part::Kafka]))?;
    let (stop, written) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut kafka = stack.kafka.take().context("the stack has no broker")?;
    let brokers = kafka.address().to_string();
    let source = Source::new(&stack, "id INT PRIMARY KEY, note VARCHAR(40) NOT NULL")?;
    let databus = source.deployment.databus()?;
    std::thread::scope(|scope| -> Result<()> {
        let writer = scope.spawn(|| write_until(&source, &stop, &written));
        let killing = (|| -> Result<()> {
            wait_written(&written, 400)?;
            kafka.kill_9()?;
            let so_far = written.load(Ordering::Relaxed);
            wait_written(&written, so_far + 400)?;
            kafka.start_again()
        })();
        stop.store(true, Ordering::Relaxed);
        writer.join().map_err(|_| anyhow::anyhow!("the writer panicked"))??;
        killing
    })?;
    let rows = written.load(Ordering::Relaxed);
    let topic = format!("changes.{}", source.name);
    let changes = wait_until("all changes", SOON, || match read_all(&brokers, &topic) {
        Ok(records) if records.len() as u64 == rows / 2 * 3 => Ok(records),
        Ok(records) => Err(Not::Yet(format!(
            "{} of {} changes; log: {}",
            records.len(),
            rows / 2 * 3,
            last_lines(&databus)
        ))),
        Err(error) => Err(Not::yet(error)),
    })?;
    let changes: Vec<_> = changes.into_iter().filter_map(|record| record.value).collect();
    assert_dense(&changes)?;
    assert_eq!(histories(&changes)?.len() as u64, rows);
    Ok(())
}

#[test]
fn a_transaction_larger_than_a_batch_is_published_in_pieces_and_resumed_inside_g1_g4() -> Result<()> {
    let mut source = Source::new(stack()?, "id INT PRIMARY KEY, note VARCHAR(400) NOT NULL")?;
    source.deployment.edit(|file| file.set("databus", "commit_max_rows", "500"))?;
    let mut databus = source.deployment.databus()?;
    source.sql("INSERT INTO entry SELECT seq, REPEAT('x', 300) FROM seq_1_to_100000")?;
    wait_until("the first pieces", SOON, || match databus.metric("databus_seq") {
        Ok(Some(seq)) if seq > 0.0 => Ok(()),
        other => Err(Not::Yet(format!("{other:?}"))),
    })?;
    databus.kill_9()?;
    let before = source.changes()?.len();
    databus.start_again()?;
    let changes = source.wait_for_changes(100_000)?;
    assert_dense(&changes)?;
    assert_eq!(histories(&changes)?.len(), 100_000);
    ensure!(before < 100_000, "the kill came too late to cut the transaction");
    println!("killed with {before} of 100000 changes visible");
    Ok(())
}

#[test]
fn sigterm_commits_what_is_complete_and_ends_with_code_0_g6() -> Result<()> {
    let source = Source::new(stack()?, "id INT PRIMARY KEY, note VARCHAR(40) NOT NULL")?;
    let mut databus = source.deployment.databus()?;
    source.sql("INSERT INTO entry SELECT seq, 'x' FROM seq_1_to_2000")?;
    source.wait_for_changes(2_000)?;
    let status = databus.stop()?;
    assert_eq!(status.code(), Some(0));
    source.sql("INSERT INTO entry VALUES (3000, 'while it was down')")?;
    databus.start_again()?;
    assert_dense(&source.wait_for_changes(2_001)?)?;
    Ok(())
}

#[test]
fn what_happens_in_tables_nobody_captures_never_stops_the_stream_g7() -> Result<()> {
    let source = Source::new(stack()?, "id INT PRIMARY KEY, note VARCHAR(40) NOT NULL")?;
    let _databus = source.deployment.databus()?;
    source.sql(
        &"CREATE TABLE odd (id INT, t TIME(3), g GEOMETRY, f DOUBLE, b BIT(9), s SET('a','b'), l VARCHAR(9) CHARACTER SET gbk, u UUID);
         INSERT INTO odd VALUES (1, '-01:00:00.5', POINT(1,2), 1.5, 5, 'a,b', '收款', UUID());
         TRUNCATE odd; DROP TABLE odd;
         CREATE INDEX noted ON entry (note); DROP INDEX noted ON entry;
         CREATE TABLE child (id INT PRIMARY KEY REFERENCES entry (id) ON DELETE CASCADE); DROP TABLE child;
         SET binlog_format = STATEMENT; CREATE TEMPORARY TABLE entry (id INT); INSERT INTO entry VALUES (1), (2); UPDATE entry SET id = 3;
         DROP TEMPORARY TABLE entry; SET binlog_format = MIXED; CREATE TEMPORARY TABLE entry (id INT); INSERT INTO entry VALUES (1);
         DROP TEMPORARY TABLE entry; SET binlog_format = ROW;
         CREATE TABLE plain (id INT PRIMARY KEY); XA START 'SELF'; INSERT INTO plain VALUES (7); XA END 'SELF'; XA PREPARE 'SELF'; XA COMMIT 'SELF';
         CREATE DATABASE SELF_x; USE SELF_x; SELECT 1 INTO OUTFILE 'one.txt'; CREATE TABLE loaded (id INT PRIMARY KEY);
         SET binlog_format = STATEMENT; LOAD DATA INFILE 'one.txt' INTO TABLE loaded; CREATE TABLE entry (id INT PRIMARY KEY);
         INSERT INTO entry VALUES (1); UPDATE entry SET id = 2; SET binlog_format = ROW; USE SELF;
         INSERT INTO entry VALUES (1, 'after all that')"
            .replace("SELF", &source.name),
    )?;
    assert_dense(&source.wait_for_changes(1)?)?;
    Ok(())
}

#[test]
fn what_cannot_be_followed_in_a_captured_table_stops_with_file_position_type_and_table_g7() -> Result<()> {
    let cases = [
        ("ALTER TABLE entry ADD SYSTEM VERSIONING", "SYSTEM VERSIONING in a captured table"),
        (
            "SELECT 2, 'x' INTO OUTFILE 'rows.txt'; SET binlog_format = STATEMENT; LOAD DATA INFILE 'rows.txt' INTO TABLE entry",
            "LOAD DATA in statement format",
        ),
        (
            "DELIMITER //\nCREATE FUNCTION f() RETURNS INT DETERMINISTIC BEGIN UPDATE entry SET note = 'f'; RETURN 1; END//\nDELIMITER ;
             SET binlog_format = STATEMENT; SELECT f()",
            "a call in statement format",
        ),
        (
            "CREATE VIEW seen AS SELECT * FROM entry; SET binlog_format = STATEMENT; INSERT INTO seen VALUES (2, 'x')",
            "perhaps those of this table, through a view",
        ),
        (
            "CREATE TABLE other (id INT PRIMARY KEY); CREATE TRIGGER passes AFTER INSERT ON other FOR EACH ROW INSERT INTO entry VALUES (NEW.id, 'x');
             SET binlog_format = MIXED; INSERT INTO other VALUES (2)",
            "INSERT in statement format",
        ),
        (
            "CREATE PROCEDURE p() INSERT INTO entry VALUES (2, 'x'); SET binlog_format = MIXED; CALL p()",
            "INSERT in statement format",
        ),
        (
            "CREATE DATABASE SELF_y; USE SELF_y; CREATE VIEW seen AS SELECT * FROM SELF.entry; USE SELF; SET binlog_format = STATEMENT;
             UPDATE SELF_y.seen SET note = 'x'",
            "UPDATE in statement format",
        ),
        (
            "ALTER TABLE entry DROP PRIMARY KEY; INSERT INTO entry VALUES (2, 'x')",
            "no primary key",
        ),
        ("SET binlog_format = STATEMENT; UPDATE entry SET note = 'x'", "UPDATE in statement format"),
        ("SET binlog_row_image = MINIMAL; UPDATE entry SET note = 'x'", "binlog_row_image=FULL"),
        (
            "SET sql_mode = 'ALLOW_INVALID_DATES'; ALTER TABLE entry ADD COLUMN d DATE; INSERT INTO entry VALUES (2, 'x', '2023-02-30')",
            "the date 2023-02-30 is on no calendar",
        ),
    ];
    for (statements, reason) in cases {
        let source = Source::new(stack()?, "id INT PRIMARY KEY, note VARCHAR(40) NOT NULL")?;
        let mut databus = source.deployment.databus()?;
        source.sql("INSERT INTO entry VALUES (1, 'good')")?;
        source.wait_for_changes(1)?;
        source.sql(&statements.replace("SELF", &source.name))?;
        let code = databus.wait_exit()?;
        let log = databus.log()?;
        let error = log
            .lines()
            .find(|line| line.contains(reason))
            .with_context(|| format!("no line says {reason:?} in:\n{log}"))?;
        ensure!(code == Some(1), "exit code {code:?} after {statements}");
        ensure!(error.contains("binlog.0") && error.contains("type "), "no place in: {error}");
        bad_input::stopped_in_place(statements, reason, &source, &log)?;
        ensure!(source.changes()?.len() == 1, "{} changes after {statements}", source.changes()?.len());
    }
    Ok(())
}

#[test]
fn a_source_that_cannot_be_followed_is_refused_with_the_setting_and_the_wanted_value_g7() -> Result<()> {
    let stack = Stack::start(fresh("databus-preflight").only(&[Part::MariaDb, Part::Kafka]))?;
    let source = Source::new(&stack, "id INT PRIMARY KEY, note VARCHAR(40) NOT NULL")?;
    source.sql("SET GLOBAL binlog_format = STATEMENT; CREATE TABLE child (id INT);
         CREATE TABLE falls (id INT PRIMARY KEY, parent INT, FOREIGN KEY (parent) REFERENCES entry (id) ON DELETE CASCADE);
         CREATE TABLE past (id INT PRIMARY KEY) WITH SYSTEM VERSIONING")?;
    let mut deployment = source.deployment.clone();
    deployment.edit(|file| {
        let section = format!("source.{}", source.name);
        file.set(
            &section,
            "tables",
            &format!(
                "[\"{0}.entry\", \"{0}.child\", \"{0}.missing\", \"{0}.falls\", \"{0}.past\"]",
                source.name
            ),
        )
    })?;
    let (code, message) = refusal(&deployment)?;
    assert_eq!(code, Some(1), "{message}");
    let refusals: Vec<_> = message.lines().filter(|line| line.contains("cannot be followed")).collect();
    ensure!(refusals.len() == 1, "not one line:\n{message}");
    let message = refusals[0];
    for part in [
        "binlog_format=STATEMENT: wanted ROW",
        "child: it has no primary key",
        "missing: there is no such table",
        "falls: it has a cascading foreign key",
        "past: it has SYSTEM VERSIONING",
        "pipelines.toml:",
    ] {
        ensure!(message.contains(part), "{part:?} is not in:\n{message}");
    }
    Ok(())
}

#[test]
fn an_unreachable_broker_is_one_warning_with_the_place_of_the_setting_and_waited_for() -> Result<()> {
    let mut source = Source::new(stack()?, "id INT PRIMARY KEY")?;
    source.deployment.edit(|file| file.set_text("kafka", "brokers", "127.0.0.1:1"))?;
    let mut databus = source.deployment.daemon_unready("databus", &["run"])?;
    let warnings = |log: &str| {
        let of_it = |line: &&str| line.contains("no kafka broker answers at 127.0.0.1:1");
        log.lines().filter(of_it).map(str::to_owned).collect::<Vec<_>>()
    };
    wait_until("the warning", SOON, || match databus.log().map(|log| warnings(&log)) {
        Ok(said) if said.len() == 1 && said[0].contains("pipelines.toml:") => Ok(()),
        other => Err(Not::Yet(format!("{other:?}"))),
    })?;
    source.deployment.edit(|file| file.set_text("kafka", "brokers", "no address at all"))?;
    ensure!(databus.process_mut().is_running(), "it did not wait: {}", last_lines(&databus));
    databus.kill_9()?;
    let (code, message) = refusal(&source.deployment)?;
    ensure!(code == Some(1) || code == Some(2), "{code:?} {message}");
    ensure!(message.contains("pipelines.toml:"), "{message}");
    Ok(())
}

#[test]
fn an_unknown_key_is_refused_with_its_line_and_exit_code_2() -> Result<()> {
    let mut source = Source::new(stack()?, "id INT PRIMARY KEY")?;
    source.deployment.edit(|file| file.set("kafka", "broker", "\"127.0.0.1:1\""))?;
    let (code, message) = refusal(&source.deployment)?;
    assert_eq!(code, Some(2), "{message}");
    ensure!(message.contains("pipelines.toml:") && message.contains("broker"), "{message}");
    documented("an unknown key in `pipelines.toml`", &source.name, code, &message)?;
    Ok(())
}

#[test]
fn stage_1_without_its_checkpoint_is_refused_and_never_numbered_again_g6() -> Result<()> {
    let stack = Stack::start(fresh("databus-checkpoint").only(&[Part::MariaDb, Part::Kafka]))?;
    let source = Source::new(&stack, "id INT PRIMARY KEY, note VARCHAR(40) NOT NULL")?;
    let mut databus = source.deployment.databus()?;
    source.sql("INSERT INTO entry VALUES (1, 'x')")?;
    source.wait_for_changes(1)?;
    databus.stop()?;
    it_tests::topic::delete(&stack.kafka_brokers()?, "databus.checkpoints")?;
    let (code, message) = refusal(&source.deployment)?;
    assert_eq!(code, Some(1), "{message}");
    ensure!(message.contains("there is no checkpoint beside them"), "{message}");
    documented("stage 1 without its checkpoint", &source.name, code, &message)?;
    Ok(())
}
