//! DDL: what it does to the rows of the tables it names, as far as no row event shows it.

use super::{
    Statement, hides_changes,
    words::{TableRef, Token, Words},
};

/// What becomes of a table's rows without row events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// They are all gone.
    Gone(&'static str),
    /// Some are others now, or have other values, and nobody says which: only reading the table tells.
    Unknown(&'static str),
    /// From now on they change in ways that never reach the binlog as such.
    Hidden(&'static str),
    /// They came with the statement, in statement format.
    Unseen(&'static str),
}

/// Whose rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// One table's.
    Table(TableRef),
    /// Those of all tables of a database.
    Database(String),
}

impl Statement<'_> {
    /// The tables whose rows the statement changes without row events. Empty for everything else.
    pub fn fates(&self) -> Vec<(Target, Fate)> {
        let mut words = self.words();
        match self.verb(&mut words).as_deref() {
            Some("TRUNCATE") => {
                words.pass(&["TABLE"]);
                words.table(self.database).map(|table| gone(table, "TRUNCATE")).into_iter().collect()
            }
            Some("DROP") => self.drop(words),
            Some("RENAME") => self.rename(words),
            Some("CREATE") => self.create(words),
            Some("ALTER") => self.alter(words).unwrap_or_default(),
            _ => Vec::new(),
        }
    }

    fn drop(&self, mut words: Words<'_>) -> Vec<(Target, Fate)> {
        // temporary tables, indexes, views and the like hold no captured rows
        match words.next_keyword().as_deref() {
            Some("TABLE" | "TABLES") => {
                words.pass(&["IF", "EXISTS"]);
                let mut found = Vec::new();
                while let Some(table) = words.table(self.database) {
                    found.push(gone(table, "DROP"));
                    if !words.skip_symbol(',') {
                        break;
                    }
                }
                found
            }
            Some("DATABASE" | "SCHEMA") => {
                words.pass(&["IF", "EXISTS"]);
                let dropped = words.name().map(|name| (Target::Database(name), Fate::Gone("DROP DATABASE")));
                dropped.into_iter().collect()
            }
            _ => Vec::new(),
        }
    }

    /// Follows the names through all steps: what counts is whose rows stand under a name in the end.
    fn rename(&self, mut words: Words<'_>) -> Vec<(Target, Fate)> {
        if !matches!(words.next_keyword().as_deref(), Some("TABLE" | "TABLES")) {
            return Vec::new();
        }
        words.pass(&["IF", "EXISTS"]);
        // (name, whose rows stand there: the table of that name before the statement, or nobody's)
        let mut rows: Vec<(TableRef, Option<TableRef>)> = Vec::new();
        while let Some(from) = words.table(self.database) {
            while !words.at("TO") && words.next().is_some() {}
            words.pass(&["TO"]);
            let Some(to) = words.table(self.database) else { break };
            let moved = match rows.iter_mut().find(|(name, _)| *name == from) {
                Some((_, holds)) => holds.take(),
                None => {
                    rows.push((from.clone(), None));
                    Some(from)
                }
            };
            match rows.iter_mut().find(|(name, _)| *name == to) {
                Some((_, holds)) => *holds = moved,
                None => rows.push((to, moved)),
            }
            if !words.skip_symbol(',') {
                break;
            }
        }
        rows.into_iter()
            .filter_map(|(name, holds)| match holds {
                None => Some(gone(name, "RENAME")),
                Some(other) if other != name => {
                    Some((Target::Table(name), Fate::Unknown("another table was renamed to this name")))
                }
                Some(_) => None,
            })
            .collect()
    }

    fn create(&self, mut words: Words<'_>) -> Vec<(Target, Fate)> {
        let mut word = words.next_keyword();
        let replaces = word.as_deref() == Some("OR");
        if replaces {
            words.next_keyword();
            word = words.next_keyword();
        }
        match word.as_deref() {
            Some("DATABASE" | "SCHEMA") if replaces => {
                let replaced = words
                    .name()
                    .map(|name| (Target::Database(name), Fate::Gone("CREATE OR REPLACE DATABASE")));
                replaced.into_iter().collect()
            }
            Some("TABLE") => {
                words.pass(&["IF", "NOT", "EXISTS"]);
                let Some(table) = words.table(self.database) else { return Vec::new() };
                let hidden = hides_changes(words.rest()).map(Fate::Hidden);
                let replaced = replaces.then_some(Fate::Gone("CREATE OR REPLACE"));
                // with row events, the server writes the columns out and the rows behind them
                let selects = words
                    .any(|token| matches!(token, Token::Word(word) if word.eq_ignore_ascii_case("SELECT")));
                let unseen = selects.then_some(Fate::Unseen("CREATE TABLE ... SELECT"));
                let fates = [replaced, hidden, unseen].into_iter().flatten();
                fates.map(|fate| (Target::Table(table.clone()), fate)).collect()
            }
            _ => Vec::new(),
        }
    }

    fn alter(&self, mut words: Words<'_>) -> Option<Vec<(Target, Fate)>> {
        let mut ignores = false;
        loop {
            match words.next_keyword()?.as_str() {
                "ONLINE" => {}
                "IGNORE" => ignores = true,
                "TABLE" => break,
                _ => return None,
            }
        }
        words.pass(&["IF", "EXISTS"]);
        let table = words.table(self.database)?;
        if words.at("WAIT") {
            words.next();
            words.next();
        }
        words.pass(&["NOWAIT"]);
        let mut found = Vec::new();
        if let Some(how) = hides_changes(words.rest()) {
            found.push((Target::Table(table.clone()), Fate::Hidden(how)));
        }
        let mut unknown = ignores.then_some("ALTER IGNORE may drop rows");
        let mut renamed = None;
        while let Some(clause) = words.clause() {
            let keywords: Vec<String> = clause.iter().map(keyword).collect();
            let keywords: Vec<&str> = keywords.iter().map(String::as_str).collect();
            match keywords.as_slice() {
                ["RENAME", "COLUMN" | "INDEX" | "KEY", ..] => {}
                ["RENAME", ..] => renamed = self.new_name(&clause),
                ["EXCHANGE" | "CONVERT", "PARTITION" | "TABLE", ..] => {
                    unknown = Some("a partition was exchanged");
                    if let Some(other) = self.behind_table(&clause) {
                        found.push((Target::Table(other), Fate::Unknown("a partition was exchanged")));
                    }
                }
                [verb, rest @ ..] => unknown = unknown.or(changes_values(verb, rest)),
                [] => {}
            }
        }
        if let Some(reason) = unknown {
            found.push((Target::Table(table.clone()), Fate::Unknown(reason)));
        }
        if let Some(name) = renamed.filter(|name| *name != table) {
            found.push(gone(table, "ALTER ... RENAME"));
            found.push((Target::Table(name), Fate::Unknown("another table was renamed to this name")));
        }
        Some(found)
    }

    /// `RENAME [TO | AS | =] name`.
    fn new_name(&self, clause: &[Token]) -> Option<TableRef> {
        let mut rest = clause.get(1..)?;
        while let [first, more @ ..] = rest {
            let filler = *first == Token::Symbol('=') || matches!(keyword(first).as_str(), "TO" | "AS");
            if !filler || more.is_empty() {
                break;
            }
            rest = more;
        }
        self.table_of(rest)
    }

    /// `... TABLE name ...`.
    fn behind_table(&self, clause: &[Token]) -> Option<TableRef> {
        let at = clause.iter().position(|token| keyword(token) == "TABLE")?;
        self.table_of(clause.get(at + 1..)?)
    }

    fn table_of(&self, tokens: &[Token]) -> Option<TableRef> {
        let name = |token: &Token| match token {
            Token::Word(name) | Token::Name(name) => Some(name.clone()),
            Token::Text | Token::Symbol(_) => None,
        };
        let first = name(tokens.first()?)?;
        match (tokens.get(1), tokens.get(2)) {
            (Some(Token::Symbol('.')), Some(second)) => {
                Some(TableRef { database: first, table: name(second)? })
            }
            _ => Some(TableRef { database: self.database.to_owned(), table: first }),
        }
    }
}

fn gone(table: TableRef, verb: &'static str) -> (Target, Fate) {
    (Target::Table(table), Fate::Gone(verb))
}

/// The word in capitals; empty for everything else, so that quoted names are never taken for keywords.
fn keyword(token: &Token) -> String {
    match token {
        Token::Word(word) => word.to_ascii_uppercase(),
        Token::Name(_) | Token::Text | Token::Symbol(_) => String::new(),
    }
}

/// Whether one clause of an ALTER TABLE may give rows that are there other values, another key, or another life.
fn changes_values(verb: &str, rest: &[&str]) -> Option<&'static str> {
    const PARTITION: &str = "partitions were dropped, emptied or exchanged";
    let has = |word: &str| rest.contains(&word);
    match (verb, rest.first().copied().unwrap_or_default()) {
        ("ADD", "CONSTRAINT" | "PRIMARY") if has("PRIMARY") => Some("the primary key is another one"),
        (
            "ADD",
            "INDEX" | "KEY" | "UNIQUE" | "FULLTEXT" | "SPATIAL" | "CONSTRAINT" | "FOREIGN" | "CHECK"
            | "PERIOD" | "PARTITION" | "SYSTEM" | "VECTOR",
        ) => None,
        ("ADD", _) => {
            let null_default = rest.windows(2).any(|pair| pair == ["DEFAULT", "NULL"]);
            let filled = (has("DEFAULT") && !null_default)
                || rest.windows(2).any(|pair| pair == ["NOT", "NULL"])
                || ["AS", "GENERATED", "AUTO_INCREMENT", "SERIAL", "TIMESTAMP"].into_iter().any(has);
            filled.then_some("a new column has values in rows that are there already")
        }
        ("MODIFY" | "CHANGE", _) => Some("a column has another definition, and so perhaps other values"),
        ("CONVERT", "TO") => Some("texts were converted to another charset"),
        ("DROP", "PRIMARY") => Some("the primary key is another one"),
        ("DROP" | "TRUNCATE", "PARTITION") => Some(PARTITION),
        ("DISCARD" | "IMPORT", _) => Some("a tablespace was discarded or imported"),
        ("ENGINE", _) if has("BLACKHOLE") => Some("the engine keeps no rows"),
        _ => None,
    }
}
