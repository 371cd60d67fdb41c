//! The connection to MySQL or MariaDB, and what its errors mean.

use change_event::Timestamp;
use pipeline_config::MySqlLogin;
use secrecy::ExposeSecret;
use sqlx::{
    Executor, MySqlPool, Row,
    mysql::{MySqlConnectOptions, MySqlDatabaseError, MySqlPoolOptions, MySqlRow},
    types::time::PrimitiveDateTime,
};
use std::time::Duration;

/// How long a request waits for a free connection before it is a 503.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);
const DEADLOCK: u16 = 1213;
const LOCK_WAIT_TIMEOUT: u16 = 1205;
const DUPLICATE: u16 = 1062;
/// MariaDB: the row changed since the snapshot (ER_CHECKREAD).
const CHANGED_SINCE_READ: u16 = 1020;
/// Too many connections, server shutting down, connection lost, killed: other servers' bad moments.
const AWAY: [u16; 7] = [1040, 1053, 1077, 1079, 1290, 1836, 1927];

/// The options to log in with; no database is chosen, statements name theirs.
pub(crate) fn options(login: &MySqlLogin) -> anyhow::Result<MySqlConnectOptions> {
    Ok(MySqlConnectOptions::new()
        .host(&login.host)
        .port(login.port)
        .username(&login.user)
        .password(login.password.resolve()?.expose_secret())
        .statement_cache_capacity(256))
}

/// A pool of at most `connections`. Does not connect: a database that is away at start is a matter for readiness.
pub(crate) fn pool(options: MySqlConnectOptions, connections: u32) -> MySqlPool {
    MySqlPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        // a ping per request is a round trip per request; a dead connection is a transient error, and those are retried
        .test_before_acquire(false)
        .after_connect(|connection, _| {
            Box::pin(async move {
                // READ COMMITTED: no gap locks, so strangers' inserts do not wait; reads that must not move use FOR UPDATE
                connection.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED").await?;
                connection.execute("SET SESSION innodb_lock_wait_timeout = 3").await?;
                Ok(())
            })
        })
        .connect_lazy_with(options)
}

/// What a database error asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Deadlock victim: the whole transaction was undone and may be tried again.
    Contention,
    /// Somebody held a lock for too long.
    LockWait,
    /// The server or the way to it is gone for now.
    Away,
    /// A unique key holds such a row already.
    Duplicate,
    /// Trying again would not help.
    Definite,
}

/// The one place that says what to do about an error of the database.
pub(crate) fn verdict(error: &sqlx::Error) -> Verdict {
    match error {
        sqlx::Error::Database(cause) => {
            match cause.try_downcast_ref::<MySqlDatabaseError>().map(MySqlDatabaseError::number) {
                Some(DEADLOCK | CHANGED_SINCE_READ) => Verdict::Contention,
                Some(LOCK_WAIT_TIMEOUT) => Verdict::LockWait,
                Some(DUPLICATE) => Verdict::Duplicate,
                Some(number) if AWAY.contains(&number) => Verdict::Away,
                _ => Verdict::Definite,
            }
        }
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => Verdict::Away,
        _ => Verdict::Definite,
    }
}

/// A DATETIME(6) column in UTC.
pub(crate) fn datetime(row: &MySqlRow, column: &str) -> Result<Timestamp, sqlx::Error> {
    row.try_get::<PrimitiveDateTime, _>(column).map(Timestamp::from_datetime)
}

/// A row that holds what this version does not know; definite.
pub(crate) fn bad_row(cause: impl std::fmt::Display) -> sqlx::Error {
    sqlx::Error::Decode(cause.to_string().into())
}
