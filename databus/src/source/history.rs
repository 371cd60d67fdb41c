//! Asked before every connection to the binlog: does what the server has continue the checkpoint, and from where?
//!
//! A position means nothing on another server, nor on the same one after its binlog was begun anew or restored. Such a server may well
//! have a file of that name and an event at that offset, so reading on would lose or double changes without a word. GTIDs mean the
//! same on every server of a topology, so a server that took over is read on by them.

use super::{
    flavor::Flavor,
    login::{ask, server_error},
    lost::{BinlogFiles, LostPosition},
    transport::TransportError,
};
use crate::binlog::gtid_state::{GtidState, parse_list};
use change_event::checkpoint::{BinlogPosition, Checkpoint, SourceIdentity};
use futures::TryStreamExt;
use pipeline_config::Source;
use secrecy::SecretString;
use sqlx::{Connection, MySqlConnection, Row};
use std::time::{Duration, Instant};

/// Longest wait for the server's answer; it reads its binlog file up to the position to give one.
const ANSWER: Duration = Duration::from_secs(60);
/// How long a server that took over may need to apply what it still has in its relay log.
const CATCH_UP: Duration = Duration::from_secs(5);

/// How the stream goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Start {
    /// The server that answers.
    pub identity: SourceIdentity,
    /// Its family.
    pub flavor: Flavor,
    /// From the checkpoint's file position, or from behind `gtids`.
    pub by_gtid: bool,
    /// GTIDs of everything up to the checkpoint, where they are known.
    pub gtids: Option<GtidState>,
    /// Whether it is another server than the one that the checkpoint was written for.
    pub moved: bool,
}

impl Start {
    /// From a file position, by whoever asks for no more than a look.
    pub(super) fn at_position() -> Self {
        let identity = SourceIdentity { server_id: 0, server_uuid: None };
        Self { identity, flavor: Flavor::MariaDb, by_gtid: false, gtids: None, moved: false }
    }
}

/// An error unless reading may go on at the checkpoint.
pub(crate) async fn confirm(
    source: &Source,
    password: &SecretString,
    checkpoint: &Checkpoint,
) -> Result<Start, TransportError> {
    match tokio::time::timeout(ANSWER, compare(source, password, checkpoint)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(TransportError::Lost(format!("the server did not answer within {ANSWER:?}"))),
    }
}

/// An error unless the server that answers is this one.
pub(crate) async fn answers_as(
    source: &Source,
    password: &SecretString,
    identity: &SourceIdentity,
) -> Result<(), TransportError> {
    let look = async {
        let connection = ask(source, password).await.map_err(|cause| failed(source.server_id, cause))?;
        let mut server = Asked { connection, reader_id: source.server_id };
        let server_id = server.server_id().await?;
        let server_uuid = match identity.server_uuid {
            Some(_) => server.text("SELECT @@global.server_uuid").await?,
            None => None,
        };
        drop(server.connection.close().await);
        if *identity == (SourceIdentity { server_id, server_uuid }) {
            Ok(())
        } else {
            Err(TransportError::Lost(format!("another server answers now, with server_id {server_id}")))
        }
    };
    match tokio::time::timeout(ANSWER, look).await {
        Ok(outcome) => outcome,
        Err(_) => Err(TransportError::Lost(format!("the server did not answer within {ANSWER:?}"))),
    }
}

async fn compare(
    source: &Source,
    password: &SecretString,
    checkpoint: &Checkpoint,
) -> Result<Start, TransportError> {
    let connection = ask(source, password).await.map_err(|cause| failed(source.server_id, cause))?;
    let mut server = Asked { connection, reader_id: source.server_id };
    let version = server.text("SELECT VERSION()").await?.unwrap_or_default();
    let start = match Flavor::of(&version) {
        Flavor::MariaDb => on_mariadb(&mut server, checkpoint).await?,
        Flavor::MySql => on_mysql(&mut server, checkpoint).await?,
    };
    // a failed goodbye changes nothing
    drop(server.connection.close().await);
    Ok(start)
}

/// A connection whose failures are the transport's.
struct Asked {
    connection: MySqlConnection,
    reader_id: u32,
}

impl Asked {
    /// The first column of the first row as text.
    async fn text(&mut self, query: &'static str) -> Result<Option<String>, TransportError> {
        sqlx::query_scalar(query)
            .fetch_optional(&mut self.connection)
            .await
            .map(Option::flatten)
            .map_err(|cause| failed(self.reader_id, cause))
    }

    async fn files(&mut self) -> Result<BinlogFiles, TransportError> {
        let rows = sqlx::query("SHOW BINARY LOGS").fetch_all(&mut self.connection).await;
        let read =
            rows.and_then(|rows| rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect());
        read.map(BinlogFiles).map_err(|cause| failed(self.reader_id, cause))
    }

    async fn server_id(&mut self) -> Result<u32, TransportError> {
        let id: u64 = sqlx::query_scalar("SELECT CAST(@@global.server_id AS UNSIGNED)")
            .fetch_one(&mut self.connection)
            .await
            .map_err(|cause| failed(self.reader_id, cause))?;
        u32::try_from(id).map_err(|_| TransportError::Refused(format!("a server_id of {id}")))
    }

    /// MariaDB: the GTIDs reached at a position; `None` where there is no such file or no event begins there.
    async fn gtids_at(&mut self, position: &BinlogPosition) -> Result<Option<String>, TransportError> {
        sqlx::query_scalar("SELECT BINLOG_GTID_POS(?, ?)")
            .bind(&position.file)
            .bind(position.pos)
            .fetch_one(&mut self.connection)
            .await
            .map_err(|cause| failed(self.reader_id, cause))
    }
}

fn place(position: &BinlogPosition) -> String {
    format!("{}:{}", position.file, position.pos)
}

fn unreadable(cause: impl std::fmt::Display) -> TransportError {
    TransportError::Refused(format!("its GTIDs cannot be read: {cause}"))
}

async fn on_mariadb(server: &mut Asked, checkpoint: &Checkpoint) -> Result<Start, TransportError> {
    let identity = SourceIdentity { server_id: server.server_id().await?, server_uuid: None };
    let start = |by_gtid, gtids, moved| Start {
        identity: identity.clone(),
        flavor: Flavor::MariaDb,
        by_gtid,
        gtids,
        moved,
    };
    let known = checkpoint.gtids.as_deref().map(GtidState::parse_mariadb).transpose().map_err(unreadable)?;
    if identity != checkpoint.source_identity {
        let gtids = taken_over_by_mariadb(server, checkpoint, known, &identity).await?;
        return Ok(start(true, Some(gtids), true));
    }
    let position = &checkpoint.position;
    if u32::try_from(position.pos).is_err() {
        // neither the dump request nor the function below counts beyond 4 GiB
        let files = server.files().await?;
        return match known {
            Some(gtids) if files.length_of(&position.file).is_some_and(|length| length >= position.pos) => {
                Ok(start(true, Some(gtids), false))
            }
            Some(_) => Err(files.without(position).into()),
            None => Err(TransportError::Refused(format!(
                "{} lies beyond 4 GiB and the checkpoint has no GTIDs to start from",
                place(position)
            ))),
        };
    }
    let Some(reached) = server.gtids_at(position).await? else {
        return Err(server.files().await?.without(position).into());
    };
    match &checkpoint.gtid {
        Some(gtid) if !reached.split(',').any(|last| last.trim() == gtid) => {
            Err(LostPosition::OtherHistory {
                position: place(position),
                found: format!("the last transaction before it was {gtid}, and now it is {reached:?}"),
            }
            .into())
        }
        _ => Ok(start(false, Some(GtidState::parse_mariadb(&reached).map_err(unreadable)?), false)),
    }
}

/// The GTIDs to continue from, where the other server has them.
async fn taken_over_by_mariadb(
    server: &mut Asked,
    checkpoint: &Checkpoint,
    known: Option<GtidState>,
    identity: &SourceIdentity,
) -> Result<GtidState, TransportError> {
    let stranger = || LostPosition::OtherServer {
        expected: format!("server_id {}", checkpoint.source_identity.server_id),
        found: identity.server_id.to_string(),
    };
    let Some(GtidState::MariaDb(domains)) = known.filter(|gtids| !gtids.is_empty()) else {
        return Err(stranger().into());
    };
    let deadline = Instant::now() + CATCH_UP;
    loop {
        let state = server.text("SELECT @@global.gtid_binlog_state").await?.unwrap_or_default();
        let has = parse_list(&state).map_err(unreadable)?;
        let reached = |domain: u32, server_id: u32| {
            has.iter().find(|(d, s, _)| (*d, *s) == (domain, server_id)).map(|(_, _, sequence)| *sequence)
        };
        if domains.iter().all(|(domain, (origin, _))| reached(*domain, *origin).is_none()) {
            return Err(stranger().into());
        }
        let behind = domains
            .iter()
            .any(|(domain, (origin, last))| reached(*domain, *origin).is_none_or(|has| has < *last));
        if !behind {
            return Ok(GtidState::MariaDb(domains));
        }
        if Instant::now() >= deadline {
            return Err(LostPosition::GtidGap {
                gtids: GtidState::MariaDb(domains).to_string(),
                reason: format!("server_id {} is behind them, it has {state}", identity.server_id),
            }
            .into());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn on_mysql(server: &mut Asked, checkpoint: &Checkpoint) -> Result<Start, TransportError> {
    let identity = SourceIdentity {
        server_id: server.server_id().await?,
        server_uuid: server.text("SELECT @@global.server_uuid").await?,
    };
    let set = |text: Option<String>| GtidState::parse_mysql(&text.unwrap_or_default()).map_err(unreadable);
    let purged = set(server.text("SELECT @@global.gtid_purged").await?)?;
    let start = |by_gtid, gtids, moved| Start {
        identity: identity.clone(),
        flavor: Flavor::MySql,
        by_gtid,
        gtids: Some(gtids),
        moved,
    };
    let moved = identity.server_uuid != checkpoint.source_identity.server_uuid;
    let stranger = || LostPosition::OtherServer {
        expected: format!(
            "server_uuid {}",
            checkpoint.source_identity.server_uuid.as_deref().unwrap_or("unknown")
        ),
        found: identity.server_uuid.clone().unwrap_or_default(),
    };
    let known = match checkpoint.gtids.clone() {
        _ if moved && checkpoint.gtids.is_none() => return Err(stranger().into()),
        // nothing was read yet, or an operator set the position
        None => return Ok(start(false, server.gtids_before(&checkpoint.position).await?, false)),
        Some(known) => set(Some(known))?,
    };
    let deadline = Instant::now() + if moved { CATCH_UP } else { Duration::ZERO };
    let executed = loop {
        let executed = set(server.text("SELECT @@global.gtid_executed").await?)?;
        if known.is_within(&executed) || Instant::now() >= deadline {
            break executed;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    if moved {
        if !known.shares_origin_with(&executed) {
            return Err(stranger().into());
        }
        let gap = |reason| LostPosition::GtidGap { gtids: known.to_string(), reason };
        if !known.is_within(&executed) {
            return Err(gap(format!("the server is behind them, it has {executed}")).into());
        }
        if !purged.is_within(&known) {
            return Err(gap(format!("the server has purged transactions behind them, up to {purged}")).into());
        }
        return Ok(start(true, known, true));
    }
    let files = server.files().await?;
    let position = &checkpoint.position;
    let other = |found: String| LostPosition::OtherHistory { position: place(position), found };
    if !known.is_within(&executed) {
        return Err(
            other(format!("transactions up to {known} were read, and the server has {executed}")).into()
        );
    }
    if files.length_of(&position.file).is_none() {
        let gone = files.without(position);
        // a file that held nothing more is no loss
        return match gone {
            LostPosition::Purged { .. } if purged.is_within(&known) => Ok(start(true, known, false)),
            gone => Err(gone.into()),
        };
    }
    match server.first_gtid_at(position).await? {
        Next::None if files.length_of(&position.file).is_some_and(|length| position.pos > length) => {
            return Err(files.without(position).into());
        }
        Next::None => {}
        Next::NoEvent => return Err(files.without(position).into()),
        // numbers of the server itself rise without gaps along its binlog
        Next::Gtid(gtid) if !known.is_followed_by(&gtid, identity.server_uuid.as_deref()) => {
            return Err(
                other(format!("transactions up to {known} were read, and {gtid} comes next there")).into()
            );
        }
        Next::Gtid(_) => {}
    }
    // the request by position cannot count beyond 4 GiB
    Ok(start(u32::try_from(position.pos).is_err(), known, false))
}

/// What a MySQL server has at a position.
enum Next {
    /// No GTID event begins there.
    None,
    /// No event begins there.
    NoEvent,
    /// A transaction.
    Gtid(String),
}

impl Asked {
    async fn first_gtid_at(&mut self, position: &BinlogPosition) -> Result<Next, TransportError> {
        let show =
            format!("SHOW BINLOG EVENTS IN '{}' FROM {} LIMIT 1", escaped(&position.file), position.pos);
        let rows = match sqlx::raw_sql(sqlx::AssertSqlSafe(show)).fetch_all(&mut self.connection).await {
            Ok(rows) => rows,
            Err(cause) if server_error(&cause) == Some(WRONG_OFFSET) => return Ok(Next::NoEvent),
            Err(cause) => return Err(failed(self.reader_id, cause)),
        };
        let info: Option<String> = match rows.first() {
            Some(row) => row.try_get(5).map_err(|cause| failed(self.reader_id, cause))?,
            None => None,
        };
        Ok(info.as_deref().and_then(announced_gtid).map_or(Next::None, |gtid| Next::Gtid(gtid.to_owned())))
    }

    /// Everything that MySQL wrote before a position: what its file begins with, and each transaction on the way.
    async fn gtids_before(&mut self, position: &BinlogPosition) -> Result<GtidState, TransportError> {
        let show = format!("SHOW BINLOG EVENTS IN '{}'", escaped(&position.file));
        let mut gtids = GtidState::parse_mysql("").map_err(unreadable)?;
        {
            let mut events = sqlx::raw_sql(sqlx::AssertSqlSafe(show)).fetch(&mut self.connection);
            while let Some(row) = events.try_next().await.map_err(|cause| failed(self.reader_id, cause))? {
                let read = || {
                    Ok::<(u64, String, String), sqlx::Error>((
                        row.try_get(1)?,
                        row.try_get(2)?,
                        row.try_get(5)?,
                    ))
                };
                let (pos, kind, info) = read().map_err(|cause| failed(self.reader_id, cause))?;
                if kind == "Previous_gtids" {
                    gtids = GtidState::parse_mysql(&info).map_err(unreadable)?;
                } else if pos >= position.pos && pos > FIRST_EVENT {
                    break;
                } else if let Some(gtid) = announced_gtid(&info) {
                    gtids.join(&GtidState::parse_mysql(gtid).map_err(unreadable)?);
                }
            }
        }
        Ok(gtids)
    }
}

/// Where a file's first event stands.
const FIRST_EVENT: u64 = 4;

/// A file's name inside quotes: the statement takes no placeholders.
fn escaped(file: &str) -> String {
    file.replace('\\', "\\\\").replace('\'', "\\'")
}

/// The GTID in the server's own list of events.
fn announced_gtid(info: &str) -> Option<&str> {
    Some(info.strip_prefix("SET @@SESSION.GTID_NEXT= '")?.trim_end_matches('\''))
        .filter(|gtid| gtid.contains(':'))
}

/// `ER_ERROR_WHEN_EXECUTING_COMMAND`: no event begins at the offset.
const WRONG_OFFSET: u16 = 1220;

fn failed(server_id: u32, cause: sqlx::Error) -> TransportError {
    match server_error(&cause) {
        Some(code) => TransportError::of_server(server_id, &format!("error {code}: {cause}")),
        None => TransportError::Lost(cause.to_string()),
    }
}
