//! Inserts, updates, deletes and changes of primary keys at full speed, from several connections.

use crate::source::Source;
use anyhow::{Result, anyhow};
use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread::{Scope, ScopedJoinHandle},
};

/// Statements of one call of the client.
const AT_ONCE: u64 = 150;

/// Spread over the keys, and the same in every run: splitmix64.
fn scattered(n: u64) -> u64 {
    let mut z = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Writers that change `entry (id INT, note VARCHAR, n INT)` until told to stop.
#[derive(Debug, Default)]
pub struct Load {
    stop: AtomicBool,
    /// Statements so far.
    pub statements: AtomicU64,
}

impl Load {
    /// No more statements.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Starts `writers` connections on a table with ids 1 to `rows`.
    pub fn start<'s>(
        &'s self,
        scope: &'s Scope<'s, '_>,
        source: &'s Source<'_>,
        writers: u64,
        rows: u64,
    ) -> Vec<ScopedJoinHandle<'s, Result<()>>> {
        (0..writers).map(|writer| scope.spawn(move || self.write(source, writer, writers, rows))).collect()
    }

    /// Stops the writers and waits for their ends.
    pub fn join(&self, writers: Vec<ScopedJoinHandle<'_, Result<()>>>) -> Result<()> {
        self.stop();
        writers.into_iter().try_for_each(|writer| writer.join().map_err(|_| anyhow!("a writer panicked"))?)
    }

    fn write(&self, source: &Source<'_>, writer: u64, writers: u64, rows: u64) -> Result<()> {
        let mut n = 0;
        while !self.stop.load(Ordering::Relaxed) {
            let mut statements = String::new();
            for _ in 0..AT_ONCE {
                n += 1;
                let dice = scattered(n * writers + writer);
                // writers keep to ids of their own, so that none waits for another's row
                let id = (dice >> 8) % (rows / writers) * writers + writer + 1;
                let fresh = rows + n * writers + writer + 1;
                statements.push_str(&match dice % 8 {
                    0 => format!("DELETE FROM entry WHERE id = {id};"),
                    1 => format!("REPLACE INTO entry (id, note, n) VALUES ({id}, 'again', {n});"),
                    2 => format!("INSERT INTO entry (id, note, n) VALUES ({fresh}, 'new', {n});"),
                    3 => format!("UPDATE IGNORE entry SET id = id + 10000000 WHERE id = {id};"),
                    4 => format!("UPDATE IGNORE entry SET id = {id} WHERE id = {id} + 10000000;"),
                    5 => format!("BEGIN; UPDATE entry SET n = n + 1 WHERE id = {id}; DELETE FROM entry WHERE id = {fresh}; UPDATE entry SET note = 'twice' WHERE id = {id}; COMMIT;"),
                    6 => format!("BEGIN; DELETE FROM entry WHERE id = {id}; ROLLBACK;"),
                    _ => format!("UPDATE entry SET n = n + 1, note = 'touched' WHERE id = {id};"),
                });
            }
            source.sql(&statements)?;
            self.statements.fetch_add(AT_ONCE, Ordering::Relaxed);
        }
        Ok(())
    }
}
