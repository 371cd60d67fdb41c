//! The keys that the stream published while a chunk was read, bounded.

use std::collections::HashMap;

/// Most keys that are remembered.
const MOST_KEYS: usize = 200_000;
/// Most bytes of keys that are remembered: 32 MiB.
const MOST_BYTES: usize = 32 << 20;

/// Where in the stream's changes of the table a chunk began to watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Since(u64);

/// The keys of one table that the stream published, each with its last time, while anybody watches.
#[derive(Debug, Default)]
pub(super) struct Window {
    keys: HashMap<Box<[u8]>, u64>,
    bytes: usize,
    /// Counts the table's changes.
    now: u64,
    watched: bool,
}

/// More keys than are remembered: whoever watches must begin again.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Overflow;

impl Window {
    /// Begins to watch.
    pub(super) fn open(&mut self) -> Since {
        self.watched = true;
        Since(self.now)
    }

    /// The stream published a change of this key.
    pub(super) fn saw(&mut self, key: &[u8]) -> Result<(), Overflow> {
        if !self.watched {
            return Ok(());
        }
        self.now += 1;
        if let Some(last) = self.keys.get_mut(key) {
            *last = self.now;
            return Ok(());
        }
        if self.keys.len() >= MOST_KEYS || self.bytes + key.len() > MOST_BYTES {
            return Err(Overflow);
        }
        self.bytes += key.len();
        self.keys.insert(key.into(), self.now);
        Ok(())
    }

    /// Whether the stream published a change of this key after `since`.
    pub(super) fn changed(&self, key: &[u8], since: Since) -> bool {
        self.keys.get(key).is_some_and(|last| *last > since.0)
    }

    /// Forgets what nobody watches any more. `oldest`: who watches longest.
    pub(super) fn release(&mut self, oldest: Option<Since>) {
        match oldest {
            None => {
                self.keys.clear();
                self.bytes = 0;
                self.watched = false;
            }
            // a walk over the keys is worth it only where there are many
            Some(Since(oldest)) if self.keys.len() > MOST_KEYS / 2 || self.bytes > MOST_BYTES / 2 => {
                self.keys.retain(|_, last| *last > oldest);
                self.bytes = self.keys.keys().map(|key| key.len()).sum();
            }
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_counts_only_for_who_watched_when_it_changed() {
        let mut window = Window::default();
        window.saw(b"unwatched").unwrap();
        let first = window.open();
        window.saw(b"a").unwrap();
        let second = window.open();
        window.saw(b"b").unwrap();
        assert!(!window.changed(b"unwatched", first));
        assert!(window.changed(b"a", first) && !window.changed(b"a", second));
        assert!(window.changed(b"b", first) && window.changed(b"b", second));
        window.saw(b"a").unwrap();
        assert!(window.changed(b"a", second));
        window.release(None);
        assert!(!window.changed(b"a", first));
    }

    #[test]
    fn it_holds_no_more_than_its_bound() {
        let mut window = Window::default();
        let mut since = window.open();
        let mut overflows = 0;
        for key in 0..3 * MOST_KEYS as u64 {
            if window.saw(&key.to_le_bytes()).is_err() {
                overflows += 1;
                window.release(None);
                since = window.open();
            }
        }
        assert_eq!(overflows, 2);
        assert!(window.keys.len() <= MOST_KEYS);
        assert!(window.changed(&(3 * MOST_KEYS as u64 - 1).to_le_bytes(), since));
    }
}
