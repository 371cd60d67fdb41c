//! `wallet-api migrate`: brings the databases `accounting` and `wallet` to this version's schema.

use anyhow::{Context, ensure};
use sqlx::{
    ConnectOptions, Connection, Executor, MySqlConnection, migrate::Migrator, mysql::MySqlConnectOptions,
};

static ACCOUNTING: Migrator = sqlx::migrate!("../migrations/accounting");
static WALLET: Migrator = sqlx::migrate!("../migrations/wallet");

/// How long a second `migrate` waits for the first.
const LOCK_WAIT_SECONDS: i32 = 120;

/// Creates the databases where they are missing and applies what is not applied yet. Running it again changes nothing;
/// two at a time wait for each other.
pub async fn migrate(login: &MySqlConnectOptions) -> anyhow::Result<()> {
    let mut server = login.connect().await.context("connect to wallet_api.database")?;
    lock(&mut server).await?;
    for (database, create, migrator) in [
        (
            "accounting",
            "CREATE DATABASE IF NOT EXISTS accounting CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
            &ACCOUNTING,
        ),
        ("wallet", "CREATE DATABASE IF NOT EXISTS wallet CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", &WALLET),
    ] {
        server.execute(create).await.with_context(|| format!("create the database {database}"))?;
        let opened = login.clone().database(database).connect().await;
        let mut connection = opened.with_context(|| format!("open the database {database}"))?;
        migrator.run(&mut connection).await.with_context(|| format!("migrate the database {database}"))?;
        connection.close().await.with_context(|| format!("leave the database {database}"))?;
        tracing::info!(database, migrations = migrator.iter().count(), "schema is up to date");
    }
    // the lock ends with its session
    server.close().await.context("leave the database server")
}

/// sqlx's own lock asks for a negative timeout, which MariaDB answers at once and without the lock.
async fn lock(server: &mut MySqlConnection) -> anyhow::Result<()> {
    let taken: Option<i64> = sqlx::query_scalar("SELECT GET_LOCK('wallet-api migrate', ?)")
        .bind(LOCK_WAIT_SECONDS)
        .fetch_one(server)
        .await
        .context("take the lock of migrations")?;
    ensure!(
        taken == Some(1),
        "another migration has been running for {LOCK_WAIT_SECONDS} s: let it end, or end it"
    );
    Ok(())
}
