//! What of a source is set aside, as its router knows it. Pure.

use std::collections::HashMap;

use change_event::quarantine::{Facts, Key};

/// The open entries, by row; what the open transaction did to them can be undone.
#[derive(Debug, Default)]
pub(crate) struct Open {
    rows: HashMap<String, Vec<Entry>>,
    /// How the rows stood when the open transaction first touched them, the last on top.
    undo: Vec<(String, Vec<Entry>)>,
}

/// One side that is set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) key: Key,
    /// Images that were refused one after the other.
    pub(crate) attempts: u32,
    /// When the first was, in Unix milliseconds.
    pub(crate) first_ms: i64,
}

impl Open {
    /// Takes in a record of the topic: set aside, or healed.
    pub(crate) fn load(&mut self, key: Key, facts: Option<&Facts>) {
        let entries = self.rows.entry(key.row.clone()).or_default();
        entries.retain(|entry| entry.key != key);
        if let Some(facts) = facts {
            entries.push(Entry { key, attempts: facts.attempts, first_ms: facts.first_ms });
        } else if entries.is_empty() {
            self.rows.remove(&key.row);
        }
    }

    /// Entries in all.
    pub(crate) fn len(&self) -> usize {
        self.rows.values().map(Vec::len).sum()
    }

    /// Those of a row.
    pub(crate) fn of_row(&self, row: &str) -> &[Entry] {
        self.rows.get(row).map_or(&[], Vec::as_slice)
    }

    /// One more refusal of this side; answers which one it is, and when the first was.
    pub(crate) fn set_aside(&mut self, key: Key, now_ms: i64) -> (u32, i64) {
        self.remember(&key.row);
        let entries = self.rows.entry(key.row.clone()).or_default();
        if let Some(entry) = entries.iter_mut().find(|entry| entry.key == key) {
            entry.attempts = entry.attempts.saturating_add(1);
            return (entry.attempts, entry.first_ms);
        }
        entries.push(Entry { key, attempts: 1, first_ms: now_ms });
        (1, now_ms)
    }

    /// This side is well again, or its row is gone.
    pub(crate) fn heal(&mut self, key: &Key) {
        self.remember(&key.row);
        if let Some(entries) = self.rows.get_mut(&key.row) {
            entries.retain(|entry| entry.key != *key);
            if entries.is_empty() {
                self.rows.remove(&key.row);
            }
        }
    }

    fn remember(&mut self, row: &str) {
        self.undo.push((row.to_owned(), self.of_row(row).to_vec()));
    }

    /// The transaction is committed.
    pub(crate) fn keep(&mut self) {
        self.undo.clear();
    }

    /// The transaction is without effect.
    pub(crate) fn undo(&mut self) {
        while let Some((row, entries)) = self.undo.pop() {
            if entries.is_empty() {
                self.rows.remove(&row);
            } else {
                self.rows.insert(row, entries);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use change_event::quarantine::Stage;

    fn key(row: u64, side: &str) -> Key {
        Key {
            stage: Stage::Router,
            source: "s".to_owned(),
            pipeline: "p".to_owned(),
            side: side.to_owned(),
            row: row.to_string(),
        }
    }

    #[test]
    fn refusals_of_a_side_are_counted_until_it_is_healed() {
        let mut open = Open::default();
        assert_eq!(open.set_aside(key(1, "payer"), 10), (1, 10));
        assert_eq!(open.set_aside(key(1, "payee"), 11), (1, 11));
        assert_eq!(open.set_aside(key(1, "payer"), 12), (2, 10));
        open.heal(&key(1, "payer"));
        assert_eq!(
            open.of_row("1").iter().map(|entry| entry.key.side.as_str()).collect::<Vec<_>>(),
            ["payee"]
        );
        assert_eq!((open.len(), open.of_row("2").len()), (1, 0));
        assert_eq!(open.set_aside(key(1, "payer"), 20), (1, 20));
    }

    #[test]
    fn a_transaction_without_effect_leaves_everything_as_it_was() {
        let mut open = Open::default();
        open.set_aside(key(1, "payer"), 10);
        open.set_aside(key(2, "payer"), 10);
        open.keep();
        open.set_aside(key(1, "payer"), 11);
        open.heal(&key(1, "payer"));
        open.heal(&key(2, "payer"));
        open.set_aside(key(3, "payer"), 12);
        open.set_aside(key(3, "payer"), 13);
        open.undo();
        assert_eq!(open.len(), 2);
        assert_eq!(open.of_row("1"), [Entry { key: key(1, "payer"), attempts: 1, first_ms: 10 }]);
        assert!(open.of_row("3").is_empty());
    }

    #[test]
    fn what_the_topic_holds_last_is_what_is_open() {
        let facts = |attempts| Facts {
            version: change_event::Version::START,
            account: None,
            topic: String::new(),
            partition: 0,
            offset: 0,
            file: String::new(),
            pos: 4,
            gtid: None,
            reason: String::new(),
            attempts,
            first_ms: 5,
            last_ms: 6,
        };
        let mut open = Open::default();
        open.load(key(1, "payer"), Some(&facts(1)));
        open.load(key(1, "payer"), Some(&facts(2)));
        open.load(key(2, "payer"), Some(&facts(1)));
        open.load(key(2, "payer"), None);
        open.load(key(9, "payer"), None);
        assert_eq!((open.len(), open.of_row("1")[0].attempts), (1, 2));
    }
}
