//! The bill store, read only. The one place of this service that knows SQL.

mod bill;
mod cursor;
mod filters;
mod list;
mod summary;

use std::time::Duration;

use secrecy::ExposeSecret;
use service_kit::Problem;
use sqlx::mysql::{MySqlConnectOptions, MySqlPool, MySqlPoolOptions};

use crate::settings::Settings;

pub(crate) use bill::Bill;
pub(crate) use cursor::{CursorError, Cursors, Position};
pub(crate) use filters::{Direction, Filters};
pub(crate) use summary::Line;

/// The longest wait for a connection. Short: the caller waits too, and can try again.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);
const MOST_CONNECTIONS: u32 = 32;

/// The bill store. Clones share the pool.
#[derive(Clone, Debug)]
pub(crate) struct Bills {
    pool: MySqlPool,
}

impl Bills {
    /// Prepares the pool; the first statement connects.
    pub(crate) fn connect(settings: &Settings) -> Bills {
        let login = &settings.store;
        let options = MySqlConnectOptions::new()
            .host(&login.host)
            .port(login.port)
            .username(&login.user)
            .password(login.password.expose_secret())
            .database(&login.database);
        let pool = MySqlPoolOptions::new()
            .max_connections(MOST_CONNECTIONS)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_lazy_with(options);
        Bills { pool }
    }

    /// Asks the table itself, so that readiness also says when it is not there.
    pub(crate) async fn ping(&self) -> Result<(), String> {
        match sqlx::query("SELECT 1 FROM bill LIMIT 1").fetch_optional(&self.pool).await {
            Ok(_) => Ok(()),
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42S02") => {
                Err("the table bill is missing: run `sync-worker migrate`".to_owned())
            }
            Err(error) => Err(error.to_string()),
        }
    }

    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }
}

/// A statement that failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// The store is away or overloaded; the same request may succeed later.
    #[error("the bill store is away")]
    Away(#[source] sqlx::Error),
    /// The store answered with an error or with what no bill can be.
    #[error("the bill store answered wrong")]
    Wrong(#[source] sqlx::Error),
    #[error("a sum is out of range")]
    SumOutOfRange,
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> StoreError {
        match error {
            sqlx::Error::Io(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::Tls(_) => StoreError::Away(error),
            // too many connections, server shutting down, lock wait timeout, deadlock, statement killed
            sqlx::Error::Database(ref cause)
                if matches!(number(cause.as_ref()), Some(1040 | 1053 | 1205 | 1213 | 1317 | 1927)) =>
            {
                StoreError::Away(error)
            }
            other => StoreError::Wrong(other),
        }
    }
}

fn number(error: &dyn sqlx::error::DatabaseError) -> Option<u16> {
    error.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>().map(sqlx::mysql::MySqlDatabaseError::number)
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Problem {
        match error {
            StoreError::Away(cause) => {
                tracing::warn!(%cause, "the bill store is away");
                Problem::unavailable("store_unavailable", "the bill store is away", Duration::from_secs(1))
            }
            StoreError::Wrong(cause) => Problem::internal(&cause),
            StoreError::SumOutOfRange => Problem::internal(&error),
        }
    }
}
