//! Finds places in the server's binlog where a transaction begins, and tells what lies between two of them, by the server's own list
//! of events. For operators' commands: it reads whole files.

use super::{position, retention::Retention};
use change_event::checkpoint::BinlogPosition;
use futures::TryStreamExt;
use pipeline_config::Source;
use sqlx::{AssertSqlSafe, MySqlConnection, Row};
use std::{cmp::Ordering, collections::BTreeMap};

/// A place between two transactions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spot {
    /// Where reading would go on.
    pub position: BinlogPosition,
    /// The transaction before it, as the server writes its GTID; `None` where its file does not tell.
    pub gtid: Option<String>,
}

/// What an operator names a place by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sought {
    /// File and offset.
    Position(BinlogPosition),
    /// Behind this transaction.
    Gtid(String),
}

/// Why there is no such place.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoSpot {
    /// The server does not answer.
    #[error("ask the source for its binlog events: {0}")]
    Server(#[from] sqlx::Error),
    /// No such file.
    #[error("the source has no binlog file {file}; it has {files}")]
    NoFile { file: String, files: String },
    /// The offset is not between two transactions.
    #[error(
        "{file}:{pos} is not between two transactions; the nearest places before and after it that are: {before} and {after}"
    )]
    Inside { file: String, pos: u64, before: u64, after: String },
    /// No such transaction.
    #[error("no transaction {gtid} is in the binlog files that the source has ({files})")]
    NoGtid { gtid: String, files: String },
}

/// What lies between two places.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Passage {
    /// Transactions of any table.
    pub transactions: u64,
    /// The first and the last of them, where they have GTIDs.
    pub first_gtid: Option<String>,
    /// See `first_gtid`.
    pub last_gtid: Option<String>,
    /// Rows events of captured tables: each holds one row or more.
    pub rows_events: BTreeMap<String, u64>,
    /// Compressed transactions, whose tables the list does not show.
    pub opaque: u64,
}

/// One line of `SHOW BINLOG EVENTS`.
struct Event {
    pos: u64,
    kind: String,
    info: String,
}

impl Event {
    fn is_transaction(&self) -> bool {
        matches!(self.kind.as_str(), "Gtid" | "Anonymous_Gtid" | "Gtid_tagged")
    }

    /// Whether reading may begin with it.
    fn is_boundary(&self) -> bool {
        self.is_transaction()
            || matches!(
                self.kind.as_str(),
                "Format_desc"
                    | "Gtid_list"
                    | "Previous_gtids"
                    | "Binlog_checkpoint"
                    | "Rotate"
                    | "Stop"
                    | "Start_encryption"
            )
    }

    /// `BEGIN GTID 0-1-5 cid=3` (MariaDB), `SET @@SESSION.GTID_NEXT= 'uuid:5'` (MySQL).
    fn gtid(&self) -> Option<&str> {
        if !self.is_transaction() {
            return None;
        }
        match self.info.split_once("GTID ") {
            Some((_, rest)) => rest.split_whitespace().next(),
            None => self.info.split('\'').nth(1).filter(|gtid| gtid.contains(':')),
        }
    }

    /// `table_id: 31 (accounting.entry)`: the id and the name.
    fn table(&self) -> Option<(&str, &str)> {
        let (_, rest) = (self.kind == "Table_map").then(|| self.info.split_once('('))??;
        Some((self.table_id()?, rest.strip_suffix(')')?))
    }

    /// `table_id: 31 flags: STMT_END_F`
    fn table_id(&self) -> Option<&str> {
        self.info.strip_prefix("table_id: ")?.split_whitespace().next()
    }

    fn is_rows(&self) -> bool {
        self.kind.contains("_rows") && self.kind != "Annotate_rows" && self.kind != "Rows_query"
    }
}

/// Hands each event of a file to `each`, until it says false.
async fn walk(
    connection: &mut MySqlConnection,
    file: &str,
    mut each: impl FnMut(Event) -> bool,
) -> Result<(), sqlx::Error> {
    // SHOW takes no parameters; the name is one that the server listed
    let statement = format!("SHOW BINLOG EVENTS IN '{}'", file.replace('\\', "\\\\").replace('\'', "''"));
    let mut events = sqlx::query(AssertSqlSafe(statement)).fetch(connection);
    while let Some(row) = events.try_next().await? {
        let event = Event { pos: row.try_get(1)?, kind: row.try_get(2)?, info: row.try_get(5)? };
        if !each(event) {
            break;
        }
    }
    Ok(())
}

/// The place that was named, if reading can go on there.
pub(crate) async fn find(
    connection: &mut MySqlConnection,
    retention: &Retention,
    sought: &Sought,
) -> Result<Spot, NoSpot> {
    match sought {
        Sought::Position(at) => find_position(connection, retention, at).await,
        Sought::Gtid(gtid) => {
            let all = retention.oldest().zip(retention.end());
            let files =
                all.map_or_else(Vec::new, |(first, last)| retention.files_between(&first.file, &last.file));
            // the newest first: a transaction that an operator names is rarely old
            for file in files.iter().rev() {
                let (mut found, mut behind) = (false, None);
                walk(connection, file, |event| {
                    if found && event.is_boundary() {
                        behind = Some(event.pos);
                        return false;
                    }
                    found |= event.gtid() == Some(gtid);
                    true
                })
                .await?;
                if found {
                    let end = retention.files.length_of(file).unwrap_or_default();
                    let position = BinlogPosition { file: file.clone(), pos: behind.unwrap_or(end) };
                    return Ok(Spot { position, gtid: Some(gtid.clone()) });
                }
            }
            Err(NoSpot::NoGtid { gtid: gtid.clone(), files: retention.files.to_string() })
        }
    }
}

async fn find_position(
    connection: &mut MySqlConnection,
    retention: &Retention,
    at: &BinlogPosition,
) -> Result<Spot, NoSpot> {
    let Some(length) = retention.files.length_of(&at.file) else {
        return Err(NoSpot::NoFile { file: at.file.clone(), files: retention.files.to_string() });
    };
    let (mut gtid, mut before, mut hit, mut after) = (None, 4, at.pos == length, None);
    walk(connection, &at.file, |event| {
        if event.pos >= at.pos {
            hit |= event.pos == at.pos && event.is_boundary();
            if event.is_boundary() {
                after = Some(event.pos);
            }
            return !hit && after.is_none();
        }
        if event.is_boundary() {
            before = event.pos;
        }
        if event.kind == "Gtid_list" {
            // `[0-1-5,1-1-3]`: with one domain it is the transaction before this file
            let listed = event.info.trim_matches(['[', ']']);
            gtid = Some(listed.to_owned()).filter(|one| !one.is_empty() && !one.contains(','));
        }
        gtid = event.gtid().map(str::to_owned).or(gtid.take());
        true
    })
    .await?;
    if hit {
        return Ok(Spot { position: at.clone(), gtid });
    }
    let after = after.unwrap_or(length).to_string();
    Err(NoSpot::Inside { file: at.file.clone(), pos: at.pos, before, after })
}

/// What lies from one place to another.
pub(crate) async fn between(
    connection: &mut MySqlConnection,
    retention: &Retention,
    source: &Source,
    from: &BinlogPosition,
    to: &BinlogPosition,
) -> Result<Passage, sqlx::Error> {
    let mut passage = Passage::default();
    for file in retention.files_between(&from.file, &to.file) {
        let mut captured: BTreeMap<String, Option<String>> = BTreeMap::new();
        walk(connection, &file, |event| {
            let here = BinlogPosition { file: file.clone(), pos: event.pos };
            if position::compare(&here, from) == Some(Ordering::Less) {
                return true;
            }
            if position::compare(&here, to) != Some(Ordering::Less) {
                return false;
            }
            if event.is_transaction() {
                passage.transactions += 1;
                let gtid = event.gtid().map(str::to_owned);
                if passage.first_gtid.is_none() {
                    passage.first_gtid.clone_from(&gtid);
                }
                passage.last_gtid = gtid.or(passage.last_gtid.take());
            } else if let Some((id, name)) = event.table() {
                let is_captured =
                    name.split_once('.').is_some_and(|(database, table)| source.captures(database, table));
                captured.insert(id.to_owned(), is_captured.then(|| name.to_owned()));
            } else if event.is_rows() {
                let table = event.table_id().and_then(|id| captured.get(id));
                if let Some(Some(table)) = table {
                    *passage.rows_events.entry(table.clone()).or_default() += 1;
                }
            } else if event.kind == "Transaction_payload" {
                passage.opaque += 1;
            }
            true
        })
        .await?;
    }
    Ok(passage)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: &str, info: &str) -> Event {
        Event { pos: 4, kind: kind.to_owned(), info: info.to_owned() }
    }

    #[test]
    fn both_servers_lines_tell_their_transactions_and_tables() {
        assert_eq!(event("Gtid", "BEGIN GTID 0-1-5 cid=3").gtid(), Some("0-1-5"));
        assert_eq!(event("Gtid", "GTID 0-1-6").gtid(), Some("0-1-6"));
        assert_eq!(
            event("Gtid", "SET @@SESSION.GTID_NEXT= '3e11fa47-71ca:5'").gtid(),
            Some("3e11fa47-71ca:5")
        );
        assert_eq!(event("Anonymous_Gtid", "SET @@SESSION.GTID_NEXT= 'ANONYMOUS'").gtid(), None);
        assert_eq!(
            event("Table_map", "table_id: 31 (accounting.entry)").table(),
            Some(("31", "accounting.entry"))
        );
        assert_eq!(event("Write_rows_v1", "table_id: 31 flags: STMT_END_F").table_id(), Some("31"));
        assert_eq!(event("Query", "use `a`; insert into b (c)").table(), None);
        assert!(event("Write_rows_v1", "").is_rows() && event("Update_rows_compressed_v1", "").is_rows());
        assert!(!event("Annotate_rows", "").is_rows() && !event("Table_map", "").is_boundary());
    }
}
