//! What tests of sources rely on: replicas that catch up and are promoted, and servers with certificates.

use it_tests::harness::Flavour;

mod scenes;

#[test]
fn a_promoted_mariadb_replica_has_all_its_sources_history_and_takes_writes() -> anyhow::Result<()> {
    for flavour in [Flavour::MariaDb1011, Flavour::MariaDb118] {
        scenes::failover(flavour)?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mariadb_with_a_certificate_is_known_by_its_authority_and_name_alone() -> anyhow::Result<()> {
    for flavour in [Flavour::MariaDb1011, Flavour::MariaDb118] {
        scenes::certificates(flavour).await?;
    }
    Ok(())
}

#[test]
fn the_daemons_tables_are_created_on_mariadb_11_8() -> anyhow::Result<()> {
    scenes::tables(Flavour::MariaDb118)
}
