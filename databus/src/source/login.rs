//! Connections for questions to a source, as well protected as its binlog's own.

use pipeline_config::{Source, TlsMode};
use secrecy::{ExposeSecret, SecretString};
use sqlx::{
    Connection, MySqlConnection,
    mysql::{MySqlConnectOptions, MySqlDatabaseError, MySqlSslMode},
};
use std::time::Duration;

/// Longest wait for a connection.
pub(super) const CONNECT: Duration = Duration::from_secs(10);

/// Opens a connection for questions to the source.
pub(crate) async fn ask(source: &Source, password: &SecretString) -> Result<MySqlConnection, sqlx::Error> {
    let mut options = MySqlConnectOptions::new()
        .host(&source.login.host)
        .port(source.login.port)
        .username(&source.login.user)
        .password(password.expose_secret())
        .ssl_mode(match source.tls.mode {
            TlsMode::Disabled => MySqlSslMode::Disabled,
            TlsMode::Required => MySqlSslMode::Required,
            TlsMode::VerifyCa => MySqlSslMode::VerifyCa,
            TlsMode::VerifyIdentity => MySqlSslMode::VerifyIdentity,
        });
    if let Some(ca) = &source.tls.ca {
        options = options.ssl_ca(ca);
    }
    if let Some((cert, key)) = &source.tls.identity {
        options = options.ssl_client_cert(cert).ssl_client_key(key);
    }
    tokio::time::timeout(CONNECT, MySqlConnection::connect_with(&options)).await.unwrap_or_else(|_| {
        Err(sqlx::Error::Io(std::io::Error::new(
            std::io::ErrorKind::TimedOut,
            format!("no answer within {CONNECT:?}"),
        )))
    })
}

/// The server's error number, where it was the server that said no.
pub(crate) fn server_error(cause: &sqlx::Error) -> Option<u16> {
    let sqlx::Error::Database(cause) = cause else { return None };
    cause.try_downcast_ref::<MySqlDatabaseError>().map(MySqlDatabaseError::number)
}
