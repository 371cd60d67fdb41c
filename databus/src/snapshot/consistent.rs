//! A transaction that shows the tables as they stood at a known place of the binlog, without a lock.

use super::{board::Opened, chunk::ReadError};
use crate::source::{compare, server_error};
use change_event::checkpoint::BinlogPosition;
use sqlx::{Executor, MySqlConnection, Row};
use std::{
    cmp::Ordering,
    time::{Duration, Instant},
};

/// How long a read may stand for a place before the window's; a transaction lies there between binlog and storage.
const CATCH_UP: Duration = Duration::from_secs(60);
/// Pause between two looks at that.
const LOOK: Duration = Duration::from_millis(2);
/// The server does not know the words.
const SYNTAX: u16 = 1064;
const START: &str = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY";

/// What a read stands for.
#[derive(Debug)]
pub(super) struct Place {
    /// Everything that the read shows lies before it.
    pub(super) position: BinlogPosition,
    /// The source's clock, in Unix milliseconds.
    pub(super) read_ms: i64,
}

/// Begins the transaction, again until it shows everything that was in the stream when the window opened: a transaction is in the binlog,
/// and so in the stream, before the storage engine shows it.
pub(super) async fn begin(connection: &mut MySqlConnection, opened: &Opened) -> Result<Place, ReadError> {
    let deadline = Instant::now() + CATCH_UP;
    let version: String = text(connection, "SELECT VERSION()").await?;
    let mariadb = version.to_ascii_lowercase().contains("mariadb");
    loop {
        let begun = if mariadb {
            of_mariadb(connection, opened).await?
        } else {
            of_mysql(connection, opened).await?
        };
        if let Some(position) = begun {
            let now = text(connection, "SELECT CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS CHAR)").await?;
            let read_ms = now.split('.').next().and_then(|whole| whole.parse().ok()).unwrap_or(0);
            return Ok(Place { position, read_ms });
        }
        if Instant::now() > deadline {
            let BinlogPosition { file, pos } = &opened.position;
            return Err(ReadError::Unreadable(format!(
                "the storage engine does not show yet what the stream had at {file}:{pos}"
            )));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// MariaDB says exactly which place a consistent snapshot stands for:
/// <https://mariadb.com/kb/en/enhancements-for-start-transaction-with-consistent-snapshot/>.
async fn of_mariadb(
    connection: &mut MySqlConnection,
    opened: &Opened,
) -> Result<Option<BinlogPosition>, ReadError> {
    connection.execute(sqlx::raw_sql(START)).await?;
    let rows = sqlx::raw_sql("SHOW STATUS LIKE 'binlog_snapshot_%'").fetch_all(&mut *connection).await?;
    let value = |name: &str| -> Result<Option<String>, sqlx::Error> {
        for row in &rows {
            let key: String = row.try_get_unchecked(0)?;
            if key.eq_ignore_ascii_case(name) {
                return row.try_get_unchecked(1).map(Some);
            }
        }
        Ok(None)
    };
    let file = value("binlog_snapshot_file")?.filter(|file| !file.is_empty());
    let pos = value("binlog_snapshot_position")?.and_then(|pos| pos.parse().ok());
    let (Some(file), Some(pos)) = (file, pos) else {
        return Err(ReadError::Unreadable(
            "the server does not say which place of its binlog a consistent snapshot stands for (binlog_snapshot_position)".to_owned(),
        ));
    };
    let position = BinlogPosition { file, pos };
    if matches!(compare(&opened.position, &position), Some(Ordering::Less | Ordering::Equal)) {
        return Ok(Some(position));
    }
    connection.execute(sqlx::raw_sql("ROLLBACK")).await?;
    Ok(None)
}

/// MySQL says which transactions its storage engine shows (`gtid_executed`, which follows the engine's commit), and commits them in the
/// binlog's order; where the binlog ends after the snapshot was made, everything that it shows lies before.
async fn of_mysql(
    connection: &mut MySqlConnection,
    opened: &Opened,
) -> Result<Option<BinlogPosition>, ReadError> {
    if let Some(gtid) = &opened.gtid {
        let shown: String = sqlx::query("SELECT CAST(GTID_SUBSET(?, @@GLOBAL.gtid_executed) AS CHAR)")
            .bind(gtid)
            .fetch_one(&mut *connection)
            .await?
            .try_get_unchecked(0)?;
        if shown != "1" {
            return Ok(None);
        }
    }
    connection.execute(sqlx::raw_sql(START)).await?;
    let end = match sqlx::raw_sql("SHOW BINARY LOG STATUS").fetch_one(&mut *connection).await {
        Err(cause) if server_error(&cause) == Some(SYNTAX) => {
            sqlx::raw_sql("SHOW MASTER STATUS").fetch_one(&mut *connection).await?
        }
        end => end?,
    };
    let pos: String = end.try_get_unchecked(1)?;
    let pos = pos
        .parse()
        .map_err(|_| ReadError::Unreadable(format!("the binlog's end is at {pos:?}, which is no number")))?;
    Ok(Some(BinlogPosition { file: end.try_get_unchecked(0)?, pos }))
}

async fn text(connection: &mut MySqlConnection, question: &'static str) -> Result<String, ReadError> {
    Ok(sqlx::raw_sql(question).fetch_one(connection).await?.try_get_unchecked(0)?)
}
