//! databus reads a real MySQL.

use anyhow::{Context, Result, ensure};
use change_event::envelope::{Change, Op};
use it_tests::{
    documented::documented,
    failover,
    harness::{Flavour, Part, Service, Stack},
    shared::{fresh, stack_on},
    snapshots::kills_and_ddl_amid_a_snapshot,
    source::{Source, assert_dense, histories, last_lines, number, refusal},
    source_tls,
    types::every_value_streams_as_select_returns_it,
};

const COLUMNS: &str = "id INT PRIMARY KEY, note VARCHAR(400) NOT NULL";
const MYSQL: Flavour = Flavour::MySql97;

fn own_stack(name: &str) -> Result<Stack> {
    Stack::start(fresh(name).only(&[Part::MariaDb, Part::Kafka]).flavour(MYSQL))
}

#[test]
fn every_change_of_a_mysql_arrives_once_in_commit_order_g1_g2() -> Result<()> {
    let source = Source::new(stack_on(MYSQL)?, COLUMNS)?;
    source.sql("INSERT INTO entry VALUES (1, 'before databus started')")?;
    let mut databus = source.deployment.databus()?;
    source.sql(
        "BEGIN; INSERT INTO entry VALUES (2, 'two'), (3, 'three'); SAVEPOINT s1; UPDATE entry SET note = '收款' WHERE id = 2; COMMIT;
         CREATE TABLE foreign_one (id INT); INSERT INTO foreign_one VALUES (1); DROP TABLE foreign_one;
         SET GTID_NEXT = 'AUTOMATIC:tag_a'; INSERT INTO entry VALUES (4, 'tagged'); SET GTID_NEXT = 'AUTOMATIC';
         UPDATE entry SET id = 30 WHERE id = 3; DELETE FROM entry WHERE id = 1",
    )?;
    let changes = source.wait_for_changes(8).with_context(|| last_lines(&databus))?;
    assert_dense(&changes)?;
    let seen: Vec<_> = changes
        .iter()
        .map(|value| {
            let change = Change::parse(value)?;
            Ok((change.op, number(&change, "id")?))
        })
        .collect::<Result<_>>()?;
    let expected = [
        (Op::Create, 1),
        (Op::Create, 2),
        (Op::Create, 3),
        (Op::Update, 2),
        (Op::Create, 4),
        (Op::Delete, 3),
        (Op::Create, 30),
        (Op::Delete, 1),
    ];
    ensure!(seen == expected, "{seen:?}");
    // back after kill -9, in the middle of a file with tagged GTIDs
    databus.kill_9()?;
    source.sql("INSERT INTO entry VALUES (5, 'while it was down')")?;
    databus.start_again()?;
    assert_dense(&source.wait_for_changes(9).with_context(|| last_lines(&databus))?)?;
    let gtids = source.checkpoint()?.gtids.context("no gtids")?;
    ensure!(gtids.contains(":tag_a:1"), "{gtids}");
    Ok(())
}

#[test]
fn a_promoted_mysql_replica_is_read_on_without_loss_or_repeat_scenario_7_g1_g2() -> Result<()> {
    failover::promoted_replica(MYSQL)
}

#[test]
fn a_mysql_replica_that_is_behind_is_refused_and_read_on_once_it_has_caught_up_scenario_7() -> Result<()> {
    failover::replica_behind(MYSQL)
}

#[test]
fn a_mysql_failover_within_a_transaction_goes_on_at_the_same_row_g1_g2() -> Result<()> {
    failover::inside_a_transaction(MYSQL)
}

#[test]
fn a_mysql_that_never_had_our_transactions_is_another_server_scenario_5() -> Result<()> {
    failover::stranger(MYSQL)
}

#[test]
fn a_mysql_that_was_begun_anew_is_refused_also_where_it_has_more_transactions_again_scenario_5() -> Result<()>
{
    let stack = own_stack("mysql-reset")?;
    let source = Source::new(&stack, COLUMNS)?;
    let mut databus = source.deployment.databus()?;
    source.sql(
        "INSERT INTO entry VALUES (1, REPEAT('x', 300)); INSERT INTO entry VALUES (2, REPEAT('x', 300))",
    )?;
    source.wait_for_changes(2)?;
    databus.stop()?;
    source.sql("RESET BINARY LOGS AND GTIDS; INSERT INTO entry VALUES (3, 'lost')")?;
    let (code, message) = refusal(&source.deployment)?;
    ensure!(code == Some(12) && message.contains("another history"), "exit code {code:?}:\n{message}");
    for id in 10..30 {
        source.sql(&format!("INSERT INTO entry VALUES ({id}, 'lost as well')"))?;
    }
    let (code, message) = refusal(&source.deployment)?;
    ensure!(code == Some(12) && message.contains("another history"), "exit code {code:?}:\n{message}");
    ensure!(histories(&source.changes()?)?.len() == 2, "changes behind a gap were published");
    Ok(())
}

#[test]
fn a_mysql_that_cannot_be_followed_is_refused_with_the_statements_that_settle_it_g7() -> Result<()> {
    let stack = own_stack("mysql-preflight")?;
    let source = Source::new(&stack, COLUMNS)?;
    source.sql(
        "SET GLOBAL binlog_row_image = MINIMAL; SET GLOBAL binlog_row_metadata = MINIMAL; SET GLOBAL binlog_row_value_options = 'PARTIAL_JSON';
         SET GLOBAL gtid_mode = ON_PERMISSIVE; REVOKE REPLICATION CLIENT ON *.* FROM databus@'127.0.0.1'",
    )?;
    let (code, message) = refusal(&source.deployment)?;
    ensure!(code == Some(1), "exit code {code:?}:\n{message}");
    for part in [
        "binlog_row_image=MINIMAL: wanted FULL (SET GLOBAL binlog_row_image=FULL)",
        "binlog_row_metadata=MINIMAL: wanted FULL (SET GLOBAL binlog_row_metadata=FULL)",
        "binlog_row_value_options=PARTIAL_JSON: wanted nothing",
        "gtid_mode=ON_PERMISSIVE: wanted ON",
        "GRANT REPLICATION CLIENT ON *.* TO `databus`@`127.0.0.1`",
    ] {
        ensure!(message.contains(part), "{part:?} is not in:\n{message}");
    }
    Ok(())
}

#[test]
fn partial_json_updates_are_refused_at_the_start_and_stop_the_stream_in_their_place_g7() -> Result<()> {
    let stack = own_stack("mysql-partial-json")?;
    let source = Source::new(&stack, "id INT PRIMARY KEY, doc JSON NOT NULL")?;
    source.sql("SET GLOBAL binlog_row_value_options = 'PARTIAL_JSON'")?;
    let (code, message) = refusal(&source.deployment)?;
    documented("`binlog_row_value_options=PARTIAL_JSON` (MySQL)", &source.name, code, &message)?;
    source.sql("SET GLOBAL binlog_row_value_options = ''")?;
    let mut databus = source.deployment.databus()?;
    source
        .sql(r#"INSERT INTO entry VALUES (1, '{"a": 1, "b": "a text that is longer than what changes"}')"#)?;
    source.wait_for_changes(1)?;
    // as any session may
    source.sql("SET SESSION binlog_row_value_options = 'PARTIAL_JSON'; UPDATE entry SET doc = JSON_SET(doc, '$.a', 2)")?;
    let code = databus.wait_exit()?;
    documented("a partial JSON update (MySQL)", &source.name, code, &databus.log()?)?;
    ensure!(source.changes()?.len() == 1, "half an update was published");
    Ok(())
}

#[test]
fn a_mysql_is_read_over_tls_from_the_right_server_alone() -> Result<()> {
    source_tls::read_over_tls(MYSQL)
}

#[test]
fn every_value_of_random_tables_streams_as_select_returns_it_on_mysql_scenario_12() -> Result<()> {
    every_value_streams_as_select_returns_it(stack_on(MYSQL)?, MYSQL)
}

#[test]
fn compressed_transactions_savepoints_and_xa_of_mysql_are_what_was_committed_scenarios_3_14_g1_g2_g4()
-> Result<()> {
    let stack = own_stack("mysql-compressed")?;
    let mut source = Source::new(&stack, COLUMNS)?;
    source.deployment.edit(|file| file.set("databus", "commit_max_rows", "500"))?;
    // in every session that connects from here on
    source.sql("SET GLOBAL binlog_transaction_compression = ON")?;
    // more than is kept of one transaction: it is read twice
    let thousands = "WITH RECURSIVE some AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM some WHERE n < 30000)";
    source.sql(&format!(
        "SET cte_max_recursion_depth = 40000; INSERT INTO entry {thousands} SELECT n, RPAD(n * 7919, 300, SHA2(n, 256)) FROM some;
         BEGIN; INSERT INTO entry VALUES (50001, 'kept'); SAVEPOINT s1; DELETE FROM entry WHERE id < 30; ROLLBACK TO s1; COMMIT;
         SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED; XA START 'payment'; UPDATE entry SET note = 'prepared' WHERE id % 100 = 1; XA END 'payment'; XA PREPARE 'payment'"
    ))?;
    let mut databus = source.deployment.databus()?;
    source.wait_for_changes(30_001).with_context(|| last_lines(&databus))?;
    databus.kill_9()?;
    source.sql("INSERT INTO entry VALUES (60001, 'while it was down'); FLUSH BINARY LOGS")?;
    databus.start_again()?;
    source.sql("XA COMMIT 'payment'; DELETE FROM entry WHERE id % 7 = 0; SET SESSION binlog_transaction_compression = OFF; UPDATE entry SET id = id + 100000 WHERE id % 300 = 0")?;
    let replay = source.wait_for_equality(&["id", "note"]).with_context(|| last_lines(&databus))?;
    ensure!(
        replay.rows("entry").values().any(|row| row["note"] == "prepared"),
        "the XA transaction is missing"
    );
    Ok(())
}

#[test]
fn a_first_start_reads_a_mysql_as_it_stands_amid_its_changes_g1_g2() -> Result<()> {
    let stack = own_stack("mysql-snapshot")?;
    let source = Source::new(&stack, COLUMNS)?.with_snapshot("initial", 100)?;
    let thousands = "WITH RECURSIVE some AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM some WHERE n < 5000)";
    source.sql(&format!("SET cte_max_recursion_depth = 40000; INSERT INTO entry {thousands} SELECT n, RPAD(n * 7919, 300, SHA2(n, 256)) FROM some"))?;
    let databus = source.deployment.databus()?;
    for round in 0..30 {
        source.sql(&format!(
            "UPDATE entry SET note = 'round {round}' WHERE id % 30 = {round}; DELETE FROM entry WHERE id % 97 = {round};
             INSERT INTO entry VALUES ({}, 'new'); UPDATE entry SET id = id + 20000 WHERE id % 211 = {round} AND id < 20000",
            10_000 + round
        ))?;
    }
    let replay = source.wait_for_equality(&["id", "note"]).with_context(|| last_lines(&databus))?;
    ensure!(replay.read > 1_000 && replay.open_snapshots() == 0, "{} rows read", replay.read);
    Ok(())
}

#[test]
fn kill_nine_and_ddl_amid_a_snapshot_of_a_mysql_change_nothing_and_no_chunk_is_lost_g1_g2_g4() -> Result<()> {
    kills_and_ddl_amid_a_snapshot(stack_on(MYSQL)?, 5_000)
}
