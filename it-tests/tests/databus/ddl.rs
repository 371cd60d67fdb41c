//! DDL between rows: shapes follow each row, tables that are emptied are truncates, and where the log does not say what became of rows,
//! stage 1 says so.

use super::{
    SOON, Source, assert_dense,
    transactions::{folded, selected, wait_equal},
};
use crate::shared::stack;
use anyhow::{Context, Result, ensure};
use change_event::{
    Value, Version,
    envelope::{Change, Op},
};
use it_tests::{
    harness::{Not, Service, wait_until},
    topic::{Record, read_all},
};
use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
};

const COLUMNS: &str = "id INT PRIMARY KEY, note VARCHAR(40) NOT NULL";

fn records(source: &Source<'_>) -> Result<Vec<Record>> {
    read_all(&source.stack.kafka_brokers()?, &format!("changes.{}", source.name))
}

/// Waits for a mark of this kind; returns all records.
pub(super) fn wait_for_mark(source: &Source<'_>, kind: &str) -> Result<Vec<Record>> {
    wait_until(&format!("a mark {kind}"), SOON, || {
        let records = records(source).map_err(Not::yet)?;
        let found = records.iter().any(|record| record.header("databus.mark") == Some(kind));
        if found { Ok(records) } else { Err(Not::Yet(format!("{} records", records.len()))) }
    })
}

/// What the records say, in order, without what a snapshot brings: `c 1`, `truncate entry`, `snapshot-needed entry`. Every seq, a truncate's too, is the next (G2).
fn story(records: &[Record]) -> Result<Vec<String>> {
    let mut last = Version::START;
    let mut story = Vec::new();
    for record in records {
        let mut line = None;
        let seq = match &record.value {
            Some(value) => {
                let change = Change::parse(value)?;
                if change.op != Op::Read {
                    line = Some(format!("{:?} {}", change.op, super::number(&change, "id")?));
                }
                Some(change.source.seq)
            }
            None => {
                let kind = record.header("databus.mark").context("a null value without a mark")?;
                if ["truncate", "snapshot-needed"].contains(&kind) {
                    let table = record.header("databus.table").context("a mark without its table")?;
                    ensure!(
                        record.header("databus.file").is_some_and(|file| file.starts_with("binlog.")),
                        "no place"
                    );
                    line = Some(format!("{kind} {table}"));
                }
                let seq = record.header("databus.seq").map(|seq| seq.parse::<i64>()).transpose()?;
                seq.map(Version::try_from).transpose()?
            }
        };
        if let Some(seq) = seq {
            ensure!(seq.follows(last), "{line:?} has seq {seq} after {last}");
            last = seq;
        }
        story.extend(line);
    }
    Ok(story)
}

fn wait_for_story(source: &Source<'_>, expected: &[&str]) -> Result<()> {
    wait_until("the records", SOON, || {
        let story = records(source).and_then(|records| story(&records)).map_err(Not::yet)?;
        if story == expected { Ok(()) } else { Err(Not::Yet(format!("{story:?}"))) }
    })
}

#[test]
fn rows_keep_the_shape_they_were_written_with_whatever_was_altered_since_scenario_9() -> Result<()> {
    let source = Source::new(stack()?, COLUMNS)?;
    let mut databus = source.deployment.databus()?;
    source.sql("INSERT INTO entry VALUES (1, 'first')")?;
    source.wait_for_changes(1)?;
    databus.stop()?;
    source.sql(
        "INSERT INTO entry VALUES (2, 'old shape');
         ALTER TABLE entry ADD COLUMN amount BIGINT FIRST, RENAME COLUMN note TO remark; INSERT INTO entry VALUES (30, 3, 'added');
         ALTER TABLE entry DROP COLUMN remark, ADD COLUMN flag ENUM('y','n') AFTER amount; INSERT INTO entry VALUES (40, 'n', 4);
         ALTER TABLE entry MODIFY amount DECIMAL(20,2); UPDATE entry SET amount = 1.5 WHERE id = 4;
         ALTER TABLE entry DROP COLUMN amount, DROP COLUMN flag, ADD COLUMN note VARCHAR(40)",
    )?;
    databus.start_again()?;
    let expected = ["Create 1", "Create 2", "Create 3", "Create 4", "Update 4"];
    // MODIFY asks for a snapshot as well
    wait_until("the changes", SOON, || {
        let story = records(&source).and_then(|records| story(&records)).map_err(Not::yet)?;
        let changes: Vec<_> = story.iter().filter(|line| !line.starts_with("snapshot")).collect();
        if changes == expected.iter().collect::<Vec<_>>() {
            Ok(())
        } else {
            Err(Not::Yet(format!("{story:?}")))
        }
    })?;
    let mut changes = Vec::new();
    for value in source.changes()? {
        if Change::parse(&value)?.op != Op::Read {
            changes.push(value);
        }
    }
    let shapes: Vec<String> = changes
        .iter()
        .map(|value| {
            let change = Change::parse(value)?;
            let row = change.after.context("no after image")?;
            Ok(row.columns().map(|(name, value)| format!("{name}={value:?} ")).collect::<String>())
        })
        .collect::<Result<_>>()?;
    let text = |text: &str| format!("{:?}", Value::Str(text.into()));
    let number = |number: i64| format!("{:?}", Value::I64(number));
    let expected = [
        format!("id={} note={} ", number(1), text("first")),
        format!("id={} note={} ", number(2), text("old shape")),
        format!("amount={} id={} remark={} ", number(30), number(3), text("added")),
        format!("amount={} flag={} id={} ", number(40), text("n"), number(4)),
        format!("amount={} flag={} id={} ", text("1.50"), text("n"), number(4)),
    ];
    assert_eq!(shapes, expected);
    Ok(())
}

#[test]
fn exotic_ddl_on_other_tables_and_harmless_ddl_on_captured_ones_change_nothing_scenario_10() -> Result<()> {
    let source = Source::new(stack()?, COLUMNS)?;
    let _databus = source.deployment.databus()?;
    source.sql(
        "SET STATEMENT max_statement_time = 10 FOR ALTER TABLE entry ADD COLUMN extra INT, ALGORITHM=INSTANT;
         /*! ALTER TABLE entry DROP COLUMN extra */; ALTER /* TRUNCATE entry */ TABLE `entry` COMMENT = 'DROP TABLE entry';
         ALTER TABLE entry ADD INDEX noted (note), ALTER COLUMN note SET DEFAULT 'TRUNCATE'; ANALYZE TABLE entry; OPTIMIZE TABLE entry;
         CREATE TABLE `truncate entry` (`drop table` INT PRIMARY KEY) COMMENT 'it''s; DROP TABLE entry'; DROP TABLE `truncate entry`;
         CREATE TABLE copied AS SELECT * FROM entry; CREATE OR REPLACE TABLE copied LIKE entry; RENAME TABLE copied TO copies;
         CREATE TABLE parts (id INT PRIMARY KEY) PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (9), PARTITION p1 VALUES LESS THAN MAXVALUE);
         ALTER TABLE parts TRUNCATE PARTITION p0; ALTER TABLE parts DROP PARTITION p0; TRUNCATE parts;
         CREATE SEQUENCE counted; CREATE VIEW seen AS SELECT * FROM entry; CREATE OR REPLACE VIEW seen AS SELECT id FROM entry; DROP VIEW seen;
         DELIMITER //
         CREATE PROCEDURE swept() BEGIN TRUNCATE TABLE entry; DROP TABLE entry; END//
         CREATE TRIGGER watched BEFORE INSERT ON copies FOR EACH ROW BEGIN SET NEW.note = 'DELETE FROM entry'; END//
         DELIMITER ;
         SET sql_mode = 'ANSI_QUOTES'; CREATE TABLE \"entry 2\" (\"id\" INT PRIMARY KEY); DROP TABLE \"entry 2\"; SET sql_mode = '';
         INSERT INTO entry VALUES (1, 'after all that')",
    )?;
    wait_for_story(&source, &["Create 1"])
}

#[test]
fn a_captured_table_that_is_emptied_is_a_truncate_in_its_place_with_a_seq_g2() -> Result<()> {
    let source = Source::new(stack()?, COLUMNS)?;
    let mut databus = source.deployment.databus()?;
    source.sql("INSERT INTO entry VALUES (1, 'x'); TRUNCATE entry; INSERT INTO entry VALUES (2, 'x')")?;
    let mut expected = vec!["Create 1", "truncate entry", "Create 2"];
    wait_for_story(&source, &expected)?;
    databus.kill_9()?;
    databus.start_again()?;
    source.sql(
        "DROP TABLE entry; CREATE TABLE entry (id INT PRIMARY KEY, note INT); INSERT INTO entry VALUES (3, 3);
         CREATE OR REPLACE TABLE entry (id INT PRIMARY KEY) SELECT 4 AS id; RENAME TABLE entry TO away; CREATE TABLE entry LIKE away;
         INSERT INTO entry VALUES (5)",
    )?;
    expected.extend([
        "truncate entry",
        "Create 3",
        "truncate entry",
        "Create 4",
        "truncate entry",
        "Create 5",
    ]);
    wait_for_story(&source, &expected)?;
    ensure!(
        databus.metric("databus_marks_total")?.is_some_and(|marks| marks >= 3.0),
        "marks are not counted"
    );
    source.sql(&format!("DROP DATABASE {}", source.name))?;
    expected.push("truncate entry");
    wait_for_story(&source, &expected)
}

#[test]
fn statements_whose_rows_the_log_does_not_show_ask_for_a_snapshot_and_the_stream_goes_on() -> Result<()> {
    let statements = [
        "ALTER TABLE entry ADD COLUMN kind INT NOT NULL DEFAULT 5",
        "ALTER TABLE entry MODIFY note VARCHAR(20) NOT NULL",
        "ALTER TABLE entry CONVERT TO CHARACTER SET utf8mb3",
        "ALTER TABLE entry DROP PRIMARY KEY, ADD PRIMARY KEY (id, kind)",
        "ALTER TABLE entry PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (100), PARTITION p1 VALUES LESS THAN MAXVALUE)",
        "ALTER TABLE entry TRUNCATE PARTITION p1",
        "CREATE TABLE other LIKE entry; ALTER TABLE other REMOVE PARTITIONING; ALTER TABLE entry EXCHANGE PARTITION p1 WITH TABLE other",
        "ALTER TABLE entry DROP PARTITION p1",
        "ALTER TABLE entry REMOVE PARTITIONING",
        "FLUSH TABLES entry FOR EXPORT; UNLOCK TABLES; ALTER TABLE other DISCARD TABLESPACE",
        "RENAME TABLE entry TO old, other TO entry; RENAME TABLE entry TO other, old TO entry",
    ];
    // by statement: how many marks
    let marks = [1, 1, 1, 1, 0, 1, 1, 1, 0, 0, 2];
    let source = Source::new(stack()?, COLUMNS)?;
    let mut databus = source.deployment.databus()?;
    let mut expected = Vec::new();
    for (at, (statement, marks)) in statements.iter().zip(marks).enumerate() {
        let id = at + 1;
        source.sql(&format!("{statement}; INSERT INTO entry (id, note) VALUES ({id}, 'x')"))?;
        expected.extend(std::iter::repeat_n("snapshot-needed entry".to_owned(), marks));
        expected.push(format!("Create {id}"));
    }
    let expected: Vec<_> = expected.iter().map(String::as_str).collect();
    wait_for_story(&source, &expected)?;
    ensure!(databus.log()?.contains("it needs a snapshot"), "no warning");
    databus.stop()?;
    Ok(())
}

/// Writes to `entry` in transactions until told to stop: inserts, updates and deletes of rows that another statement may be copying.
fn write_until(source: &Source<'_>, stop: &AtomicBool, rounds: &AtomicU64) -> Result<()> {
    let mut next = 1_000_000;
    while !stop.load(Ordering::Relaxed) {
        let mut script = String::new();
        for _ in 0..10 {
            script += &format!(
                "INSERT INTO entry (id, note) VALUES ({next}, 'w'); UPDATE entry SET note = 'w{next}' WHERE id % 97 = {};
                 DELETE FROM entry WHERE id = {};",
                next % 97,
                next - 50
            );
            next += 1;
        }
        source.sql(&script)?;
        rounds.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// Runs a migration while `entry` is written to; the folded stream must be the table in the end, with nothing but a snapshot asked for.
fn migrate_under_load(migration: impl Fn(&Source<'_>) -> Result<()>) -> Result<()> {
    let source = Source::new(stack()?, COLUMNS)?;
    source.sql("INSERT INTO entry SELECT seq, 'old' FROM seq_1_to_3000")?;
    let mut databus = source.deployment.databus()?;
    let (stop, rounds) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| -> Result<()> {
        let writer = scope.spawn(|| write_until(&source, &stop, &rounds));
        let wait_rounds = |more: u64| {
            let target = rounds.load(Ordering::Relaxed) + more;
            wait_until("writes to go on", SOON, || match rounds.load(Ordering::Relaxed) {
                enough if enough >= target => Ok(()),
                few => Err(Not::Yet(format!("{few} of {target} rounds"))),
            })
        };
        let migrated = (|| {
            wait_rounds(2)?;
            migration(&source)?;
            databus.kill_9()?;
            wait_rounds(2)?;
            databus.start_again()
        })();
        stop.store(true, Ordering::Relaxed);
        writer.join().map_err(|_| anyhow::anyhow!("the writer panicked"))??;
        migrated
    })?;
    let changes = wait_equal(&source, &["entry"], &databus)?;
    assert_dense(&changes)?;
    ensure!(folded(&changes)? == selected(&source, &["entry"])?, "the stream does not end in the table");
    let marks: Vec<_> =
        story(&records(&source)?)?.into_iter().filter(|line| line.contains("entry")).collect();
    assert_eq!(marks, ["snapshot-needed entry"]);
    Ok(())
}

/// The statements of gh-ost: the copy is fed from the binlog, which row by row writes here stand for; the swap is atomic.
#[test]
fn a_gh_ost_migration_under_load_converges_scenario_11() -> Result<()> {
    migrate_under_load(|source| {
        source.sql(
            "CREATE /* gh-ost */ TABLE `_entry_ghc` (id BIGINT AUTO_INCREMENT PRIMARY KEY, hint VARCHAR(64) NOT NULL, value VARCHAR(4096) NOT NULL);
             CREATE /* gh-ost */ TABLE `_entry_gho` LIKE `entry`; ALTER /* gh-ost */ TABLE `_entry_gho` ADD INDEX noted (note);
             INSERT /* gh-ost */ INTO `_entry_ghc` VALUES (NULL, 'state', 'GhostTableMigrated');
             INSERT /* gh-ost */ IGNORE INTO `_entry_gho` (SELECT id, note FROM `entry` FORCE INDEX (PRIMARY) WHERE id <= 1500 LOCK IN SHARE MODE);
             INSERT /* gh-ost */ IGNORE INTO `_entry_gho` (SELECT id, note FROM `entry` FORCE INDEX (PRIMARY) WHERE id > 1500 LOCK IN SHARE MODE)",
        )?;
        // one session locks, and lets go when the swap of another one waits behind it: before any write, as RENAME has the right of way
        let name = &source.name;
        source.sql("CREATE TABLE `_entry_del` (id INT PRIMARY KEY) COMMENT='ghost-cut-over-sentry'; DROP TABLE `_entry_del`")?;
        thread::scope(|scope| {
            let lock = scope.spawn(|| {
                source.sql(&format!(
                    "LOCK /* gh-ost */ TABLES `entry` WRITE; SELECT id, note INTO OUTFILE 'rows.txt' FROM `entry`; SELECT GET_LOCK('{name}', 0);
                     DELIMITER //
BEGIN NOT ATOMIC WHILE NOT EXISTS (SELECT 1 FROM information_schema.processlist WHERE db = '{name}' AND info LIKE 'RENAME%'
AND state LIKE 'Waiting%') DO DO SLEEP(0.01); END WHILE; END//
                     DELIMITER ;
                     UNLOCK TABLES"
                ))
            });
            wait_until("the lock", SOON, || {
                match source.sql(&format!("SELECT IS_USED_LOCK('{name}') IS NOT NULL")) {
                    Ok(answer) if answer.trim() == "1" => Ok(()),
                    other => Err(Not::Yet(format!("{other:?}"))),
                }
            })?;
            // what was written since the copy is caught up while nobody writes
            source.sql(
                "DELETE FROM `_entry_gho`; LOAD DATA INFILE 'rows.txt' INTO TABLE `_entry_gho`;
                 RENAME /* gh-ost */ TABLE `entry` TO `_entry_del`, `_entry_gho` TO `entry`",
            )?;
            lock.join().map_err(|_| anyhow::anyhow!("the locking session panicked"))?.map(drop)
        })?;
        source.sql("DROP /* gh-ost */ TABLE IF EXISTS `_entry_ghc`; DROP TABLE `_entry_del`")?;
        Ok(())
    })
}

/// The statements of pt-online-schema-change: triggers keep the copy equal.
#[test]
fn a_pt_online_schema_change_under_load_converges_scenario_11() -> Result<()> {
    migrate_under_load(|source| {
        let name = &source.name;
        source.sql(&format!(
            "CREATE TABLE `{name}`.`_entry_new` LIKE `{name}`.`entry`; ALTER TABLE `{name}`.`_entry_new` ADD INDEX noted (note);
             CREATE TRIGGER `pt_osc_entry_del` AFTER DELETE ON `{name}`.`entry` FOR EACH ROW DELETE IGNORE FROM `{name}`.`_entry_new` WHERE `_entry_new`.`id` <=> OLD.`id`;
             DELIMITER //
             CREATE TRIGGER `pt_osc_entry_upd` AFTER UPDATE ON `{name}`.`entry` FOR EACH ROW BEGIN DELETE IGNORE FROM `{name}`.`_entry_new` WHERE !(OLD.`id` <=> NEW.`id`) AND `_entry_new`.`id` <=> OLD.`id`; REPLACE INTO `{name}`.`_entry_new` (`id`, `note`) VALUES (NEW.`id`, NEW.`note`); END//
             DELIMITER ;"
        ))?;
        source.sql(&format!(
            "CREATE TRIGGER `pt_osc_entry_ins` AFTER INSERT ON `{name}`.`entry` FOR EACH ROW REPLACE INTO `{name}`.`_entry_new` (`id`, `note`) VALUES (NEW.`id`, NEW.`note`);
             INSERT LOW_PRIORITY IGNORE INTO `{name}`.`_entry_new` (`id`, `note`) SELECT `id`, `note` FROM `{name}`.`entry` LOCK IN SHARE MODE /*pt-online-schema-change copy table*/;
             RENAME TABLE `{name}`.`entry` TO `{name}`.`_entry_old`, `{name}`.`_entry_new` TO `{name}`.`entry`;
             DROP TRIGGER IF EXISTS `{name}`.`pt_osc_entry_del`; DROP TRIGGER IF EXISTS `{name}`.`pt_osc_entry_upd`; DROP TRIGGER IF EXISTS `{name}`.`pt_osc_entry_ins`;
             DROP TABLE IF EXISTS `{name}`.`_entry_old`"
        ))?;
        Ok(())
    })
}
