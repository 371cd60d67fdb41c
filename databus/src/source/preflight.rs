//! Everything that is asked of a source before its binlog is read: what cannot be followed is refused here, with the setting's name
//! and the value it should have (G7).

use super::{finding::Finding, position::file_number};
use crate::binlog::{
    selected::{ColumnFacts, SelectedColumn},
    statement::hides_changes,
};
use change_event::checkpoint::{BinlogPosition, SourceIdentity};
use pipeline_config::Source;
use secrecy::{ExposeSecret, SecretString};
use sqlx::{
    AssertSqlSafe, Connection, MySqlConnection, Row,
    mysql::{MySqlConnectOptions, MySqlDatabaseError, MySqlSslMode},
};
use std::time::Duration;

/// A source that may be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Server {
    /// Who it is.
    pub identity: SourceIdentity,
    /// What it says it is, for the log.
    pub version: String,
    /// The start of the oldest binlog file it still has.
    pub oldest: BinlogPosition,
}

/// What a look at a source brought to light.
#[derive(Debug, Default)]
pub(crate) struct Examination {
    /// The server, where it can be told.
    pub server: Option<Server>,
    /// What is as it must be, for people.
    pub fine: Vec<String>,
    /// Everything that speaks against following it; nothing here means that it can be followed.
    pub findings: Vec<Finding>,
}

impl Examination {
    fn settled(&mut self, what: impl Into<String>) {
        self.fine.push(what.into());
    }

    fn found(&mut self, what: impl Into<String>) {
        self.findings.push(Finding::new(what));
    }
}

/// Why a source may not be read.
#[derive(Debug, thiserror::Error)]
pub enum PreflightError {
    /// Transient: it does not answer, or the connection broke.
    #[error("{place}: cannot talk to the source at {address}: {cause}")]
    Unreachable {
        /// Where the source is configured.
        place: String,
        /// Host and port.
        address: String,
        /// What the client said.
        cause: sqlx::Error,
    },
    /// Definite: each finding names a setting, table or right, and what is wanted.
    #[error("{place}: the source cannot be followed: {}", Finding::listed(.findings))]
    Refused {
        /// Where the source is configured.
        place: String,
        /// All at once, so that one visit to the server settles them.
        findings: Vec<Finding>,
    },
}

impl PreflightError {
    /// Whether asking again may help.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { cause, .. } => server_error(cause)
                .map_or(!matches!(cause, sqlx::Error::Configuration(_)), |code| PASSING.contains(&code)),
            Self::Refused { .. } => false,
        }
    }
}

/// What a server says that is starting, stopping or full: too many connections, shutdown, killed, too many of this user.
const PASSING: [u16; 5] = [1040, 1053, 1203, 1226, 1927];

/// The server's error number, where it was the server that said no.
pub(crate) fn server_error(cause: &sqlx::Error) -> Option<u16> {
    let sqlx::Error::Database(cause) = cause else { return None };
    cause.try_downcast_ref::<MySqlDatabaseError>().map(MySqlDatabaseError::number)
}

/// Opens a connection for questions to the source.
pub(crate) async fn ask(source: &Source, password: &SecretString) -> Result<MySqlConnection, sqlx::Error> {
    let options = MySqlConnectOptions::new()
        .host(&source.login.host)
        .port(source.login.port)
        .username(&source.login.user)
        .password(password.expose_secret())
        // TLS for both this and the binlog's own connection comes together, with the second transport
        .ssl_mode(MySqlSslMode::Disabled);
    MySqlConnection::connect_with(&options).await
}

/// Checks the source. All findings come at once, so that one visit to the server settles them.
pub(crate) async fn preflight(source: &Source, password: &SecretString) -> Result<Server, PreflightError> {
    let Examination { server, findings, .. } = examine(source, password).await?;
    match server {
        Some(server) if findings.is_empty() => Ok(server),
        _ => Err(PreflightError::Refused { place: source.tables_place.to_string(), findings }),
    }
}

/// As [`preflight`], with what is fine as well; an error only where the source does not answer.
pub(crate) async fn examine(source: &Source, password: &SecretString) -> Result<Examination, PreflightError> {
    // a server that is there but does not answer must not hold us for ever
    let asked = tokio::time::timeout(ANSWER, look_around(source, password)).await;
    let timed_out = || sqlx::Error::Io(std::io::ErrorKind::TimedOut.into());
    asked.unwrap_or_else(|_| Err(timed_out())).map_err(|cause| PreflightError::Unreachable {
        place: source.tables_place.to_string(),
        address: format!("{}:{}", source.login.host, source.login.port),
        cause,
    })
}

/// Longest wait for all answers of the preflight.
const ANSWER: Duration = Duration::from_secs(30);

async fn look_around(source: &Source, password: &SecretString) -> Result<Examination, sqlx::Error> {
    let mut connection = ask(source, password).await?;
    let mut seen = Examination::default();
    let (version, identity) = settings(&mut connection, source, &mut seen).await?;
    let user = rights(&mut connection, &version, &mut seen).await?;
    for table in &source.tables {
        table_shape(&mut connection, table.database(), table.table(), &user, &mut seen).await?;
    }
    let oldest = oldest_binlog(&mut connection, &mut seen).await;
    if oldest.is_some() {
        left_out(&mut connection, source, &mut seen).await?;
    }
    seen.server = oldest.map(|oldest| Server { identity, version, oldest });
    Ok(seen)
}

/// Rights on the whole server without which the binlog cannot be read; answers the user as GRANT wants it.
async fn rights(
    connection: &mut MySqlConnection,
    version: &str,
    seen: &mut Examination,
) -> Result<String, sqlx::Error> {
    let user: String = sqlx::query_scalar("SELECT CURRENT_USER()").fetch_one(&mut *connection).await?;
    let (name, host) = user.rsplit_once('@').unwrap_or((&user, "%"));
    let role: Option<String> = sqlx::query_scalar("SELECT CURRENT_ROLE()")
        .fetch_optional(&mut *connection)
        .await
        .unwrap_or(None)
        .flatten();
    let has: Vec<String> =
        sqlx::query_scalar("SELECT privilege_type FROM information_schema.user_privileges WHERE grantee = ?")
            .bind(format!("'{name}'@'{host}'"))
            .fetch_all(&mut *connection)
            .await?;
    let user = format!("{}@{}", quoted(name), quoted(host));
    // the second is what MariaDB made of MySQL's right of the other name
    let monitor = if version.contains("MariaDB") { "BINLOG MONITOR" } else { "REPLICATION CLIENT" };
    for wanted in ["REPLICATION SLAVE", monitor] {
        if has.iter().any(|right| right == wanted) {
            seen.settled(format!("the user {user} has {wanted}"));
        } else if role.as_ref().is_none_or(|role| role == "NONE") {
            // what a role brings is not listed under the user
            seen.findings.push(
                Finding::new(format!("the user {user} lacks {wanted}"))
                    .fixed_by(format!("GRANT {wanted} ON *.* TO {user}")),
            );
        }
    }
    Ok(user)
}

fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// Databases that the server keeps out of its binlog.
async fn left_out(
    connection: &mut MySqlConnection,
    source: &Source,
    seen: &mut Examination,
) -> Result<(), sqlx::Error> {
    let Some(status) = sqlx::query("SHOW MASTER STATUS").fetch_optional(&mut *connection).await? else {
        return Ok(());
    };
    let (only, never): (String, String) = (status.try_get(2)?, status.try_get(3)?);
    let lists = |list: &str, database: &str| list.split(',').any(|name| name.eq_ignore_ascii_case(database));
    for table in &source.tables {
        let database = table.database();
        if !only.is_empty() && !lists(&only, database) {
            seen.found(format!(
                "{database}.{}: binlog_do_db={only} keeps its database out of the binlog",
                table.table()
            ));
        }
        if lists(&never, database) {
            seen.found(format!(
                "{database}.{}: binlog_ignore_db={never} keeps its database out of the binlog",
                table.table()
            ));
        }
    }
    Ok(())
}

/// Settings without which rows cannot be read, the value that each must have, and why or how where no SET does it.
const WANTED: [(&str, &str, &str); 5] = [
    ("log_bin", "ON", "start the server with --log-bin"),
    ("binlog_format", "ROW", ""),
    ("binlog_row_image", "FULL", ""),
    ("binlog_row_metadata", "FULL", ""),
    ("log_bin_compress", "OFF", "compressed rows are not decoded yet"),
];

async fn settings(
    connection: &mut MySqlConnection,
    source: &Source,
    seen: &mut Examination,
) -> Result<(String, SourceIdentity), sqlx::Error> {
    let version: String = sqlx::query_scalar("SELECT VERSION()").fetch_one(&mut *connection).await?;
    if !version.contains("MariaDB") {
        seen.found(format!("server version {version}: only MariaDB is supported by this version of databus"));
    } else if !at_least(&version, (10, 5)) {
        seen.found(format!(
            "server version {version}: MariaDB 10.5 or later is needed for binlog_row_metadata"
        ));
    } else {
        seen.settled(format!("server version {version}"));
    }
    for (setting, wanted, note) in WANTED {
        let value: Option<String> = sqlx::query_scalar(
            "SELECT variable_value FROM information_schema.global_variables WHERE variable_name = ?",
        )
        .bind(setting)
        .fetch_optional(&mut *connection)
        .await?;
        let has = value.as_deref().unwrap_or("missing");
        if has.eq_ignore_ascii_case(wanted)
            || (wanted == "ON" && has == "1")
            || (wanted == "OFF" && has == "0")
        {
            seen.settled(format!("{setting}={has}"));
            continue;
        }
        let note = if note.is_empty() { String::new() } else { format!(": {note}") };
        let finding = Finding::new(format!("{setting}={has}: wanted {wanted}{note}"));
        // the one that a running server cannot change
        let finding = match setting {
            "log_bin" => finding,
            _ => finding.fixed_by(format!("SET GLOBAL {setting}={wanted}")),
        };
        seen.findings.push(finding);
    }
    let server_id: u64 =
        sqlx::query_scalar("SELECT CAST(@@global.server_id AS UNSIGNED)").fetch_one(&mut *connection).await?;
    if server_id == u64::from(source.server_id) {
        seen.found(format!(
            "source.{}.server_id={server_id} is the server's own: choose one that nothing else uses",
            source.name
        ));
    } else {
        seen.settled(format!("server_id {server_id} is not ours ({})", source.server_id));
    }
    Ok((version, SourceIdentity { server_id: server_id as u32 }))
}

fn at_least(version: &str, wanted: (u32, u32)) -> bool {
    let mut numbers = version.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= wanted
}

async fn table_shape(
    connection: &mut MySqlConnection,
    database: &str,
    table: &str,
    user: &str,
    seen: &mut Examination,
) -> Result<(), sqlx::Error> {
    let columns = sqlx::query(
        "SELECT column_name, CAST(data_type AS CHAR), character_set_name, column_key, table_schema, table_name, \
                CAST(column_type AS CHAR), is_nullable = 'YES', CAST(COALESCE(datetime_precision, 0) AS UNSIGNED) \
         FROM information_schema.columns WHERE table_schema = ? AND table_name = ? ORDER BY ordinal_position",
    )
    .bind(database)
    .bind(table)
    .fetch_all(&mut *connection)
    .await?;
    if columns.is_empty() {
        seen.findings.push(
            Finding::new(format!(
                "{database}.{table}: there is no such table, or the user may not SELECT from it"
            ))
            .fixed_by(format!(
                "GRANT SELECT ON {}.{} TO {user}",
                quoted(database),
                quoted(table)
            )),
        );
        return Ok(());
    }
    if let Some(column) = columns.first() {
        // table maps carry the name as the server keeps it, and a name in other letters would match nothing there
        let (kept_database, kept_table): (String, String) = (column.try_get(4)?, column.try_get(5)?);
        if (kept_database.as_str(), kept_table.as_str()) != (database, table) {
            seen.found(format!(
                "{database}.{table}: the server calls it {kept_database}.{kept_table}: write it the same way"
            ));
        }
    }
    let before = seen.findings.len();
    let mut has_key = false;
    for column in &columns {
        let name: String = column.try_get(0)?;
        let data_type: String = column.try_get(1)?;
        let charset: Option<String> = column.try_get(2)?;
        let key: String = column.try_get(3)?;
        has_key |= key == "PRI";
        let (column_type, nullable, fraction): (String, bool, u64) =
            (column.try_get(6)?, column.try_get(7)?, column.try_get(8)?);
        let facts = ColumnFacts {
            name: &name,
            data_type: &data_type,
            column_type: &column_type,
            charset: charset.as_deref(),
            nullable,
            fraction: fraction as u8,
        };
        if let Err(reason) = SelectedColumn::new(&facts) {
            seen.found(format!("{database}.{table}.{name}: {reason}"));
        }
    }
    if !has_key {
        seen.found(format!("{database}.{table}: it has no primary key, so its changes cannot be keyed"));
    }
    // information_schema shows foreign keys only to users who may do more than SELECT
    let show = format!("SHOW CREATE TABLE {}.{}", quoted(database), quoted(table));
    let definition: String =
        sqlx::query(AssertSqlSafe(show)).fetch_one(&mut *connection).await?.try_get(1)?;
    if let Some(how) = hides_changes(&definition) {
        seen.found(format!(
            "{database}.{table}: it has {how}, by which its rows change in ways that the binlog does not show as such"
        ));
    }
    if seen.findings.len() == before {
        seen.settled(format!("{database}.{table}: {} columns, primary key", columns.len()));
    }
    Ok(())
}

async fn oldest_binlog(connection: &mut MySqlConnection, seen: &mut Examination) -> Option<BinlogPosition> {
    let logs = match sqlx::query("SHOW BINARY LOGS").fetch_all(&mut *connection).await {
        Ok(logs) => logs,
        Err(cause) => {
            seen.found(format!("SHOW BINARY LOGS is refused: {cause}"));
            return None;
        }
    };
    let first: Option<String> =
        logs.iter().filter_map(|row| row.try_get(0).ok()).min_by_key(|name: &String| file_number(name));
    if first.is_none() {
        seen.found("the server has no binlog file");
    }
    if let Some(first) = &first {
        seen.settled(format!("{} binlog files, the oldest is {first}", logs.len()));
    }
    // 4: behind the magic number that every file starts with
    first.map(|file| BinlogPosition { file, pos: 4 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        assert!(at_least("10.11.19-MariaDB-0+deb12u1-log", (10, 5)) && at_least("11.8.6-MariaDB", (10, 5)));
        assert!(!at_least("10.4.30-MariaDB", (10, 5)) && !at_least("unknown", (10, 5)));
    }
}
