//! `wallet-api migrate`: brings the databases `accounting` and `wallet` to this version's schema.

use anyhow::Context;
use sqlx::{ConnectOptions, Connection, Executor, migrate::Migrator, mysql::MySqlConnectOptions};

static ACCOUNTING: Migrator = sqlx::migrate!("../migrations/accounting");
static WALLET: Migrator = sqlx::migrate!("../migrations/wallet");

/// Creates the databases where they are missing and applies what is not applied yet. Running it again changes nothing;
/// two at a time wait for each other.
pub async fn migrate(login: &MySqlConnectOptions) -> anyhow::Result<()> {
    for (database, create, migrator) in [
        (
            "accounting",
            "CREATE DATABASE IF NOT EXISTS accounting CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
            &ACCOUNTING,
        ),
        ("wallet", "CREATE DATABASE IF NOT EXISTS wallet CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", &WALLET),
    ] {
        let mut server = login.connect().await.context("connect to wallet_api.database")?;
        server.execute(create).await.with_context(|| format!("create the database {database}"))?;
        server.close().await.context("leave the database server")?;
        let mut connection = login
            .clone()
            .database(database)
            .connect()
            .await
            .with_context(|| format!("open the database {database}"))?;
        migrator.run(&mut connection).await.with_context(|| format!("migrate the database {database}"))?;
        connection.close().await.with_context(|| format!("leave the database {database}"))?;
        tracing::info!(database, migrations = migrator.iter().count(), "schema is up to date");
    }
    Ok(())
}
