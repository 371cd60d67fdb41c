//! Asked before every connection to the binlog: which captured columns are of types that the table map does not tell from BINARY and
//! VARBINARY. A row is checked against this: a column that the log has with another length stays what the log says.

use super::{login, transport::TransportError};
use crate::binlog::column::{Told, ToldColumn};
use pipeline_config::Source;
use secrecy::SecretString;
use sqlx::{Connection, Row};
use std::time::Duration;

/// Longest wait for the server's answer.
const ANSWER: Duration = Duration::from_secs(30);

/// UUID, INET4, INET6 and VECTOR columns of MariaDB in the captured tables, as they are now.
pub(crate) async fn told_columns(
    source: &Source,
    password: &SecretString,
) -> Result<Vec<ToldColumn>, TransportError> {
    match tokio::time::timeout(ANSWER, ask(source, password)).await {
        Ok(asked) => asked
            .map_err(|cause| TransportError::Lost(format!("cannot ask for the types of columns: {cause}"))),
        Err(_) => Err(TransportError::Lost(format!("the server did not answer within {ANSWER:?}"))),
    }
}

async fn ask(source: &Source, password: &SecretString) -> Result<Vec<ToldColumn>, sqlx::Error> {
    let mut connection = login::ask(source, password).await?;
    let rows = sqlx::query(
        "SELECT table_schema, table_name, column_name, CAST(data_type AS CHAR) FROM information_schema.columns \
         WHERE data_type IN ('uuid', 'inet4', 'inet6', 'vector')",
    )
    .fetch_all(&mut connection)
    .await?;
    let mut told = Vec::new();
    for row in rows {
        let (database, table): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        let data_type: String = row.try_get(3)?;
        let captured =
            source.tables.iter().any(|wanted| wanted.database() == database && wanted.table() == table);
        if let Some(kind) = Told::of_data_type(&data_type).filter(|_| captured) {
            told.push(ToldColumn { database, table, column: row.try_get(2)?, told: kind });
        }
    }
    // a failed goodbye changes nothing
    let _ = connection.close().await;
    Ok(told)
}
