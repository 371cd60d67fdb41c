//! Connections to the bill store and the sources, and what is asked of their catalogues.

use std::time::Duration;

use pipeline_config::{Config, MySqlLogin, SecretError, Source, Store, TableName};
use secrecy::ExposeSecret as _;
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, MySqlConnection, MySqlPool, Row as _,
    mysql::{MySqlConnectOptions, MySqlPoolOptions},
};

use crate::mapping::{Column, TableShape, TableShapes};

/// A server that does not answer in this time counts as down.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a second `migrate` waits for the first.
const LOCK_WAIT_SECONDS: i32 = 120;

/// A MySQL or MariaDB server could not be used.
#[derive(Debug, thiserror::Error)]
pub enum MySqlError {
    /// The password is not there.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// No connection, or a statement failed.
    #[error("{role} at {host}:{port}: {cause}")]
    Failed {
        /// `bill store` or `source <name>`.
        role: String,
        /// Host.
        host: String,
        /// Port.
        port: u16,
        /// What the server or the network said.
        cause: String,
        /// True if it did not answer at all: it may come back.
        away: bool,
    },
    /// The schema is not there.
    #[error("bill store at {host}:{port} lacks its tables, or one of them: run `sync-worker migrate`")]
    NotMigrated {
        /// Host.
        host: String,
        /// Port.
        port: u16,
    },
    /// Another migration does not end.
    #[error(
        "migrate the bill store at {host}:{port}: another migration has been running for {LOCK_WAIT_SECONDS} s; let it end, or end it"
    )]
    Locked {
        /// Host.
        host: String,
        /// Port.
        port: u16,
    },
    /// A migration failed.
    #[error("migrate the bill store at {host}:{port}: {cause}")]
    Migrate {
        /// Host.
        host: String,
        /// Port.
        port: u16,
        /// Why.
        cause: sqlx::migrate::MigrateError,
    },
}

fn failed(role: &str, login: &MySqlLogin) -> impl Fn(sqlx::Error) -> MySqlError {
    let (role, host, port) = (role.to_owned(), login.host.clone(), login.port);
    move |error| MySqlError::Failed {
        role: role.clone(),
        host: host.clone(),
        port,
        cause: error.to_string(),
        away: matches!(error, sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut),
    }
}

fn options(login: &MySqlLogin) -> Result<MySqlConnectOptions, SecretError> {
    let password = login.password.resolve()?;
    Ok(MySqlConnectOptions::new()
        .host(&login.host)
        .port(login.port)
        .username(&login.user)
        .password(password.expose_secret())
        // the batch statements: eleven sizes, and a few more
        .statement_cache_capacity(64)
        // a statement whose answer is streamed is as slow as its reader: that is no alarm
        .disable_statement_logging())
}

/// A pool on the bill store whose sessions refuse what does not fit in place of cutting it. Connects on first use.
pub fn store_pool(store: &Store) -> Result<MySqlPool, MySqlError> {
    let strict = "SET SESSION sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES')";
    Ok(MySqlPoolOptions::new()
        .max_connections(4)
        .acquire_timeout(CONNECT_TIMEOUT)
        .after_connect(move |connection, _| {
            Box::pin(async move {
                connection.execute(strict).await?;
                Ok(())
            })
        })
        .connect_lazy_with(options(&store.login)?.database(&store.database)))
}

/// Whether the bill store answers and has its tables.
pub async fn check_store(pool: &MySqlPool, store: &Store) -> Result<(), MySqlError> {
    match sqlx::query("SELECT b.version, q.id FROM bill b, quarantine q LIMIT 0").execute(pool).await {
        Ok(_) => Ok(()),
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42S02") => {
            Err(MySqlError::NotMigrated { host: store.login.host.clone(), port: store.login.port })
        }
        Err(error) => Err(failed("bill store", &store.login)(error)),
    }
}

/// Creates the bill store's database and brings its tables up to date; a second run changes nothing.
pub async fn migrate_store(store: &Store) -> Result<(), MySqlError> {
    let failed = failed("bill store", &store.login);
    let mut server = MySqlConnection::connect_with(&options(&store.login)?).await.map_err(&failed)?;
    // safe: the configuration takes only letters, digits and _ as the name
    let create = format!(
        "CREATE DATABASE IF NOT EXISTS `{}` DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
        store.database
    );
    // sqlx's own lock asks for a negative timeout, which MariaDB answers at once and without the lock; a lock's name has
    // 64 letters at most, and MySQL 9 has no SHA1 any more
    let taken: Option<i64> =
        sqlx::query_scalar("SELECT GET_LOCK(CONCAT('sync-worker migrate ', LEFT(SHA2(?, 256), 40)), ?)")
            .bind(&store.database)
            .bind(LOCK_WAIT_SECONDS)
            .fetch_one(&mut server)
            .await
            .map_err(&failed)?;
    if taken != Some(1) {
        return Err(MySqlError::Locked { host: store.login.host.clone(), port: store.login.port });
    }
    server.execute(AssertSqlSafe(create)).await.map_err(&failed)?;
    let pool = store_pool(store)?;
    sqlx::migrate!("../migrations/bills").run(&pool).await.map_err(|cause| MySqlError::Migrate {
        host: store.login.host.clone(),
        port: store.login.port,
        cause,
    })?;
    pool.close().await;
    // the lock ends with its session
    server.close().await.map_err(&failed)
}

/// The shapes of every table that a pipeline reads, as the sources hold them now. A table that is not there has none.
pub async fn live_shapes(config: &Config) -> Result<TableShapes, MySqlError> {
    let mut shapes = TableShapes::new();
    for source in &config.sources {
        let tables = config.pipelines.iter().filter(|p| p.source == source.name).map(|p| &p.table);
        let tables: std::collections::BTreeSet<&TableName> = tables.collect();
        if tables.is_empty() {
            continue;
        }
        let role = format!("source {}", source.name);
        let failed = failed(&role, &source.login);
        let mut connection = source_connection(source).await?;
        for table in tables {
            if let Some(shape) = shape(&mut connection, table).await.map_err(&failed)? {
                shapes.insert((source.name.clone(), table.clone()), shape);
            }
        }
        connection.close().await.map_err(&failed)?;
    }
    Ok(shapes)
}

async fn shape(
    connection: &mut MySqlConnection,
    table: &TableName,
) -> Result<Option<TableShape>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT CAST(column_name AS CHAR), CAST(data_type AS CHAR), CAST(column_type AS CHAR), CAST(is_nullable AS CHAR),
                CAST(COALESCE(datetime_precision, 0) AS UNSIGNED), CAST(COALESCE(numeric_scale, 0) AS UNSIGNED)
         FROM information_schema.columns WHERE table_schema = ? AND table_name = ? ORDER BY ordinal_position",
    )
    .bind(table.database())
    .bind(table.table())
    .fetch_all(&mut *connection)
    .await?;
    if rows.is_empty() {
        return Ok(None);
    }
    let small = |number: u64| u8::try_from(number).unwrap_or(u8::MAX);
    let mut shape = TableShape::default();
    for row in rows {
        shape.columns.push(Column {
            name: row.try_get(0)?,
            data_type: row.try_get::<String, _>(1)?.to_lowercase(),
            column_type: row.try_get::<String, _>(2)?.to_lowercase(),
            nullable: row.try_get::<String, _>(3)? == "YES",
            time_digits: small(row.try_get(4)?),
            scale: small(row.try_get(5)?),
        });
    }
    shape.primary_key = sqlx::query_scalar(
        "SELECT CAST(column_name AS CHAR) FROM information_schema.statistics
         WHERE table_schema = ? AND table_name = ? AND index_name = 'PRIMARY' ORDER BY seq_in_index",
    )
    .bind(table.database())
    .bind(table.table())
    .fetch_all(connection)
    .await?;
    Ok(Some(shape))
}

/// A connection to a source, for reading its tables.
pub async fn source_connection(source: &Source) -> Result<MySqlConnection, MySqlError> {
    let role = format!("source {}", source.name);
    let failed = failed(&role, &source.login);
    let options = options(&source.login)?;
    match tokio::time::timeout(CONNECT_TIMEOUT, MySqlConnection::connect_with(&options)).await {
        Ok(connected) => connected.map_err(failed),
        Err(_) => Err(failed(sqlx::Error::PoolTimedOut)),
    }
}
