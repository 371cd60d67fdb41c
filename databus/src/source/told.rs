//! Asked before every connection to the binlog: which captured columns are of types that the table map does not tell from BINARY and
//! VARBINARY, and which the server computes. A row is checked against this: a column that the log has with another length stays what
//! the log says, and one that the log has although it is computed is read.

use super::{login, transport::TransportError};
use crate::binlog::column::{Told, ToldColumn};
use pipeline_config::Source;
use secrecy::SecretString;
use sqlx::{Connection, Row};
use std::time::Duration;

/// Longest wait for the server's answer.
const ANSWER: Duration = Duration::from_secs(30);

/// Generated columns, and UUID, INET4, INET6 and VECTOR columns of MariaDB, in the captured tables as they are now.
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
    let mut found = Vec::new();
    for table in &source.tables {
        let rows = sqlx::query(
            "SELECT table_schema, table_name, column_name, CAST(data_type AS CHAR), COALESCE(generation_expression, '') <> '' \
             FROM information_schema.columns WHERE table_schema = ? AND table_name = ?",
        )
        .bind(table.database())
        .bind(table.table())
        .fetch_all(&mut connection)
        .await?;
        for row in rows {
            let data_type: String = row.try_get(3)?;
            let (told, generated) = (Told::of_data_type(&data_type), row.try_get(4)?);
            if told.is_some() || generated {
                let (database, table, column) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
                found.push(ToldColumn { database, table, column, told, generated });
            }
        }
    }
    // a failed goodbye changes nothing
    let _ = connection.close().await;
    Ok(found)
}
