//! The columns that DDL added to the captured tables, and what became of each name.

use super::statement::Captured;
use crate::rng::Rng;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Types of added columns whose values read alike in stage 1 and in `JSON_OBJECT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Int,
    BigInt,
    Short,
    Long,
    Decimal,
    Choice,
}

impl Kind {
    pub(super) const ALL: [Self; 6] =
        [Self::Int, Self::BigInt, Self::Short, Self::Long, Self::Decimal, Self::Choice];

    pub(super) fn sql(self) -> &'static str {
        match self {
            Self::Int => "INT",
            Self::BigInt => "BIGINT",
            Self::Short => "VARCHAR(40)",
            Self::Long => "VARCHAR(300)",
            Self::Decimal => "DECIMAL(20,4)",
            Self::Choice => "ENUM('open','paid','收')",
        }
    }

    /// Another type that holds every value of this one.
    pub(super) fn other(self) -> Option<Self> {
        match self {
            Self::Int => Some(Self::BigInt),
            Self::Short => Some(Self::Long),
            Self::BigInt | Self::Decimal => Some(Self::Short),
            Self::Long | Self::Choice => None,
        }
    }

    pub(super) fn literal(self, rng: &mut Rng) -> String {
        match self {
            _ if rng.one_in(5) => "NULL".to_owned(),
            Self::Int => (rng.below(1 << 31) as i64 - (1 << 30)).to_string(),
            Self::BigInt => (rng.next() as i64).to_string(),
            Self::Short | Self::Long => format!("'v{} \"é\" 收'", rng.below(1_000_000)),
            Self::Decimal => format!("{}.{:04}", rng.below(1_000_000_000), rng.below(10_000)),
            Self::Choice => (*rng.pick(&["'open'", "'paid'", "'收'"])).to_owned(),
        }
    }

    /// How the server is asked for it, so that it reads as in stage 1.
    fn selected(self, name: &str) -> String {
        match self {
            Self::Decimal => format!("CAST({name} AS CHAR)"),
            _ => name.to_owned(),
        }
    }
}

/// One added column.
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: Kind,
}

#[derive(Debug, Default)]
struct Columns {
    now: Vec<Column>,
    /// Every name that ever was, and its column's name now; names are never used again.
    names: BTreeMap<String, Option<String>>,
}

/// The added columns of both tables.
#[derive(Debug, Default)]
pub(super) struct Shape {
    tables: Mutex<[Columns; 2]>,
}

impl Shape {
    fn with<T>(&self, table: Captured, work: impl FnOnce(&mut Columns) -> T) -> T {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        let [entry, posting] = &mut *tables;
        work(match table {
            Captured::Entry => entry,
            Captured::Posting => posting,
        })
    }

    pub(super) fn columns(&self, table: Captured) -> Vec<Column> {
        self.with(table, |columns| columns.now.clone())
    }

    pub(super) fn added(&self, table: Captured, column: Column) {
        self.with(table, |columns| {
            columns.names.insert(column.name.clone(), Some(column.name.clone()));
            columns.now.push(column);
        });
    }

    pub(super) fn dropped(&self, table: Captured, name: &str) {
        self.with(table, |columns| {
            columns.now.retain(|column| column.name != name);
            for now in columns.names.values_mut().filter(|now| now.as_deref() == Some(name)) {
                *now = None;
            }
        });
    }

    pub(super) fn renamed(&self, table: Captured, from: &str, to: &str) {
        self.with(table, |columns| {
            for column in columns.now.iter_mut().filter(|column| column.name == from) {
                to.clone_into(&mut column.name);
            }
            for now in columns.names.values_mut().filter(|now| now.as_deref() == Some(from)) {
                *now = Some(to.to_owned());
            }
            columns.names.insert(to.to_owned(), Some(to.to_owned()));
        });
    }

    pub(super) fn retyped(&self, table: Captured, name: &str, kind: Kind) {
        self.with(table, |columns| {
            for column in columns.now.iter_mut().filter(|column| column.name == name) {
                column.kind = kind;
            }
        });
    }

    /// What a column of an image is called now; `None` if it is gone.
    pub(super) fn now(&self, table: Captured, name: &str) -> Option<String> {
        if table.columns().contains(&name) {
            return Some(name.to_owned());
        }
        self.with(table, |columns| columns.names.get(name).cloned().flatten())
    }

    /// `JSON_OBJECT(..)` over all columns.
    pub(super) fn json_object(&self, table: Captured) -> String {
        let own = table.columns().iter().map(|name| format!("'{name}', {name}"));
        let added = self.columns(table);
        let added =
            added.iter().map(|column| format!("'{}', {}", column.name, column.kind.selected(&column.name)));
        format!("JSON_OBJECT({})", own.chain(added).collect::<Vec<_>>().join(", "))
    }
}
