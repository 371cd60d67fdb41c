//! Replicas and certificates on MySQL.

use crate::scenes;
use it_tests::harness::Flavour;

#[test]
fn a_promoted_mysql_replica_has_all_its_sources_history_and_takes_writes() -> anyhow::Result<()> {
    scenes::failover(Flavour::MySql97)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mysql_with_a_certificate_is_known_by_its_authority_and_name_alone() -> anyhow::Result<()> {
    scenes::certificates(Flavour::MySql97).await
}

#[test]
fn the_daemons_tables_are_created_on_mysql() -> anyhow::Result<()> {
    scenes::tables(Flavour::MySql97)
}
