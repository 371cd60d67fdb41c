//! Statement text: read only to recognise what ends a transaction, and what changes captured rows without row events.

use super::bytes::{Bytes, DecodeError};

/// A QUERY event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement<'a> {
    /// The session's default database.
    pub database: &'a str,
    /// The text, read leniently: it may be in any charset.
    pub text: std::borrow::Cow<'a, str>,
}

impl<'a> Statement<'a> {
    /// Reads a QUERY event's body.
    pub fn parse(mut body: Bytes<'a>) -> Result<Self, DecodeError> {
        body.take(8)?;
        let database_len = usize::from(body.u8()?);
        body.take(2)?;
        let status_len = body.uint(2)? as usize;
        body.take(status_len)?;
        let database = std::str::from_utf8(body.take(database_len)?)
            .map_err(|_| DecodeError::Malformed("a database name that is not UTF-8"))?;
        body.take(1)?;
        Ok(Self { database, text: String::from_utf8_lossy(body.0) })
    }

    /// What it means to the stream.
    pub fn effect(&self) -> Effect {
        let mut words = Words::new(&self.text);
        let mut first = words.next_word();
        if first.as_deref() == Some("SET") && words.next_word().as_deref() == Some("STATEMENT") {
            // MariaDB: SET STATEMENT variable=value FOR the statement itself
            while words.next_word().is_some_and(|word| word != "FOR") {}
            first = words.next_word();
        }
        match first.as_deref() {
            Some("COMMIT") => Effect::Commit,
            Some("ROLLBACK") if mentions_word(&self.text, "TO") => Effect::RollbackToSavepoint,
            Some("ROLLBACK") => Effect::Rollback,
            Some("TRUNCATE") => Effect::RemovesRows("TRUNCATE"),
            Some("DROP") => Effect::RemovesRows("DROP"),
            Some("ALTER") if mentions_word(&self.text, "PARTITION") => {
                Effect::RemovesRows("ALTER ... PARTITION")
            }
            Some(verb @ ("INSERT" | "UPDATE" | "DELETE" | "REPLACE" | "LOAD" | "WITH" | "CALL")) => {
                Effect::ChangesRows(match verb {
                    "INSERT" => "INSERT",
                    "UPDATE" => "UPDATE",
                    "DELETE" => "DELETE",
                    "REPLACE" => "REPLACE",
                    "LOAD" => "LOAD DATA",
                    _ => "a data change",
                })
            }
            _ => Effect::None,
        }
    }

    /// Whether the text names this table, with its database or through the default one. Quoted strings and comments do not count.
    pub fn names_table(&self, database: &str, table: &str) -> bool {
        let mut words = Words::new(&self.text);
        let mut qualifier: Option<String> = None;
        while let Some(token) = words.next_token() {
            match token {
                Token::Name(name) => {
                    let in_database = qualifier.as_deref().unwrap_or(self.database);
                    if name.eq_ignore_ascii_case(table) && in_database.eq_ignore_ascii_case(database) {
                        return true;
                    }
                    qualifier = words.skip_dot().then_some(name);
                }
                Token::Other => qualifier = None,
            }
        }
        false
    }
}

/// What a statement does to the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// The transaction is done.
    Commit,
    /// The transaction is undone.
    Rollback,
    /// Part of the transaction is undone.
    RollbackToSavepoint,
    /// Rows of the named table go without row events.
    RemovesRows(&'static str),
    /// A data change in statement format: rows change without row events.
    ChangesRows(&'static str),
    /// Nothing to rows. DDL changes shapes, but the next table map says how.
    None,
}

fn mentions_word(text: &str, wanted: &str) -> bool {
    let mut words = Words::new(text);
    std::iter::from_fn(|| words.next_word()).any(|word| word == wanted)
}

enum Token {
    Name(String),
    Other,
}

/// SQL text as names and everything else; comments are skipped, except executable ones, whose content counts.
struct Words<'a> {
    rest: &'a str,
}

impl<'a> Words<'a> {
    fn new(text: &'a str) -> Self {
        Self { rest: text }
    }

    /// The next unquoted or quoted name in capitals.
    fn next_word(&mut self) -> Option<String> {
        loop {
            match self.next_token()? {
                Token::Name(name) => return Some(name.to_ascii_uppercase()),
                Token::Other => {}
            }
        }
    }

    /// Whether a dot comes next (and steps over it).
    fn skip_dot(&mut self) -> bool {
        let trimmed = self.rest.trim_start();
        match trimmed.strip_prefix('.') {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn next_token(&mut self) -> Option<Token> {
        loop {
            self.rest = self.rest.trim_start();
            let first = self.rest.chars().next()?;
            if let Some(comment) = self.rest.strip_prefix("/*") {
                if let Some(code) = comment.strip_prefix("M!").or_else(|| comment.strip_prefix('!')) {
                    // executable comment: its content is code, the version number in front is not
                    self.rest = code.trim_start_matches(|c: char| c.is_ascii_digit());
                } else {
                    self.rest = comment.find("*/").and_then(|end| comment.get(end + 2..)).unwrap_or_default();
                }
                continue;
            }
            if self.rest.starts_with('#') || self.rest.starts_with("-- ") || self.rest.starts_with("--\n") {
                self.rest = self.rest.find('\n').and_then(|end| self.rest.get(end + 1..)).unwrap_or_default();
                continue;
            }
            return Some(match first {
                '`' => Token::Name(self.quoted('`')),
                // a name under ANSI_QUOTES, a string otherwise: counted as a name, which errs towards stopping
                '"' => Token::Name(self.quoted('"')),
                '\'' => {
                    self.quoted('\'');
                    Token::Other
                }
                _ if is_name(first) => {
                    let end = self.rest.find(|c| !is_name(c)).unwrap_or(self.rest.len());
                    let (name, rest) = self.rest.split_at(end);
                    self.rest = rest;
                    Token::Name(name.to_owned())
                }
                _ => {
                    self.rest = self.rest.get(first.len_utf8()..).unwrap_or_default();
                    Token::Other
                }
            });
        }
    }

    /// The text up to the closing quote; a doubled quote stands for itself, in strings a backslash escapes.
    fn quoted(&mut self, quote: char) -> String {
        let mut name = String::new();
        let mut chars = self.rest.char_indices().skip(1).peekable();
        while let Some((at, c)) = chars.next() {
            if c == '\\' && quote != '`' {
                name.extend(chars.next().map(|(_, escaped)| escaped));
            } else if c == quote {
                if chars.peek().is_some_and(|(_, next)| *next == quote) {
                    chars.next();
                    name.push(quote);
                } else {
                    self.rest = self.rest.get(at + c.len_utf8()..).unwrap_or_default();
                    return name;
                }
            } else {
                name.push(c);
            }
        }
        self.rest = "";
        name
    }
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$' || c as u32 >= 0x80
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn statement(text: &str) -> Statement<'_> {
        Statement { database: "accounting", text: text.into() }
    }

    #[test]
    fn statements_that_change_rows_without_row_events_are_recognised() {
        for (text, effect) in [
            ("COMMIT", Effect::Commit),
            ("ROLLBACK", Effect::Rollback),
            ("ROLLBACK TO `s1`", Effect::RollbackToSavepoint),
            ("truncate table entry", Effect::RemovesRows("TRUNCATE")),
            ("/* note */ TRUNCATE entry", Effect::RemovesRows("TRUNCATE")),
            ("/*!50000 DROP */ TABLE entry", Effect::RemovesRows("DROP")),
            ("SET STATEMENT max_statement_time=1 FOR DELETE FROM entry", Effect::ChangesRows("DELETE")),
            ("-- c\nUPDATE entry SET a=1", Effect::ChangesRows("UPDATE")),
            ("ALTER TABLE entry TRUNCATE PARTITION p0", Effect::RemovesRows("ALTER ... PARTITION")),
            ("ALTER TABLE entry ADD COLUMN c INT", Effect::None),
            ("SAVEPOINT `s1`", Effect::None),
            ("CREATE TABLE x (a INT)", Effect::None),
        ] {
            assert_eq!(statement(text).effect(), effect, "{text}");
        }
    }

    #[test]
    fn a_table_is_named_by_itself_or_with_its_database_but_not_inside_strings() {
        for (text, named) in [
            ("TRUNCATE entry", true),
            ("TRUNCATE `accounting`.`entry`", true),
            ("TRUNCATE accounting . ENTRY", true),
            ("TRUNCATE other.entry", false),
            ("TRUNCATE entry_old", false),
            ("INSERT INTO note VALUES ('entry')", false),
            ("DROP TABLE a, b, entry", true),
            ("INSERT INTO t /* entry */ VALUES (1)", false),
        ] {
            assert_eq!(statement(text).names_table("accounting", "entry"), named, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in any::<String>(), bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let statement = statement(&text);
            let _ = (statement.effect(), statement.names_table("a", "b"));
            let _ = Statement::parse(Bytes(&bytes));
        }
    }
}
