//! Links that break in every way, and readers that take each other's place.

use super::{SOON, Source, assert_dense, last_lines};
use crate::shared::{fresh, stack};
use anyhow::{Context, Result, ensure};
use it_tests::{
    documented::documented,
    harness::{Fault, Flavour, Not, Part, Service, Stack, wait_until},
    source_tls,
};

const COLUMNS: &str = "id INT PRIMARY KEY, note VARCHAR(40) NOT NULL";

#[test]
fn a_half_open_link_is_noticed_within_seconds_and_costs_nothing_scenario_17() -> Result<()> {
    let mut source = Source::new(stack()?, COLUMNS)?;
    let proxy = source.read_through_a_proxy()?;
    let databus = source.deployment.databus()?;
    source.sql("INSERT INTO entry VALUES (1, 'x')")?;
    source.wait_for_changes(1)?;
    // neither data nor an end of the connection comes through any more
    proxy.set(Fault::Freeze);
    source.sql("INSERT INTO entry VALUES (2, 'on the dead link')")?;
    wait_until("the dead link to be noticed", SOON, || match databus.log() {
        Ok(log) if log.contains("neither event nor heartbeat for 3s") => Ok(()),
        Ok(_) => Err(Not::Yet(last_lines(&databus))),
        Err(error) => Err(Not::yet(error)),
    })?;
    proxy.cut();
    proxy.set(Fault::None);
    assert_dense(&source.wait_for_changes(2).with_context(|| last_lines(&databus))?)?;
    Ok(())
}

#[test]
fn a_source_that_dies_within_a_transaction_and_comes_back_is_read_on_scenario_17() -> Result<()> {
    let mut stack = Stack::start(fresh("links-restart").only(&[Part::MariaDb, Part::Kafka]))?;
    let source = Source::new(&stack, COLUMNS)?;
    let (name, deployment) = (source.name.clone(), source.deployment.clone());
    let databus = deployment.databus()?;
    source
        .sql("INSERT INTO entry VALUES (1, 'x'); BEGIN; INSERT INTO entry VALUES (2, 'never committed')")?;
    source.wait_for_changes(1)?;
    stack.mariadb_mut()?.kill_9()?;
    stack.mariadb_mut()?.start_again()?;
    let source = Source { stack: &stack, name, deployment };
    source.sql("INSERT INTO entry VALUES (3, 'after')")?;
    assert_dense(&source.wait_for_changes(2).with_context(|| last_lines(&databus))?)?;
    Ok(())
}

#[test]
fn of_two_readers_with_one_server_id_the_older_ends_with_an_error_of_its_own_in_both_orders_scenario_8()
-> Result<()> {
    let stack = Stack::start(fresh("links-clash").only(&[Part::MariaDb, Part::Kafka]))?;
    let (one, mut other) = (Source::new(&stack, COLUMNS)?, Source::new(&stack, COLUMNS)?);
    let section = format!("source.{}", other.name);
    other.deployment.edit(|file| file.set(&section, "server_id", "4711"))?;
    let mut one = one;
    let section = format!("source.{}", one.name);
    one.deployment.edit(|file| file.set(&section, "server_id", "4711"))?;
    let mut first = one.deployment.databus()?;
    let mut second = other.deployment.databus()?;
    let told = |code: Option<i32>, log: String| {
        ensure!(code == Some(14) && log.contains("the same server_id 4711"), "exit code {code:?}:\n{log}");
        Ok(())
    };
    told(first.wait_exit()?, first.log()?)?;
    documented(
        "lost position: two readers with one `server_id`",
        &one.name,
        first.process_mut().exit_status().and_then(|status| status.code()),
        &first.log()?,
    )?;
    first.start_again()?;
    told(second.wait_exit()?, second.log()?)?;
    // the one that is left reads in peace
    one.sql("INSERT INTO entry VALUES (1, 'x')")?;
    one.wait_for_changes(1)?;
    Ok(())
}

#[test]
fn the_checkpoint_of_an_idle_table_moves_with_its_busy_neighbours_scenario_16() -> Result<()> {
    let stack = Stack::start(fresh("links-idle").only(&[Part::MariaDb, Part::Kafka]))?;
    let source = Source::new(&stack, COLUMNS)?;
    let _databus = source.deployment.databus()?;
    source.sql("CREATE TABLE busy (id INT PRIMARY KEY); INSERT INTO busy VALUES (1); FLUSH BINARY LOGS; INSERT INTO busy VALUES (2)")?;
    let gtid = source.sql("SELECT @@gtid_binlog_pos")?;
    wait_until("the checkpoint to follow", SOON, || match source.checkpoint() {
        Ok(checkpoint)
            if checkpoint.gtid.as_deref() == Some(gtid.trim())
                && checkpoint.position.file.ends_with(".000002") =>
        {
            Ok(())
        }
        Ok(checkpoint) => Err(Not::Yet(format!("{checkpoint:?}"))),
        Err(error) => Err(Not::yet(error)),
    })?;
    ensure!(source.changes()?.is_empty(), "changes of a table that nobody captures");
    Ok(())
}

#[test]
fn a_mariadb_is_read_over_tls_from_the_right_server_alone() -> Result<()> {
    source_tls::read_over_tls(Flavour::MariaDb1011)
}
