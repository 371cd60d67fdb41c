//! One connection that reads: the table as it stood at a known place of the binlog, one chunk at a time.

use super::{
    board::Opened,
    consistent::begin,
    piece::Piece,
    table::{Bounded, Definition, Table},
};
use crate::source::{connect, server_error};
use change_event::checkpoint::{BinlogPosition, TableSnapshot};
use futures::TryStreamExt;
use pipeline_config::Source;
use secrecy::SecretString;
use sqlx::{AssertSqlSafe, Executor, MySqlConnection, Row, mysql::MySqlArguments, query::Query};
use std::{sync::Arc, time::Duration};

/// Rows of a chunk beyond so many bytes wait for the next one: 16 MiB.
const MOST_BYTES: usize = 16 << 20;
/// Longest wait for one answer; after it the connection counts as dead.
const ANSWER: Duration = Duration::from_secs(120);

/// Our side of the session: values come in forms that do not depend on the server's settings, and nothing is written.
const SESSION: &str = "SET SESSION time_zone = '+00:00', sql_mode = '', character_set_results = utf8mb4; \
                       SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ; SET SESSION TRANSACTION READ ONLY";

/// Why a read brought nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    /// The server, or the way to it.
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
    /// The table cannot be read as it is now.
    #[error("{0}")]
    Unreadable(String),
    /// The table was altered while it was read.
    #[error("the table was altered while it was read")]
    Altered,
    /// So few rows already weigh as much as a chunk may.
    #[error("{0} rows are as much as a chunk may weigh")]
    TooLarge(u64),
    /// Definite: the operator's predicate.
    #[error("the filter is refused: {0}")]
    Filter(String),
    /// Nobody waits for it any more.
    #[error("the stream has ended")]
    Stopped,
}

/// Reads one table over one connection, which is made when it is needed.
pub(super) struct ChunkReader {
    source: Arc<Source>,
    password: SecretString,
    database: String,
    name: String,
    filter: Option<String>,
    connection: Option<MySqlConnection>,
    table: Option<Table>,
}

impl ChunkReader {
    pub(super) fn new(source: Arc<Source>, password: SecretString, snapshot: &TableSnapshot) -> Self {
        Self {
            source,
            password,
            database: snapshot.database.clone(),
            name: snapshot.table.clone(),
            filter: snapshot.filter.clone(),
            connection: None,
            table: None,
        }
    }

    /// Starts over with a new connection and a new look at the table.
    pub(super) fn forget(&mut self) {
        self.connection = None;
        self.table = None;
    }

    async fn connection(&mut self) -> Result<&mut MySqlConnection, ReadError> {
        if self.connection.is_none() {
            let mut connection = connect(&self.source, &self.password).await?;
            connection.execute(sqlx::raw_sql(SESSION)).await?;
            self.connection = Some(connection);
        }
        self.connection.as_mut().ok_or(ReadError::Stopped)
    }

    async fn ready(&mut self) -> Result<(&mut MySqlConnection, &Table), ReadError> {
        self.connection().await?;
        let connection = self.connection.as_mut().ok_or(ReadError::Stopped)?;
        if self.table.is_none() {
            let definition = Definition::read(connection, &self.database, &self.name).await?;
            self.table = Some(Table::new(definition, &self.database, &self.name, self.filter.as_deref())?);
        }
        Ok((connection, self.table.as_ref().ok_or(ReadError::Stopped)?))
    }

    /// Asks the server whether the predicate is one, without reading a row.
    pub(super) async fn check_filter(&mut self) -> Result<(), ReadError> {
        answered(self.ask_about_filter()).await
    }

    async fn ask_about_filter(&mut self) -> Result<(), ReadError> {
        let Some(filter) = self.filter.clone() else { return Ok(()) };
        super::filter::check(&filter).map_err(|cause| ReadError::Filter(cause.to_string()))?;
        let sql = format!(
            "SELECT 1 FROM {}.{} WHERE ({filter}) LIMIT 0",
            super::cursor::quoted(&self.database),
            super::cursor::quoted(&self.name)
        );
        let connection = self.connection().await?;
        connection.execute(sqlx::raw_sql("START TRANSACTION READ ONLY")).await?;
        let asked = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut *connection).await;
        connection.execute(sqlx::raw_sql("COMMIT")).await?;
        match asked {
            Ok(_) => Ok(()),
            // no such table, not allowed: that is not the predicate's fault
            Err(cause) => match server_error(&cause) {
                Some(code) if ![1040, 1044, 1053, 1142, 1146, 1203, 1226, 1927].contains(&code) => {
                    Err(ReadError::Filter(cause.to_string()))
                }
                _ => Err(cause.into()),
            },
        }
    }

    /// How many rows the server thinks the table has.
    pub(super) async fn estimate(&mut self) -> Result<u64, ReadError> {
        answered(self.ask_for_estimate()).await
    }

    async fn ask_for_estimate(&mut self) -> Result<u64, ReadError> {
        let (database, name) = (self.database.clone(), self.name.clone());
        let connection = self.connection().await?;
        let rows: Option<String> = sqlx::query(
            "SELECT CAST(COALESCE(table_rows, 0) AS CHAR) FROM information_schema.tables WHERE table_schema = ? AND table_name = ?",
        )
        .bind(database)
        .bind(name)
        .fetch_optional(connection)
        .await?
        .map(|row| row.try_get_unchecked(0))
        .transpose()?;
        Ok(rows.and_then(|rows| rows.parse().ok()).unwrap_or(0))
    }

    /// The greatest key; `None` of an empty table. What comes behind it later is the stream's.
    pub(super) async fn last_key(&mut self, opened: &Opened) -> Result<Option<Vec<String>>, ReadError> {
        answered(self.ask_for_last_key(opened)).await
    }

    async fn ask_for_last_key(&mut self, opened: &Opened) -> Result<Option<Vec<String>>, ReadError> {
        let (connection, table) = self.ready().await?;
        begin(connection, opened).await?;
        let row = sqlx::query(AssertSqlSafe(table.last_key())).fetch_optional(&mut *connection).await?;
        let key = row.map(|row| table.cursor(&row, 0)).transpose()?;
        connection.execute(sqlx::raw_sql("COMMIT")).await?;
        Ok(key)
    }

    /// Where a chunk of so many rows ends; `None` where the range ends before that.
    pub(super) async fn cut(
        &mut self,
        after: Option<&[String]>,
        upto: &[String],
        rows: u64,
    ) -> Result<Option<Vec<String>>, ReadError> {
        let asking = async {
            let (connection, table) = self.ready().await?;
            let Bounded { sql, parameters } = table.cut(after, upto, rows);
            let row = bound(&sql, &parameters).fetch_optional(connection).await?;
            row.map(|row| table.cursor(&row, 0)).transpose()
        };
        answered(asking).await
    }

    /// The rows of a range as they stood at one place of the binlog, at or past the window's.
    pub(super) async fn read(
        &mut self,
        opened: &Opened,
        after: Option<&[String]>,
        upto: &[String],
        limit: u64,
    ) -> Result<(Piece, BinlogPosition), ReadError> {
        answered(self.read_within(opened, after, upto, limit)).await
    }

    async fn read_within(
        &mut self,
        opened: &Opened,
        after: Option<&[String]>,
        upto: &[String],
        limit: u64,
    ) -> Result<(Piece, BinlogPosition), ReadError> {
        let (database, name) = (self.database.clone(), self.name.clone());
        let (connection, table) = self.ready().await?;
        let place = begin(connection, opened).await?;
        let mut piece = Piece::default();
        let (mut read, mut last) = (0, None);
        {
            let Bounded { sql, parameters } = table.rows(after, upto, limit);
            let mut rows = bound(&sql, &parameters).fetch(&mut *connection);
            while let Some(row) = rows.try_next().await? {
                piece.push(|out| table.write(&row, out))?;
                read += 1;
                if read == limit {
                    last = Some(table.cursor_of_row(&row)?);
                    break;
                }
                if piece.bytes() > MOST_BYTES {
                    return Err(ReadError::TooLarge(read));
                }
            }
        }
        piece.read_ms = place.read_ms;
        piece.last = last.as_deref().is_none_or(|last| last == upto);
        piece.upto = Some(last.unwrap_or_else(|| upto.to_vec()));
        if Definition::read(connection, &database, &name).await? != table.definition {
            return Err(ReadError::Altered);
        }
        connection.execute(sqlx::raw_sql("COMMIT")).await?;
        Ok((piece, place.position))
    }
}

/// A link that is dead without a word would hold everything for as long as TCP hopes.
async fn answered<T>(asking: impl Future<Output = Result<T, ReadError>>) -> Result<T, ReadError> {
    match tokio::time::timeout(ANSWER, asking).await {
        Ok(outcome) => outcome,
        Err(_) => Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()).into()),
    }
}

fn bound<'q>(sql: &str, parameters: &'q [String]) -> Query<'q, sqlx::MySql, MySqlArguments> {
    let query = sqlx::query(AssertSqlSafe(sql.to_owned()));
    parameters.iter().fold(query, |query, parameter| query.bind(parameter.as_str()))
}
