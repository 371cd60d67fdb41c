//! How far the source itself has got: its own clock, and the end of its binlog just after that clock was read.
//!
//! Once the reader has passed the end, everything committed up to the clock's time is published: that is `as_of` (G10).

use super::{flavor::binlog_end_statement, login, position};
use change_event::{Timestamp, checkpoint::BinlogPosition};
use pipeline_config::Source;
use secrecy::SecretString;
use service_kit::Shutdown;
use sqlx::{Connection, MySqlConnection, Row};
use std::{
    cmp::Ordering,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// How often the source is asked.
const INTERVAL: Duration = Duration::from_secs(1);
/// Longest wait for an answer; after it the connection counts as dead.
const ANSWER: Duration = Duration::from_secs(5);

/// The source's clock and the binlog end behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Horizon {
    /// The source's `UTC_TIMESTAMP(6)`.
    pub as_of: Timestamp,
    /// The server that was asked.
    pub server_id: u32,
    /// The binlog's end, read after it.
    pub end: BinlogPosition,
    /// When the answer came, by our clock: how long ago the source was there.
    pub heard: Instant,
}

impl Horizon {
    /// Whether a reader at `position` has everything that was committed up to `as_of`.
    pub(crate) fn is_passed_by(&self, position: &BinlogPosition) -> bool {
        matches!(position::compare(&self.end, position), Some(Ordering::Less | Ordering::Equal))
    }
}

/// Asks the source once a second until a stop is asked for; errors only leave the last answer standing.
pub(crate) fn watch_horizon(
    source: Arc<Source>,
    password: SecretString,
    shutdown: Shutdown,
) -> watch::Receiver<Option<Horizon>> {
    let (sender, receiver) = watch::channel(None);
    tokio::spawn(async move {
        let mut connection = None;
        loop {
            // a link that is dead without a word would hold as_of for as long as TCP hopes
            match tokio::time::timeout(ANSWER, read(&source, &password, &mut connection)).await {
                Ok(Ok(horizon)) => {
                    sender.send_replace(Some(horizon));
                }
                Ok(Err(cause)) => {
                    connection = None;
                    tracing::debug!(%cause, "cannot ask the source how far it is");
                }
                Err(_) => {
                    connection = None;
                    tracing::debug!("the source does not answer how far it is within {ANSWER:?}");
                }
            }
            tokio::select! {
                () = shutdown.requested() => break,
                () = tokio::time::sleep(INTERVAL) => {}
            }
        }
        if let Some((connection, _)) = connection {
            // a failed goodbye changes nothing
            drop(connection.close().await);
        }
    });
    receiver
}

async fn read(
    source: &Source,
    password: &SecretString,
    kept: &mut Option<(MySqlConnection, &'static str)>,
) -> Result<Horizon, sqlx::Error> {
    let (connection, end_statement) = match kept {
        Some(kept) => kept,
        None => {
            let mut connection = login::ask(source, password).await?;
            let version: String = sqlx::query_scalar("SELECT VERSION()").fetch_one(&mut connection).await?;
            kept.insert((connection, binlog_end_statement(&version)))
        }
    };
    let (now, server_id): (time::PrimitiveDateTime, u64) =
        sqlx::query_as("SELECT UTC_TIMESTAMP(6), CAST(@@global.server_id AS UNSIGNED)")
            .fetch_one(&mut *connection)
            .await?;
    let status = sqlx::query(*end_statement).fetch_one(&mut *connection).await?;
    let end = BinlogPosition { file: status.try_get(0)?, pos: status.try_get::<u64, _>(1)? };
    Ok(Horizon {
        as_of: Timestamp::from_datetime(now),
        server_id: u32::try_from(server_id).unwrap_or(0),
        end,
        heard: Instant::now(),
    })
}
