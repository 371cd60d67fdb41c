//! Another server of the topology takes over: databus reads on by GTID, or says why it cannot (scenario 7).

use anyhow::Result;
use it_tests::{failover, harness::Flavour};

#[test]
fn a_promoted_mariadb_replica_is_read_on_without_loss_or_repeat_scenario_7_g1_g2() -> Result<()> {
    failover::promoted_replica(Flavour::MariaDb1011)
}

#[test]
fn a_promoted_mariadb_11_8_replica_is_read_on_without_loss_or_repeat_scenario_7_g1_g2() -> Result<()> {
    failover::promoted_replica(Flavour::MariaDb118)
}

#[test]
fn a_mariadb_replica_that_is_behind_is_refused_and_read_on_once_it_has_caught_up_scenario_7() -> Result<()> {
    failover::replica_behind(Flavour::MariaDb1011)
}

#[test]
fn a_failover_within_a_transaction_goes_on_at_the_same_row_g1_g2() -> Result<()> {
    failover::inside_a_transaction(Flavour::MariaDb1011)
}

#[test]
fn a_mariadb_that_never_had_our_transactions_is_another_server_scenario_5() -> Result<()> {
    failover::stranger(Flavour::MariaDb1011)
}
