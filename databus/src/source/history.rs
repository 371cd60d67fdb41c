//! Asked before every connection to the binlog: is it still the server that the checkpoint belongs to, and does its binlog still
//! hold the same history up to there?
//!
//! A position means nothing on another server, nor on the same one after a RESET MASTER or a restore. Such a server may well have a
//! file of that name and an event at that offset, so reading on would lose or double changes without a word.

use super::{
    lost::{BinlogFiles, LostPosition},
    preflight,
    transport::TransportError,
};
use change_event::checkpoint::Checkpoint;
use pipeline_config::Source;
use secrecy::SecretString;
use sqlx::{Connection, Row};
use std::time::Duration;

/// Longest wait for the server's answer; it reads its binlog file up to the position to give one.
const ANSWER: Duration = Duration::from_secs(60);

/// An error unless reading may go on at the checkpoint.
pub(crate) async fn confirm(
    source: &Source,
    password: &SecretString,
    checkpoint: &Checkpoint,
) -> Result<(), TransportError> {
    match tokio::time::timeout(ANSWER, compare(source, password, checkpoint)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(TransportError::Lost(format!("the server did not answer within {ANSWER:?}"))),
    }
}

async fn compare(
    source: &Source,
    password: &SecretString,
    checkpoint: &Checkpoint,
) -> Result<(), TransportError> {
    let failed = |cause| failed(source.server_id, cause);
    let mut connection = preflight::ask(source, password).await.map_err(failed)?;
    let server_id: u64 = sqlx::query_scalar("SELECT CAST(@@global.server_id AS UNSIGNED)")
        .fetch_one(&mut connection)
        .await
        .map_err(failed)?;
    if server_id != u64::from(checkpoint.source_identity.server_id) {
        return Err(LostPosition::OtherServer {
            expected: format!("server_id {}", checkpoint.source_identity.server_id),
            found: server_id.to_string(),
        }
        .into());
    }
    let position = &checkpoint.position;
    // NULL where there is no such file or no event begins there
    let reached: Option<String> = sqlx::query_scalar("SELECT BINLOG_GTID_POS(?, ?)")
        .bind(&position.file)
        .bind(position.pos)
        .fetch_one(&mut connection)
        .await
        .map_err(failed)?;
    match (reached, &checkpoint.gtid) {
        (None, _) => {
            let files = sqlx::query("SHOW BINARY LOGS").fetch_all(&mut connection).await.map_err(failed)?;
            let files = files.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
            let files = BinlogFiles(files.collect::<Result<_, _>>().map_err(failed)?);
            return Err(files.without(position).into());
        }
        (Some(reached), Some(gtid)) if !reached.split(',').any(|last| last.trim() == gtid) => {
            return Err(LostPosition::OtherHistory {
                position: format!("{}:{}", position.file, position.pos),
                found: format!("the last transaction before it was {gtid}, and now it is {reached:?}"),
            }
            .into());
        }
        _ => {}
    }
    // a failed goodbye changes nothing
    drop(connection.close().await);
    Ok(())
}

fn failed(server_id: u32, cause: sqlx::Error) -> TransportError {
    match preflight::server_error(&cause) {
        Some(code) => TransportError::of_server(server_id, &format!("error {code}: {cause}")),
        None => TransportError::Lost(cause.to_string()),
    }
}
