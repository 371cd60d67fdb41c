//! Everything that is asked of a source before its binlog is read: what cannot be followed is refused here, with the setting's name
//! and the value it should have (G7).

use super::{
    finding::Finding,
    flavor::{Flavor, at_least, binlog_end_statement},
    login::{ask, server_error},
    position::file_number,
};
use crate::binlog::{
    selected::{ColumnFacts, SelectedColumn},
    statement::hides_changes,
};
use change_event::checkpoint::{BinlogPosition, SourceIdentity};
use pipeline_config::Source;
use secrecy::SecretString;
use sqlx::{AssertSqlSafe, MySqlConnection, Row};
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
        left_out(&mut connection, source, &version, &mut seen).await?;
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
    let monitor =
        if Flavor::of(version) == Flavor::MariaDb { "BINLOG MONITOR" } else { "REPLICATION CLIENT" };
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
    version: &str,
    seen: &mut Examination,
) -> Result<(), sqlx::Error> {
    let Some(status) = sqlx::query(binlog_end_statement(version)).fetch_optional(&mut *connection).await?
    else {
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

/// A setting without which rows cannot be read.
struct Wanted {
    setting: &'static str,
    value: &'static str,
    /// Why, or how where no SET does it.
    note: &'static str,
    /// What settles it on a running server.
    fix: &'static [&'static str],
}

const BOTH: [Wanted; 4] = [
    Wanted { setting: "log_bin", value: "ON", note: "start the server with --log-bin", fix: &[] },
    Wanted { setting: "binlog_format", value: "ROW", note: "", fix: &["SET GLOBAL binlog_format=ROW"] },
    Wanted {
        setting: "binlog_row_image",
        value: "FULL",
        note: "",
        fix: &["SET GLOBAL binlog_row_image=FULL"],
    },
    Wanted {
        setting: "binlog_row_metadata",
        value: "FULL",
        note: "",
        fix: &["SET GLOBAL binlog_row_metadata=FULL"],
    },
];
const MYSQL: [Wanted; 2] = [
    Wanted {
        setting: "binlog_row_value_options",
        value: "",
        note: "partial JSON updates are not decoded",
        fix: &["SET GLOBAL binlog_row_value_options=''"],
    },
    Wanted {
        setting: "gtid_mode",
        value: "ON",
        note: "a position alone does not show that the binlog was begun anew; the steps are to be taken in this order",
        fix: &[
            "SET GLOBAL enforce_gtid_consistency=ON",
            "SET GLOBAL gtid_mode=OFF_PERMISSIVE",
            "SET GLOBAL gtid_mode=ON_PERMISSIVE",
            "SET GLOBAL gtid_mode=ON",
        ],
    },
];

/// A global setting; `None` where the server does not know it.
async fn global(connection: &mut MySqlConnection, setting: &str) -> Result<Option<String>, sqlx::Error> {
    // neither family has a table of settings that the other has too
    let show = format!("SHOW GLOBAL VARIABLES LIKE '{}'", setting.replace('_', "\\_"));
    let row = sqlx::query(AssertSqlSafe(show)).fetch_optional(&mut *connection).await?;
    row.map(|row| row.try_get(1)).transpose()
}

async fn settings(
    connection: &mut MySqlConnection,
    source: &Source,
    seen: &mut Examination,
) -> Result<(String, SourceIdentity), sqlx::Error> {
    let version: String = sqlx::query_scalar("SELECT VERSION()").fetch_one(&mut *connection).await?;
    let flavor = Flavor::of(&version);
    let (oldest, own): (_, &[Wanted]) = match flavor {
        Flavor::MariaDb => (((10, 5, 0), "MariaDB 10.5"), &[]),
        Flavor::MySql => (((8, 0, 1), "MySQL 8.0.1"), &MYSQL),
    };
    if at_least(&version, oldest.0) {
        seen.settled(format!("server version {version}"));
    } else {
        seen.found(format!(
            "server version {version}: {} or later is needed for binlog_row_metadata",
            oldest.1
        ));
    }
    for wanted in BOTH.iter().chain(own) {
        let value = global(connection, wanted.setting).await?;
        let has = value.as_deref().unwrap_or("missing");
        if has.eq_ignore_ascii_case(wanted.value) || (wanted.value == "ON" && has == "1") {
            seen.settled(format!("{}={has}", wanted.setting));
            continue;
        }
        let note = if wanted.note.is_empty() { String::new() } else { format!(": {}", wanted.note) };
        let value = if wanted.value.is_empty() { "nothing" } else { wanted.value };
        let finding = Finding::new(format!("{}={has}: wanted {value}{note}", wanted.setting));
        seen.findings.push(wanted.fix.iter().fold(finding, |finding, fix| finding.fixed_by(*fix)));
    }
    replica_without_its_own_log(connection, flavor, &version, seen).await?;
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
    let server_uuid = match flavor {
        Flavor::MariaDb => None,
        Flavor::MySql => global(connection, "server_uuid").await?,
    };
    Ok((version, SourceIdentity { server_id: server_id as u32, server_uuid }))
}

/// A replica writes what it replicates to its own binlog only where it is told to.
async fn replica_without_its_own_log(
    connection: &mut MySqlConnection,
    flavor: Flavor,
    version: &str,
    seen: &mut Examination,
) -> Result<(), sqlx::Error> {
    let mut setting = "log_replica_updates";
    let mut value = global(connection, setting).await?;
    if value.is_none() {
        setting = "log_slave_updates";
        value = global(connection, setting).await?;
    }
    if value.is_none_or(|value| value != "OFF" && value != "0") {
        return Ok(());
    }
    let is_replica = match flavor {
        // set by every transaction that ever was replicated here
        Flavor::MariaDb => global(connection, "gtid_slave_pos").await?.is_some_and(|gtids| !gtids.is_empty()),
        Flavor::MySql => {
            let show =
                if at_least(version, (8, 0, 22)) { "SHOW REPLICA STATUS" } else { "SHOW SLAVE STATUS" };
            // without the right to ask, REPLICATION CLIENT is a finding of its own
            sqlx::raw_sql(show).fetch_optional(&mut *connection).await.is_ok_and(|status| status.is_some())
        }
    };
    if is_replica {
        seen.found(format!(
            "{setting}=OFF on a replica: what it replicates is not in its binlog; start it with {setting}=ON, or read from its primary"
        ));
    }
    Ok(())
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
