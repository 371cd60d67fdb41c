//! The captured tables, and statements on them with what they mean to stage 1.

use super::ledger::Tally;
use change_event::envelope::Op;
use std::fmt;

/// A captured table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Captured {
    /// One key column.
    Entry,
    /// Two.
    Posting,
}

impl Captured {
    pub(super) const ALL: [Self; 2] = [Self::Entry, Self::Posting];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Entry => "entry",
            Self::Posting => "posting",
        }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.name() == name)
    }

    /// The columns that it always has.
    pub(super) fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Entry => &["id", "note", "n"],
            Self::Posting => &["account", "id", "body", "n"],
        }
    }

    pub(super) fn definition(self) -> &'static str {
        match self {
            Self::Entry => "id INT PRIMARY KEY, note VARCHAR(2000) NOT NULL, n INT NOT NULL",
            Self::Posting => {
                "account INT NOT NULL, id INT NOT NULL, body TEXT NOT NULL, n INT NOT NULL, PRIMARY KEY (account, id)"
            }
        }
    }
}

impl fmt::Display for Captured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What each affected row becomes in stage 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    Create,
    Update,
    Delete,
    /// Another primary key: a delete and a create.
    Move,
}

/// A statement on a captured table, or on one that nobody captures.
#[derive(Debug, Clone)]
pub(super) struct Statement {
    pub(super) sql: String,
    effect: Option<(Captured, Effect)>,
}

impl Statement {
    pub(super) fn on(table: Captured, effect: Effect, sql: String) -> Self {
        Self { sql, effect: Some((table, effect)) }
    }

    /// On a table that nobody captures, or without rows.
    pub(super) fn unseen(sql: impl Into<String>) -> Self {
        Self { sql: sql.into(), effect: None }
    }

    /// Counts what so many affected rows are in stage 1.
    pub(super) fn count(&self, rows: u64, tally: &mut Tally) {
        let Some((table, effect)) = self.effect else { return };
        let rows = u32::try_from(rows).unwrap_or(u32::MAX);
        match effect {
            Effect::Create => tally.add(table, Op::Create, rows),
            Effect::Update => tally.add(table, Op::Update, rows),
            Effect::Delete => tally.add(table, Op::Delete, rows),
            Effect::Move => {
                tally.add(table, Op::Delete, rows);
                tally.add(table, Op::Create, rows);
            }
        }
    }
}
