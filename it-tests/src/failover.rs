//! The same scenes of failover for each make of server: another server of the topology takes over, and databus reads on by GTID.

use crate::{
    documented::documented,
    harness::{DatabaseServer, Flavour, Part, ServerOptions, Service, Stack},
    shared::fresh,
    source::{Source, assert_dense, histories, last_lines, refusal},
};
use anyhow::{Context, Result, ensure};
use change_event::{Epoch, envelope::Op};

const COLUMNS: &str = "id INT PRIMARY KEY, note VARCHAR(400) NOT NULL";

fn source_and_replica(name: &str, flavour: Flavour) -> Result<(Stack, DatabaseServer)> {
    let stack = Stack::start(fresh(name).only(&[Part::MariaDb, Part::Kafka]).flavour(flavour))?;
    // other file names and offsets than the source's
    let options = ServerOptions::beside(&stack, "replica").arg("--log-bin=other-bin");
    let replica = stack.mariadb()?.start_replica(options)?;
    replica.sql("FLUSH BINARY LOGS; FLUSH BINARY LOGS")?;
    Ok((stack, replica))
}

/// A promoted replica with other files, offsets and id is read on with the same epoch and dense `seq`, whether databus was down or not.
pub fn promoted_replica(flavour: Flavour) -> Result<()> {
    let (stack, replica) = source_and_replica(&format!("failover-{}", unique_part(flavour)), flavour)?;
    let mut source = Source::new(&stack, COLUMNS)?;
    let mut databus = source.deployment.databus()?;
    source.sql("INSERT INTO entry VALUES (1, 'a'), (2, 'b'); UPDATE entry SET note = 'c' WHERE id = 1")?;
    source.wait_for_changes(3)?;
    databus.stop()?;
    // committed, replicated, and not read yet
    source.sql("INSERT INTO entry VALUES (3, 'unread')")?;
    replica.wait_caught_up(stack.mariadb()?)?;
    replica.promote()?;
    on(
        &replica,
        &source,
        "INSERT INTO entry VALUES (4, 'on the new source'); DELETE FROM entry WHERE id = 2",
    )?;
    source.read_from(&replica)?;
    databus.start_again()?;
    let changes = source.wait_for_changes(6).with_context(|| last_lines(&databus))?;
    let last = assert_dense(&changes)?;
    ensure!(last.epoch() == Epoch::FIRST, "the epoch was raised");
    let histories = histories(&changes)?;
    ensure!(histories[&2] == [Op::Create, Op::Delete] && histories[&4] == [Op::Create], "{histories:?}");
    // and it is the new server's positions that count from here on
    databus.kill_9()?;
    on(&replica, &source, "INSERT INTO entry VALUES (5, 'after')")?;
    databus.start_again()?;
    assert_dense(&source.wait_for_changes(7).with_context(|| last_lines(&databus))?)?;
    let identity = source.checkpoint()?.source_identity;
    ensure!(identity.server_id == 2, "{identity:?}");
    Ok(())
}

/// A replica that rows of ours never reached is refused with an error of its own, and read on once it has them.
pub fn replica_behind(flavour: Flavour) -> Result<()> {
    let (stack, replica) = source_and_replica(&format!("behind-{}", unique_part(flavour)), flavour)?;
    let mut source = Source::new(&stack, COLUMNS)?;
    let mut databus = source.deployment.databus()?;
    source.sql("INSERT INTO entry VALUES (1, 'a')")?;
    source.wait_for_changes(1)?;
    replica.wait_caught_up(stack.mariadb()?)?;
    replica.sql(if flavour.is_mysql() { "STOP REPLICA" } else { "STOP SLAVE" })?;
    source.sql("INSERT INTO entry VALUES (2, 'not replicated')")?;
    source.wait_for_changes(2)?;
    databus.stop()?;
    source.read_from(&replica)?;
    let (code, message) = refusal(&source.deployment)?;
    ensure!(code == Some(15) && message.contains("is behind them"), "exit code {code:?}:\n{message}");
    if !flavour.is_mysql() {
        documented(
            "lost position: a server that took over and has not all transactions",
            &source.name,
            code,
            &message,
        )?;
    }
    replica.sql(if flavour.is_mysql() { "START REPLICA" } else { "START SLAVE" })?;
    replica.wait_caught_up(stack.mariadb()?)?;
    replica.promote()?;
    on(&replica, &source, "INSERT INTO entry VALUES (3, 'on the new source')")?;
    databus.start_again()?;
    let changes = source.wait_for_changes(3).with_context(|| last_lines(&databus))?;
    assert_dense(&changes)?;
    Ok(())
}

/// A transaction that was published in part goes on at the same row on a server that wrote it in smaller events.
pub fn inside_a_transaction(flavour: Flavour) -> Result<()> {
    let stack = Stack::start(
        fresh(&format!("inside-{}", unique_part(flavour)))
            .only(&[Part::MariaDb, Part::Kafka])
            .flavour(flavour),
    )?;
    let options = ServerOptions::beside(&stack, "replica")
        .arg("--log-bin=other-bin")
        .arg("--binlog-row-event-max-size=1024");
    let replica = stack.mariadb()?.start_replica(options)?;
    let mut source = Source::new(&stack, COLUMNS)?;
    source.deployment.edit(|file| file.set("databus", "commit_max_rows", "500"))?;
    let mut databus = source.deployment.databus()?;
    let rows = 30_000;
    source.sql(&format!(
        "SET SESSION cte_max_recursion_depth = 1000000; INSERT INTO entry \
         WITH RECURSIVE n AS (SELECT 1 AS id UNION ALL SELECT id + 1 FROM n WHERE id < {rows}) SELECT id, REPEAT('x', 300) FROM n"
    )
    .replace(
        "SET SESSION cte_max_recursion_depth",
        if flavour.is_mysql() { "SET SESSION cte_max_recursion_depth" } else { "SET SESSION max_recursive_iterations" },
    ))?;
    crate::harness::wait_until("the first pieces", crate::source::SOON, || {
        match databus.metric("databus_seq") {
            Ok(Some(seq)) if seq > 0.0 => Ok(()),
            other => Err(crate::harness::Not::Yet(format!("{other:?}"))),
        }
    })?;
    databus.kill_9()?;
    let before = source.changes()?.len();
    let inside = source.checkpoint()?.inside.context("the kill came too late to cut the transaction")?;
    ensure!(inside.changes.values().sum::<u64>() == before as u64, "{inside:?} after {before} changes");
    replica.wait_caught_up(stack.mariadb()?)?;
    replica.promote()?;
    source.read_from(&replica)?;
    databus.start_again()?;
    let changes = source.wait_for_changes(rows).with_context(|| last_lines(&databus))?;
    assert_dense(&changes)?;
    let histories = histories(&changes)?;
    ensure!(
        histories.len() == rows && histories.values().all(|ops| ops == &[Op::Create]),
        "rows are missing or doubled"
    );
    println!("went over with {before} of {rows} changes visible");
    Ok(())
}

/// A server that never had our transactions is another server, whatever its files are called.
pub fn stranger(flavour: Flavour) -> Result<()> {
    let stack = Stack::start(
        fresh(&format!("stranger-{}", unique_part(flavour)))
            .only(&[Part::MariaDb, Part::Kafka])
            .flavour(flavour),
    )?;
    let mut source = Source::new(&stack, COLUMNS)?;
    let mut databus = source.deployment.databus()?;
    source.sql("INSERT INTO entry VALUES (1, 'a')")?;
    source.wait_for_changes(1)?;
    databus.stop()?;
    let other = DatabaseServer::start(flavour, ServerOptions::beside(&stack, "stranger").server_id(77))?;
    other.create_database(&source.name)?;
    on(
        &other,
        &source,
        &format!("CREATE TABLE entry ({COLUMNS}); INSERT INTO entry VALUES (1, 'of another')"),
    )?;
    source.read_from(&other)?;
    let (code, message) = refusal(&source.deployment)?;
    ensure!(
        code == Some(13) && message.contains("the checkpoint belongs to the server"),
        "exit code {code:?}:\n{message}"
    );
    if !flavour.is_mysql() {
        documented("lost position: another server at the address", &source.name, code, &message)?;
    }
    ensure!(source.changes()?.len() == 1, "changes of another server were published");
    Ok(())
}

fn on(server: &DatabaseServer, source: &Source<'_>, statements: &str) -> Result<String> {
    server.sql(&format!("USE {};\n{statements}", source.name))
}

fn unique_part(flavour: Flavour) -> String {
    flavour.to_string().to_lowercase().replace([' ', '.'], "-")
}
