//! What is set aside, as the router or the writer that set it aside knows it. Pure.

use std::collections::HashMap;

use change_event::{
    Version,
    quarantine::{Facts, Key},
};

/// The open entries, by row; what the open transaction did to them can be undone.
#[derive(Debug, Default)]
pub(crate) struct Open {
    rows: HashMap<String, Vec<Entry>>,
    /// How the rows stood when the open transaction first touched them, the last on top.
    undo: Vec<(String, Vec<Entry>)>,
}

/// One that is set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) key: Key,
    /// The image that was refused last.
    pub(crate) version: Version,
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
            entries.push(Entry {
                key,
                version: facts.version,
                attempts: facts.attempts,
                first_ms: facts.first_ms,
            });
        } else if entries.is_empty() {
            self.rows.remove(&key.row);
        }
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Those of a row.
    pub(crate) fn of_row(&self, row: &str) -> &[Entry] {
        self.rows.get(row).map_or(&[], Vec::as_slice)
    }

    /// Those of these pipelines whose last image is older than this version.
    pub(crate) fn older_of(&self, source: &str, pipelines: &[String], version: Version) -> Vec<Key> {
        let of = |entry: &&Entry| {
            entry.key.source == source && pipelines.contains(&entry.key.pipeline) && entry.version < version
        };
        self.rows.values().flatten().filter(of).map(|entry| entry.key.clone()).collect()
    }

    /// This image is refused; answers how many were so far, and when the first was. The same image again does not count.
    pub(crate) fn set_aside(&mut self, key: Key, version: Version, now_ms: i64) -> (u32, i64) {
        self.remember(&key.row);
        let entries = self.rows.entry(key.row.clone()).or_default();
        if let Some(entry) = entries.iter_mut().find(|entry| entry.key == key) {
            if entry.version != version {
                entry.version = version;
                entry.attempts = entry.attempts.saturating_add(1);
            }
            return (entry.attempts, entry.first_ms);
        }
        entries.push(Entry { key, version, attempts: 1, first_ms: now_ms });
        (1, now_ms)
    }

    /// It is well again, or gone.
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

    fn at(version: i64) -> Version {
        Version::try_from(version).unwrap()
    }

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
        assert_eq!(open.set_aside(key(1, "payer"), at(1), 10), (1, 10));
        assert_eq!(open.set_aside(key(1, "payee"), at(1), 11), (1, 11));
        assert_eq!(open.set_aside(key(1, "payer"), at(2), 12), (2, 10));
        assert_eq!(open.set_aside(key(1, "payer"), at(2), 13), (2, 10));
        open.heal(&key(1, "payer"));
        assert_eq!(
            open.of_row("1").iter().map(|entry| entry.key.side.as_str()).collect::<Vec<_>>(),
            ["payee"]
        );
        assert!(open.of_row("2").is_empty() && !open.is_empty());
        assert_eq!(open.set_aside(key(1, "payer"), at(3), 20), (1, 20));
    }

    #[test]
    fn a_transaction_without_effect_leaves_everything_as_it_was() {
        let mut open = Open::default();
        open.set_aside(key(1, "payer"), at(10), 10);
        open.set_aside(key(2, "payer"), at(10), 10);
        open.keep();
        open.set_aside(key(1, "payer"), at(11), 11);
        open.heal(&key(1, "payer"));
        open.heal(&key(2, "payer"));
        open.set_aside(key(3, "payer"), at(12), 12);
        open.set_aside(key(3, "payer"), at(13), 13);
        open.undo();
        assert_eq!(open.of_row("2").len(), 1);
        assert_eq!(
            open.of_row("1"),
            [Entry { key: key(1, "payer"), version: at(10), attempts: 1, first_ms: 10 }]
        );
        assert!(open.of_row("3").is_empty());
    }

    #[test]
    fn a_barrier_ends_what_is_older_in_its_pipelines_alone() {
        let mut open = Open::default();
        for (row, version) in [(1, 4), (2, 5), (3, 6)] {
            open.set_aside(key(row, "payer"), at(version), 10);
        }
        let mut older = open.older_of("s", &["p".to_owned()], at(6));
        older.sort();
        assert_eq!(older, [key(1, "payer"), key(2, "payer")]);
        assert!(open.older_of("s", &["other".to_owned()], at(6)).is_empty());
        assert!(open.older_of("other", &["p".to_owned()], at(6)).is_empty());
    }

    #[test]
    fn what_the_topic_holds_last_is_what_is_open() {
        let facts = |attempts| Facts {
            version: change_event::Version::START,
            account: None,
            topic: String::new(),
            partition: 0,
            offset: 0,
            file: None,
            pos: None,
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
        assert_eq!((open.of_row("1")[0].attempts, open.of_row("2").len(), open.rows.len()), (2, 0, 1));
    }
}
