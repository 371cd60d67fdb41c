//! Names that end up in topics, bill ids and SQL, parsed once.

use std::{fmt, ops::Deref, str::FromStr};

/// A safe short name (`a-z`, `0-9`, `_`, `-`; starts with a letter): of a source, a pipeline or a side.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

impl Name {
    /// Longest name of a source or pipeline: the width of its column in the bill store.
    pub const MAX: usize = 32;
    /// Longest name of a side: the width of its column in the bill store.
    pub const MAX_SIDE: usize = 16;

    /// Parses a name of at most `max` bytes; the error says what is wanted.
    pub fn parse(text: &str, max: usize) -> Result<Self, String> {
        let safe = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
        let starts_well = text.starts_with(|c: char| c.is_ascii_lowercase());
        if !starts_well || text.len() > max || !text.chars().all(safe) {
            return Err(format!(
                "\"{text}\" is not a name: wanted 1 to {max} of a-z, 0-9, _ and -, starting with a letter"
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Deref for Name {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// A table with its database; `Display` is `accounting.entry`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableName {
    database: String,
    table: String,
}

impl TableName {
    /// The database (schema) part.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// The table part.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// Both parts quoted for SQL: `` `accounting`.`entry` ``. Safe to splice: neither part can hold a backtick.
    pub fn quoted(&self) -> String {
        format!("`{}`.`{}`", self.database, self.table)
    }
}

impl FromStr for TableName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let well_formed = |part: &str| {
            (1..=64).contains(&part.chars().count())
                && !part.contains(|c: char| c == '`' || c == '*' || c.is_control())
        };
        match text.split_once('.') {
            Some((database, table))
                if well_formed(database) && well_formed(table) && !table.contains('.') =>
            {
                Ok(Self { database: database.to_owned(), table: table.to_owned() })
            }
            _ => Err(format!("\"{text}\" is not a table: wanted database.table")),
        }
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.database, self.table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_safe_in_topics_and_bill_ids() {
        for good in ["orders", "a", "old-books_2"] {
            assert_eq!(Name::parse(good, Name::MAX).unwrap().as_str(), good);
        }
        for bad in ["", "Orders", "a.b", "a b", "1st", "ä", &"x".repeat(33)] {
            assert!(Name::parse(bad, Name::MAX).is_err(), "{bad} was taken");
        }
        assert!(Name::parse(&"x".repeat(17), Name::MAX_SIDE).is_err());
    }

    #[test]
    fn a_table_has_exactly_a_database_and_a_name() {
        let table: TableName = "accounting.entry".parse().unwrap();
        assert_eq!((table.database(), table.table()), ("accounting", "entry"));
        assert_eq!(table.quoted(), "`accounting`.`entry`");
        for bad in ["entry", ".entry", "accounting.", "a.b.c", "a.*", "a.b`c"] {
            assert!(bad.parse::<TableName>().is_err(), "{bad} was taken");
        }
    }
}
