//! The same scenes for each flavour.

use anyhow::{Result, ensure};
use it_tests::harness::{DatabaseServer, Deployment, Flavour, Part, ServerOptions, Service, Stack};
use it_tests::shared::{fresh, stack_on, unique};
use it_tests::tls::{LOOPBACK, TestCa};
use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};
use sqlx::{ConnectOptions, Connection};
use std::path::Path;

/// Source and replica, a power cut of the source, promotion, and the old source as a replica of the new one.
pub(crate) fn failover(flavour: Flavour) -> Result<()> {
    let mut stack = Stack::start(fresh(&unique("failover")).only(&[Part::MariaDb]).flavour(flavour))?;
    let source = stack.mariadb()?;
    source.sql("CREATE TABLE bills.kept (id INT PRIMARY KEY); INSERT INTO bills.kept VALUES (1)")?;
    let replica = source.start_replica(ServerOptions::beside(&stack, "replica"))?;
    source.sql("INSERT INTO bills.kept VALUES (2)")?;
    replica.wait_caught_up(source)?;
    assert_eq!(replica.gtids()?, source.gtids()?);

    stack.mariadb_mut()?.kill_9()?;
    replica.promote()?;
    assert_eq!(replica.sql("SELECT id FROM bills.kept; SELECT @@read_only")?, "1\n2\n0\n");
    replica.sql("INSERT INTO bills.kept VALUES (3)")?;

    stack.mariadb_mut()?.start_again()?;
    let former = stack.mariadb()?;
    former.follow(&replica)?;
    former.wait_caught_up(&replica)?;
    assert_eq!(former.sql("SELECT id FROM bills.kept")?, "1\n2\n3\n");
    assert_eq!(former.gtids()?, replica.gtids()?);
    Ok(())
}

/// A user that must come over TLS: right authority and name, no TLS, another authority, another name, out of date.
pub(crate) async fn certificates(flavour: Flavour) -> Result<()> {
    let stack = Stack::start(fresh(&unique("tls")).only(&[]))?;
    let folder = stack.dir().join("certificates");
    let (ours, others) = (TestCa::new(&folder, "ours")?, TestCa::new(&folder, "others")?);

    let server = ServerOptions::beside(&stack, "good").tls(&ours.sign("good", &LOOPBACK)?);
    let server = DatabaseServer::start(flavour, server)?;
    server.require_tls("databus")?;
    login(&server, MySqlSslMode::VerifyIdentity, ours.file()).await?;
    ensure!(
        login(&server, MySqlSslMode::Disabled, ours.file()).await.is_err(),
        "{flavour}: let in without tls"
    );
    let stranger = login(&server, MySqlSslMode::VerifyCa, others.file()).await;
    ensure!(stranger.is_err(), "{flavour}: believed a server of another authority");

    let wrong = ServerOptions::beside(&stack, "wrong").tls(&ours.sign("wrong", &["db.example"])?);
    let wrong = DatabaseServer::start(flavour, wrong)?;
    login(&wrong, MySqlSslMode::VerifyCa, ours.file()).await?;
    let misnamed = login(&wrong, MySqlSslMode::VerifyIdentity, ours.file()).await;
    ensure!(misnamed.is_err(), "{flavour}: believed a server under another name");

    let late = ServerOptions::beside(&stack, "late").tls(&ours.sign_expired("late", &LOOPBACK)?);
    let late = DatabaseServer::start(flavour, late)?;
    let expired = login(&late, MySqlSslMode::VerifyIdentity, ours.file()).await;
    ensure!(expired.is_err(), "{flavour}: believed a certificate past its date");
    Ok(())
}

/// The daemons' own tables and accounts: a payment's ledger, the wallet, the bill store.
pub(crate) fn tables(flavour: Flavour) -> Result<()> {
    let stack = stack_on(flavour)?;
    let deployment = Deployment::edited(stack, &unique("tables"), |file| file.remove_section("index"))?;
    deployment.migrate()?;
    let tables = stack.mariadb()?.sql(
        "SELECT table_name FROM information_schema.tables
         WHERE table_schema IN ('accounting', 'wallet', 'bills') AND table_name IN ('entry', 'merchant', 'bill')
         ORDER BY 1",
    )?;
    ensure!(tables == "bill\nentry\nmerchant\n", "{flavour}: {tables}");
    Ok(())
}

async fn login(server: &DatabaseServer, mode: MySqlSslMode, ca: &Path) -> Result<()> {
    let options: MySqlConnectOptions = server.url("databus", "accounting")?.parse()?;
    let mut connection = options.ssl_mode(mode).ssl_ca(ca).connect().await?;
    let cipher: (String, String) =
        sqlx::query_as("SHOW SESSION STATUS LIKE 'Ssl_cipher'").fetch_one(&mut connection).await?;
    ensure!(!cipher.1.is_empty() || matches!(mode, MySqlSslMode::Disabled), "no tls: {cipher:?}");
    connection.close().await?;
    Ok(())
}
