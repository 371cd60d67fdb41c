//! Statement text: read only to recognise what ends a transaction, and what changes captured rows without row events.

mod ddl;
mod dml;
#[cfg(test)]
mod tests;
mod words;

use super::{
    bytes::{Bytes, DecodeError},
    xid,
};
use std::borrow::Cow;
use words::{Token, Words};

pub use ddl::{Fate, Target};
pub use words::{Quoting, TableRef};

/// A QUERY event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement<'a> {
    /// The session's default database.
    pub database: &'a str,
    /// The text, read leniently: it may be in any charset.
    pub text: Cow<'a, str>,
    /// The session's own number on the server that wrote it.
    pub thread: u32,
    /// How the session quotes.
    pub quoting: Quoting,
}

/// Bytes between the status variables and the database name.
const LOAD_QUERY_EXTRA: usize = 13;

impl<'a> Statement<'a> {
    /// Reads a QUERY event's body.
    pub fn parse(body: Bytes<'a>) -> Result<Self, DecodeError> {
        let (mut statement, text) = Self::head(body, 0)?;
        statement.text = String::from_utf8_lossy(text.0);
        Ok(statement)
    }

    /// Reads an EXECUTE_LOAD_QUERY event's body: a LOAD DATA in statement format, whose file went ahead in events of its own.
    pub fn parse_load(body: Bytes<'a>) -> Result<Self, DecodeError> {
        // file id, start and end of the file's name in the text, what to do with duplicates
        let (mut statement, text) = Self::head(body, LOAD_QUERY_EXTRA)?;
        statement.text = String::from_utf8_lossy(text.0);
        Ok(statement)
    }

    /// Reads a QUERY_COMPRESSED event's body.
    pub fn parse_compressed(body: Bytes<'a>) -> Result<Self, DecodeError> {
        let (mut statement, packed) = Self::head(body, 0)?;
        let mut text = Vec::new();
        super::inflate::inflate(packed, &mut text)?;
        statement.text = Cow::Owned(String::from_utf8_lossy(&text).into_owned());
        Ok(statement)
    }

    /// Everything but the text, and the text's bytes.
    fn head(mut body: Bytes<'a>, extra: usize) -> Result<(Self, Bytes<'a>), DecodeError> {
        let thread = u32::from_le_bytes(body.array()?);
        body.take(4)?;
        let database_len = usize::from(body.u8()?);
        body.take(2)?;
        let status_len = body.uint(2)? as usize;
        body.take(extra)?;
        let quoting = quoting(Bytes(body.take(status_len)?));
        let database = std::str::from_utf8(body.take(database_len)?)
            .map_err(|_| DecodeError::Malformed("a database name that is not UTF-8"))?;
        body.take(1)?;
        Ok((Self { database, text: Cow::Borrowed(""), thread, quoting }, body))
    }

    /// What it means to the stream.
    pub fn effect(&self) -> Effect {
        let mut words = self.words();
        let Some(verb) = self.verb(&mut words) else { return Effect::None };
        match verb.as_str() {
            "BEGIN" => Effect::Begin,
            "START" if words.at("TRANSACTION") => Effect::Begin,
            "COMMIT" => Effect::Commit,
            "SAVEPOINT" => words.name().map_or(Effect::None, Effect::Savepoint),
            "ROLLBACK" => {
                words.pass(&["WORK"]);
                if !words.at("TO") {
                    return Effect::Rollback;
                }
                words.pass(&["TO", "SAVEPOINT"]);
                words.name().map_or(Effect::None, Effect::RollbackTo)
            }
            "XA" => match words.next_keyword().as_deref() {
                Some("START" | "BEGIN") => Effect::Begin,
                Some("COMMIT") => Effect::XaCommit(xid::of_statement(words.rest())),
                Some("ROLLBACK") => Effect::XaRollback(xid::of_statement(words.rest())),
                _ => Effect::None,
            },
            "TRUNCATE" | "DROP" | "RENAME" | "CREATE" | "ALTER" => Effect::Defines,
            "INSERT" => Effect::ChangesRows("INSERT"),
            "UPDATE" => Effect::ChangesRows("UPDATE"),
            "DELETE" => Effect::ChangesRows("DELETE"),
            "REPLACE" => Effect::ChangesRows("REPLACE"),
            "LOAD" => Effect::ChangesRows("LOAD DATA"),
            "WITH" | "MERGE" | "HANDLER" | "IMPORT" => Effect::ChangesRows("a data change"),
            // logged only when a function that it calls changed rows
            "SELECT" | "DO" | "CALL" | "VALUES" | "EXECUTE" => Effect::ChangesRows("a call"),
            _ => Effect::None,
        }
    }

    /// Whether the text names this table, with its database or through the default one. Quoted strings and comments do not count.
    pub fn names_table(&self, database: &str, table: &str) -> bool {
        let mut words = self.words();
        let mut qualifier: Option<String> = None;
        while let Some(token) = words.next() {
            match token {
                Token::Word(name) | Token::Name(name) => {
                    let in_database = qualifier.as_deref().unwrap_or(self.database);
                    if name.eq_ignore_ascii_case(table) && in_database.eq_ignore_ascii_case(database) {
                        return true;
                    }
                    qualifier = (words.peek() == Some(Token::Symbol('.'))).then_some(name);
                }
                Token::Symbol('.') => {}
                Token::Text | Token::Symbol(_) => qualifier = None,
            }
        }
        false
    }

    /// Whether the text names this database, or runs in it.
    pub fn names_database(&self, database: &str) -> bool {
        self.database.eq_ignore_ascii_case(database)
            || self.words().any(|token| {
                matches!(token, Token::Word(name) | Token::Name(name) if name.eq_ignore_ascii_case(database))
            })
    }

    fn words(&self) -> Words<'_> {
        Words::new(&self.text, self.quoting)
    }

    /// The statement's first word in capitals, behind MariaDB's `SET STATEMENT variable=value FOR` and opening parentheses.
    fn verb(&self, words: &mut Words<'_>) -> Option<String> {
        let first = words.next_keyword()?;
        if first == "SET" && words.at("STATEMENT") {
            while words.next_keyword()? != "FOR" {}
            return words.next_keyword();
        }
        Some(first)
    }
}

/// The `sql_mode` among a statement's status variables, which stands in front of all others but the flags.
/// <https://dev.mysql.com/doc/dev/mysql-server/latest/classbinary__log_1_1Query__event.html>
fn quoting(mut status: Bytes<'_>) -> Quoting {
    const FLAGS: u8 = 0;
    const SQL_MODE: u8 = 1;
    const ANSI_QUOTES: u64 = 1 << 2;
    const NO_BACKSLASH_ESCAPES: u64 = 1 << 20;
    let mut mode = || {
        let mut code = status.u8()?;
        if code == FLAGS {
            status.take(4)?;
            code = status.u8()?;
        }
        if code == SQL_MODE { status.uint(8) } else { Ok(0) }
    };
    let mode = mode().unwrap_or_default();
    Quoting { ansi: mode & ANSI_QUOTES != 0, plain_backslash: mode & NO_BACKSLASH_ESCAPES != 0 }
}

/// What a statement does to the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// A transaction begins.
    Begin,
    /// The transaction is done.
    Commit,
    /// The transaction is undone.
    Rollback,
    /// A place in the transaction gets a name.
    Savepoint(String),
    /// Everything since that place is undone.
    RollbackTo(String),
    /// The prepared XA transaction of this name takes effect.
    XaCommit(String),
    /// The prepared XA transaction of this name is undone.
    XaRollback(String),
    /// DDL: [`Statement::fates`] says whose rows it changes.
    Defines,
    /// A data change in statement format: rows change without row events.
    ChangesRows(&'static str),
    /// Nothing to rows.
    None,
}

/// Whether a table's definition makes the server change its rows by itself: a cascading foreign key, or row versions.
pub fn hides_changes(definition: &str) -> Option<&'static str> {
    let mut before = [String::new(), String::new()];
    let mut words = Words::new(definition, Quoting::default());
    while let Some(word) = words.next_keyword() {
        let on = before[0] == "ON" && matches!(before[1].as_str(), "DELETE" | "UPDATE");
        if on && matches!(word.as_str(), "CASCADE" | "SET") {
            return Some("a cascading foreign key");
        }
        if before[1] == "SYSTEM" && word == "VERSIONING" {
            return Some("SYSTEM VERSIONING");
        }
        before.swap(0, 1);
        before[1] = word;
    }
    None
}
