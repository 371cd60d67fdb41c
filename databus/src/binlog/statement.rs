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

    /// Reads an EXECUTE_LOAD_QUERY event's body: a LOAD DATA in statement format, whose file went ahead in events of its own.
    pub fn parse_load(body: Bytes<'a>) -> Result<Self, DecodeError> {
        let mut head = body;
        head.take(8)?;
        let database_len = usize::from(head.u8()?);
        head.take(2)?;
        let status_len = head.uint(2)? as usize;
        // behind a statement's own head: file id, start and end of the file's name in the text, what to do with duplicates
        head.take(13 + status_len)?;
        let database = std::str::from_utf8(head.take(database_len)?)
            .map_err(|_| DecodeError::Malformed("a database name that is not UTF-8"))?;
        head.take(1)?;
        Ok(Self { database, text: String::from_utf8_lossy(head.0) })
    }

    /// Whether it opens a transaction.
    pub fn opens(&self) -> bool {
        self.text.trim().eq_ignore_ascii_case("BEGIN")
    }

    /// What it means to the stream.
    pub fn effect(&self) -> Effect {
        let mut words = Words::new(&self.text);
        let mut first = words.next_keyword();
        if first.as_deref() == Some("SET") && words.next_keyword().as_deref() == Some("STATEMENT") {
            // MariaDB: SET STATEMENT variable=value FOR the statement itself
            while words.next_keyword().is_some_and(|word| word != "FOR") {}
            first = words.next_keyword();
        }
        let Some(first) = first else { return Effect::None };
        match first.as_str() {
            "COMMIT" => Effect::Commit,
            "ROLLBACK" if words.any(|word| word == "TO") => Effect::RollbackToSavepoint,
            "ROLLBACK" => Effect::Rollback,
            "TRUNCATE" => Effect::MovesRows("TRUNCATE"),
            // temporary tables, indexes, views and the like hold no captured rows
            "DROP" => match words.next_keyword().as_deref() {
                Some("TABLE" | "TABLES") => Effect::MovesRows("DROP"),
                Some("DATABASE" | "SCHEMA") => Effect::RemovesDatabase,
                _ => Effect::None,
            },
            "RENAME" => match words.next_keyword().as_deref() {
                Some("TABLE" | "TABLES") => Effect::MovesRows("RENAME"),
                _ => Effect::None,
            },
            "CREATE" => words.effect_of_create(),
            "ALTER" => words.effect_of_alter(),
            "INSERT" => Effect::ChangesRows("INSERT"),
            "UPDATE" => Effect::ChangesRows("UPDATE"),
            "DELETE" => Effect::ChangesRows("DELETE"),
            "REPLACE" => Effect::ChangesRows("REPLACE"),
            "LOAD" => Effect::ChangesRows("LOAD DATA"),
            "WITH" | "MERGE" => Effect::ChangesRows("a data change"),
            // logged only when a function that it calls changed rows
            "SELECT" | "DO" | "CALL" | "VALUES" => Effect::CallsCode,
            _ => Effect::None,
        }
    }

    /// Whether a CREATE or ALTER TABLE is about this table itself, not just naming it (as a foreign key's parent).
    pub fn is_about(&self, database: &str, table: &str) -> bool {
        let mut words = Words::new(&self.text);
        while words.next_keyword().is_some_and(|word| word != "TABLE") {}
        while let Some(Token::Word(name) | Token::Name(name)) = words.next_token() {
            // TABLE [IF [NOT] EXISTS] name
            if ["IF", "NOT", "EXISTS"].iter().any(|word| name.eq_ignore_ascii_case(word)) {
                continue;
            }
            let (in_database, name) = match words.skip_dot().then(|| words.next_token()) {
                Some(Some(Token::Word(second) | Token::Name(second))) => (Some(name), second),
                _ => (None, name),
            };
            return name.eq_ignore_ascii_case(table)
                && in_database.as_deref().unwrap_or(self.database).eq_ignore_ascii_case(database);
        }
        false
    }

    /// Whether a DROP DATABASE is about this one.
    pub fn drops_database(&self, database: &str) -> bool {
        let mut words = Words::new(&self.text);
        while words.next_keyword().is_some_and(|word| word != "DATABASE" && word != "SCHEMA") {}
        while let Some(Token::Word(name) | Token::Name(name)) = words.next_token() {
            if !name.eq_ignore_ascii_case("IF") && !name.eq_ignore_ascii_case("EXISTS") {
                return name.eq_ignore_ascii_case(database);
            }
        }
        false
    }

    /// Whether the text names this database, or runs in it.
    pub fn names_database(&self, database: &str) -> bool {
        if self.database.eq_ignore_ascii_case(database) {
            return true;
        }
        let mut words = Words::new(&self.text);
        while let Some(token) = words.next_token() {
            if matches!(token, Token::Word(name) | Token::Name(name) if name.eq_ignore_ascii_case(database)) {
                return true;
            }
        }
        false
    }

    /// Whether the text names this table, with its database or through the default one. Quoted strings and comments do not count.
    pub fn names_table(&self, database: &str, table: &str) -> bool {
        let mut words = Words::new(&self.text);
        let mut qualifier: Option<String> = None;
        while let Some(token) = words.next_token() {
            match token {
                Token::Word(name) | Token::Name(name) => {
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
    /// Rows of a named table go, come or move to another name without row events.
    MovesRows(&'static str),
    /// All tables of the named database go.
    RemovesDatabase,
    /// The table that it is about gets rules by which rows change that never reach the binlog as such.
    Hides(&'static str),
    /// A data change in statement format: rows change without row events.
    ChangesRows(&'static str),
    /// A stored function in statement format: nobody knows whose rows change.
    CallsCode,
    /// Nothing to rows. DDL changes shapes, but the next table map says how.
    None,
}

/// Whether a table's definition makes the server change its rows by itself: a cascading foreign key, or row versions.
pub fn hides_changes(definition: &str) -> Option<&'static str> {
    let mut before = [String::new(), String::new()];
    for word in Words::new(definition) {
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

enum Token {
    /// Not quoted: a keyword or a name.
    Word(String),
    /// Quoted: a name.
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

    /// The next unquoted word in capitals.
    fn next_keyword(&mut self) -> Option<String> {
        loop {
            if let Token::Word(name) = self.next_token()? {
                return Some(name.to_ascii_uppercase());
            }
        }
    }

    /// Behind CREATE.
    fn effect_of_create(mut self) -> Effect {
        let mut word = self.next_keyword();
        let replaces = word.as_deref() == Some("OR");
        if replaces {
            self.next_keyword();
            word = self.next_keyword();
        }
        match word.as_deref() {
            Some("TABLE") if replaces => Effect::MovesRows("CREATE OR REPLACE"),
            Some("TABLE") => hides_changes(self.rest).map_or(Effect::None, Effect::Hides),
            _ => Effect::None,
        }
    }

    /// Behind ALTER.
    fn effect_of_alter(mut self) -> Effect {
        let hides = hides_changes(self.rest);
        let mut before = String::new();
        while let Some(word) = self.next_keyword() {
            match (before.as_str(), word.as_str()) {
                (_, "PARTITION") => return Effect::MovesRows("ALTER ... PARTITION"),
                (_, "TABLE") if before == "IGNORE" => return Effect::MovesRows("ALTER IGNORE"),
                ("DISCARD" | "IMPORT", "TABLESPACE") => return Effect::MovesRows("ALTER ... TABLESPACE"),
                ("RENAME", "COLUMN" | "INDEX" | "KEY") => {}
                ("RENAME", _) => return Effect::MovesRows("ALTER ... RENAME"),
                _ => {}
            }
            before = word;
        }
        match (before.as_str(), hides) {
            // the new name was quoted
            ("RENAME", _) => Effect::MovesRows("ALTER ... RENAME"),
            (_, Some(how)) => Effect::Hides(how),
            _ => Effect::None,
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
                    Token::Word(name.to_owned())
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

impl Iterator for Words<'_> {
    type Item = String;
    fn next(&mut self) -> Option<String> {
        self.next_keyword()
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
            ("truncate table entry", Effect::MovesRows("TRUNCATE")),
            ("/* note */ TRUNCATE entry", Effect::MovesRows("TRUNCATE")),
            ("/*!50000 DROP */ TABLE entry", Effect::MovesRows("DROP")),
            ("SET STATEMENT max_statement_time=1 FOR DELETE FROM entry", Effect::ChangesRows("DELETE")),
            ("-- c\nUPDATE entry SET a=1", Effect::ChangesRows("UPDATE")),
            ("ALTER TABLE entry TRUNCATE PARTITION p0", Effect::MovesRows("ALTER ... PARTITION")),
            ("ALTER TABLE entry ADD COLUMN c INT", Effect::None),
            ("SAVEPOINT `s1`", Effect::None),
            ("CREATE TABLE x (a INT)", Effect::None),
            ("CREATE OR REPLACE TABLE entry (id INT)", Effect::MovesRows("CREATE OR REPLACE")),
            ("CREATE OR REPLACE TEMPORARY TABLE entry (id INT)", Effect::None),
            ("CREATE OR REPLACE VIEW entry_v AS SELECT 1", Effect::None),
            ("RENAME TABLE entry TO old", Effect::MovesRows("RENAME")),
            ("RENAME USER entry TO old", Effect::None),
            ("ALTER TABLE entry RENAME TO old", Effect::MovesRows("ALTER ... RENAME")),
            ("ALTER TABLE old RENAME `entry`", Effect::MovesRows("ALTER ... RENAME")),
            ("ALTER TABLE `entry` RENAME `old`, COMMENT='x'", Effect::MovesRows("ALTER ... RENAME")),
            ("ALTER TABLE entry RENAME COLUMN a TO b, RENAME KEY k TO l", Effect::None),
            ("ALTER IGNORE TABLE entry ADD UNIQUE (a)", Effect::MovesRows("ALTER IGNORE")),
            ("ALTER ONLINE IGNORE TABLE entry ADD UNIQUE (a)", Effect::MovesRows("ALTER IGNORE")),
            ("ALTER TABLE entry DISCARD TABLESPACE", Effect::MovesRows("ALTER ... TABLESPACE")),
            ("ALTER TABLE entry EXCHANGE PARTITION p WITH TABLE x", Effect::MovesRows("ALTER ... PARTITION")),
            ("ALTER TABLE entry ADD SYSTEM VERSIONING", Effect::Hides("SYSTEM VERSIONING")),
            (
                "ALTER TABLE entry ADD FOREIGN KEY (a) REFERENCES p (a) ON UPDATE CASCADE",
                Effect::Hides("a cascading foreign key"),
            ),
            (
                "CREATE TABLE c (a INT REFERENCES p (a) ON DELETE SET NULL)",
                Effect::Hides("a cascading foreign key"),
            ),
            ("ALTER TABLE entry ADD at TIMESTAMP ON UPDATE CURRENT_TIMESTAMP()", Effect::None),
            ("DROP DATABASE accounting", Effect::RemovesDatabase),
            ("DROP INDEX note ON entry", Effect::None),
            ("DROP /*!40005 TEMPORARY */ TABLE IF EXISTS `entry`", Effect::None),
            ("DROP TEMPORARY TABLE `entry` /* generated by server */", Effect::None),
            ("SELECT `accounting`.`f`()", Effect::CallsCode),
            ("LOAD DATA LOCAL INFILE '/tmp/x' INTO TABLE `entry`", Effect::ChangesRows("LOAD DATA")),
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

    #[test]
    fn a_foreign_keys_parent_is_named_but_the_statement_is_not_about_it() {
        for (text, about) in [
            ("ALTER TABLE entry ADD FOREIGN KEY (a) REFERENCES p (a)", true),
            ("ALTER TABLE IF EXISTS `accounting`.`entry` ADD c INT", true),
            ("CREATE TABLE child (a INT REFERENCES entry (id) ON DELETE CASCADE)", false),
            ("CREATE TABLE IF NOT EXISTS other.entry (a INT)", false),
        ] {
            assert_eq!(statement(text).is_about("accounting", "entry"), about, "{text}");
        }
        let drop = Statement { database: "other", text: "DROP DATABASE IF EXISTS `Accounting`".into() };
        assert!(drop.drops_database("accounting") && !drop.drops_database("other"));
        let call = Statement { database: "other", text: "SELECT `accounting`.`f`(1)".into() };
        assert!(
            call.names_database("accounting") && call.names_database("other") && !call.names_database("acc")
        );
    }

    #[test]
    fn a_load_in_statement_format_is_read_up_to_its_text() {
        let mut body = vec![0; 8];
        body.extend([2, 0, 0, 3, 0]);
        body.extend([9; 13]);
        body.extend(b"sss");
        body.extend(b"db\0LOAD DATA INFILE 'x' INTO TABLE entry");
        let statement = Statement::parse_load(Bytes(&body)).unwrap();
        assert_eq!((statement.database, statement.effect()), ("db", Effect::ChangesRows("LOAD DATA")));
        assert!(statement.names_table("db", "entry"));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in any::<String>(), bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let statement = statement(&text);
            let _ = (statement.effect(), statement.names_table("a", "b"), statement.is_about("a", "b"));
            let _ = Statement::parse_load(Bytes(&bytes));
            let _ = Statement::parse(Bytes(&bytes));
        }
    }
}
