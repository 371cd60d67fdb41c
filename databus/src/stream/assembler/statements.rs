//! Statements: what ends or undoes a transaction, and what changes captured rows without row events.

use super::{
    Assembler, ChangeSink, Step, StreamError,
    group::{End, Group, Mode},
    outline::TooManyPlaces,
    release::outcome,
};
use crate::{
    binlog::{
        DecodeError,
        event::RawEvent,
        statement::{Effect, Fate, Statement, TableRef, Target},
    },
    stream::{
        mark::{Mark, SNAPSHOT_NEEDED, TRUNCATE},
        row_writer::Outcome,
    },
};
use change_event::checkpoint::BinlogPosition;

/// The server's own databases: no captured table, no view of one, and no trigger can be there.
const SYSTEM_DATABASES: [&str; 4] = ["mysql", "sys", "performance_schema", "information_schema"];
/// Temporary tables that are remembered at most.
const MOST_TEMPORARY: usize = 100_000;

impl Assembler {
    pub(super) fn statement(
        &mut self,
        event: &RawEvent,
        start: u64,
        parsed: Result<Statement<'_>, DecodeError>,
        sink: &mut impl ChangeSink,
    ) -> Result<Step, StreamError> {
        let statement = parsed.map_err(|reason| self.undecodable(event, start, None, reason))?;
        match statement.effect() {
            Effect::Begin => {
                match &self.group {
                    Group::Announced { start } => {
                        let start = start.clone();
                        self.open(start);
                    }
                    // a server without GTIDs
                    Group::Outside => {
                        let start = BinlogPosition { file: self.file.clone(), pos: start };
                        self.gtid.clear();
                        self.open(start);
                    }
                    Group::Standalone | Group::Transaction(_) => {}
                }
                return Ok(Step::Inside);
            }
            Effect::Commit => return self.end(event, start, End::Committed, sink),
            Effect::Rollback => return self.end(event, start, End::RolledBack, sink),
            Effect::Savepoint(name) => {
                if let Group::Transaction(open) = &mut self.group {
                    let named = open.outline.savepoint(name);
                    named.map_err(|TooManyPlaces| self.too_many_places(event, start))?;
                }
            }
            Effect::RollbackTo(name) => {
                if let Group::Transaction(open) = &mut self.group {
                    let known = open.outline.rollback_to(&name);
                    if !known.map_err(|TooManyPlaces| self.too_many_places(event, start))? {
                        let reason =
                            format!("ROLLBACK TO {name}, which no SAVEPOINT of the transaction named");
                        return Err(self.cannot_follow(event, start, None, &reason));
                    }
                }
            }
            Effect::XaCommit(xid) => return self.xa_commit(&xid, event, start, sink),
            Effect::XaRollback(xid) => return self.xa_rollback(&xid, sink),
            Effect::Defines => self.define(event, start, &statement, sink)?,
            Effect::ChangesRows(verb) => self.change_in_statement_format(event, start, &statement, verb)?,
            Effect::None => {}
        }
        match &self.group {
            Group::Standalone | Group::Announced { .. } => self.finish(),
            Group::Outside | Group::Transaction(_) => Ok(self.outside_or_inside()),
        }
    }

    fn too_many_places(&self, event: &RawEvent, start: u64) -> StreamError {
        let reason = "the transaction has more than a million savepoints and rollbacks to them, which cannot be followed in bounded memory";
        self.cannot_follow(event, start, None, reason)
    }

    fn define(
        &mut self,
        event: &RawEvent,
        start: u64,
        statement: &Statement<'_>,
        sink: &mut impl ChangeSink,
    ) -> Result<(), StreamError> {
        self.remember_temporary(event.header.server_id, statement);
        for (database, table) in self.tables.captured() {
            if statement.names_table(database, table) {
                sink.table_altered(&format!("{database}.{table}"));
            }
        }
        let fates = statement.fates();
        for (captured, fate) in self.captured_fates(&fates) {
            let (how, advice) = match fate {
                Fate::Gone(_) | Fate::Unknown(_) => continue,
                Fate::Hidden(how) => (
                    how,
                    "in a captured table changes rows that the binlog does not show as such, which cannot be followed: remove it, or take \
                     the table out of `tables`",
                ),
                Fate::Unseen(how) => (
                    how,
                    "of a captured table in statement format: its rows are not in the binlog; set binlog_format=ROW for every session",
                ),
            };
            let table = Some(format!("{}.{}", captured.database, captured.table));
            return Err(self.cannot_follow(event, start, table, &format!("{how} {advice}")));
        }
        if fates.is_empty() {
            return Ok(());
        }
        // among the rows of a transaction (CREATE OR REPLACE TABLE ... SELECT) it has a number as they have
        let number = self.count_event();
        let file = match &mut self.group {
            Group::Transaction(open) => match &open.mode {
                Mode::Hold(_) => {
                    open.keep(event.clone(), start, number);
                    return Ok(());
                }
                Mode::Scan => return Ok(()),
                Mode::Publish(judged) if outcome(judged, number, self.skip_events) != Outcome::Publish => {
                    return Ok(());
                }
                Mode::Publish(_) => open.start.file.clone(),
            },
            _ => self.file.clone(),
        };
        self.announce(event, start, &file, statement, sink)
    }

    /// Puts the marks of a statement that changed captured tables without row events on stage 1.
    pub(super) fn announce(
        &mut self,
        event: &RawEvent,
        start: u64,
        file: &str,
        statement: &Statement<'_>,
        sink: &mut impl ChangeSink,
    ) -> Result<(), StreamError> {
        let position = BinlogPosition { file: file.to_owned(), pos: start };
        for (TableRef { database, table }, fate) in self.captured_fates(&statement.fates()) {
            let (kind, reason) = match fate {
                Fate::Gone(reason) => (TRUNCATE, reason),
                Fate::Unknown(reason) => (SNAPSHOT_NEEDED, reason),
                Fate::Hidden(_) | Fate::Unseen(_) => continue,
            };
            let seq = if kind == TRUNCATE { Some(self.resume.seq.next()?) } else { None };
            sink.mark(&Mark {
                kind,
                database: &database,
                table: &table,
                reason,
                seq,
                gtid: &self.gtid,
                position: &position,
                ts_ms: i64::from(event.header.timestamp) * 1_000,
            })?;
            match seq {
                Some(seq) => {
                    // only now is the version used up
                    self.resume.seq = seq;
                    self.counts.truncates += 1;
                    tracing::info!(table = %format_args!("{database}.{table}"), reason, %seq, "a captured table was emptied");
                }
                None => {
                    self.counts.snapshots_needed += 1;
                    tracing::warn!(table = %format_args!("{database}.{table}"), reason, file, pos = start,
                        "rows of a captured table changed in a way that the binlog does not show: it needs a snapshot");
                    sink.needs_snapshot(&format!("{database}.{table}"), reason);
                }
            }
        }
        Ok(())
    }

    /// What becomes of captured tables. A name in other letters may or may not be the same table, as the server is set up: whether its
    /// rows are gone then only reading it tells.
    fn captured_fates(&self, fates: &[(Target, Fate)]) -> Vec<(TableRef, Fate)> {
        let mut found = Vec::new();
        for (target, fate) in fates {
            for (database, table) in self.tables.captured() {
                let exact = match target {
                    Target::Table(named) => named.database == *database && named.table == *table,
                    Target::Database(named) => named == database,
                };
                let similar = match target {
                    Target::Table(named) => {
                        named.database.eq_ignore_ascii_case(database)
                            && named.table.eq_ignore_ascii_case(table)
                    }
                    Target::Database(named) => named.eq_ignore_ascii_case(database),
                };
                let captured = TableRef { database: database.clone(), table: table.clone() };
                match fate {
                    _ if exact => found.push((captured, *fate)),
                    Fate::Gone(_) if similar => {
                        found.push((
                            captured,
                            Fate::Unknown("a table whose name differs in case only was emptied"),
                        ));
                    }
                    _ if similar => found.push((captured, *fate)),
                    _ => {}
                }
            }
        }
        found
    }

    fn remember_temporary(&mut self, server_id: u32, statement: &Statement<'_>) {
        if let Some(table) = statement.makes_temporary()
            && self.temporary.len() < MOST_TEMPORARY
        {
            self.temporary.insert((server_id, statement.thread, table));
        }
        if !self.temporary.is_empty() {
            for table in statement.drops_tables() {
                self.temporary.remove(&(server_id, statement.thread, table));
            }
        }
    }

    /// A data change whose rows are not in the log. A view, a trigger or a stored function can take it to a table that it does not name,
    /// so it stops the source wherever it runs in, or names, a database of a captured table; unless its only target is a temporary table,
    /// or one of the server's own. Elsewhere only a view, trigger or routine across databases could do that: counted, and warned of.
    fn change_in_statement_format(
        &mut self,
        event: &RawEvent,
        start: u64,
        statement: &Statement<'_>,
        verb: &str,
    ) -> Result<(), StreamError> {
        let harmless = statement.written_table().is_some_and(|table| {
            let system = SYSTEM_DATABASES.iter().any(|name| table.database.eq_ignore_ascii_case(name));
            let key = (event.header.server_id, statement.thread, table);
            (system || self.temporary.contains(&key)) && !statement.may_call_code()
        });
        if harmless {
            return Ok(());
        }
        let captured = self.tables.captured();
        let named = captured.iter().find(|(database, table)| statement.names_table(database, table));
        let near = captured.iter().find(|(database, _)| statement.names_database(database));
        let Some((database, table)) = named.or(near) else {
            self.counts.statements_elsewhere += 1;
            tracing::warn!(
                database = statement.database,
                verb,
                file = self.file,
                pos = start,
                "a change in statement format, in a database without captured tables; if a view, trigger or routine there writes to a \
                 captured table, its rows are missing: set binlog_format=ROW for every session"
            );
            return Ok(());
        };
        let reach = if named.is_some() {
            ""
        } else {
            ", perhaps those of this table, through a view, a trigger or a routine"
        };
        let reason = format!(
            "{verb} in statement format changes rows that are not in the binlog{reach}; set binlog_format=ROW for every session"
        );
        Err(self.cannot_follow(event, start, Some(format!("{database}.{table}")), &reason))
    }
}
