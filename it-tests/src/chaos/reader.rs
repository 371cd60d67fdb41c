//! Reads stage 1 while everything else is going on, checks each record, and tallies each transaction.

use super::ledger::{Tally, number};
use super::scene::{DEADLINE, Scene};
use super::statement::Captured;
use crate::harness::wait_until;
use crate::replay::Replay;
use crate::topic::{Tail, names};
use anyhow::{Context, Result, ensure};
use change_event::checkpoint::changes_topic;
use change_event::envelope::Op;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) replay: Replay,
    /// Transactions by their number.
    pub(super) transactions: BTreeMap<u64, Tally>,
}

/// Reads until told to stop.
pub(super) fn read(scene: &Scene<'_>) -> Result<Read> {
    let (brokers, topic) = (scene.source.stack.kafka_brokers()?, changes_topic(&scene.source.name));
    wait_until("stage 1's topic", DEADLINE, || match names(&brokers) {
        _ if scene.reading_is_over() => Ok(()),
        Ok(names) if names.contains(&topic) => Ok(()),
        other => Err(scene.not_yet(format!("{other:?}"))),
    })?;
    let tail = Tail::from_start(&brokers, &topic)?;
    let mut read = Read::default();
    let (mut current, mut places) = (0, 0);
    while !scene.reading_is_over() {
        let Some(record) = tail.next(Duration::from_millis(50))? else { continue };
        let offset = record.offset;
        let seen = read.replay.take(&record).with_context(|| format!("stage 1, offset {offset}"))?;
        scene.checked.store(read.replay.changes as u64, Ordering::Relaxed);
        let (op, gtid) = match (seen.op, seen.gtid) {
            (Some(op), Some(gtid)) if op != Op::Read => (op, gtid),
            _ => {
                scene.snapshot_rows.store(read.replay.read as u64, Ordering::Relaxed);
                scene.open_snapshots.store(read.replay.open_snapshots() as u64, Ordering::Relaxed);
                continue;
            }
        };
        let number = number(&gtid).with_context(|| format!("offset {offset}: a GTID {gtid:?}"))?;
        if number != current {
            ensure!(number > current, "offset {offset}: transaction {number} after {current}");
            if current == 0 {
                scene.first.store(number, Ordering::Relaxed);
            }
            (current, places) = (number, 0);
        }
        if op != Op::Truncate {
            places += 1;
            ensure!(
                seen.total_order == places,
                "offset {offset}: change {} of transaction {gtid} where its change {places} should be",
                seen.total_order
            );
        }
        let table =
            Captured::named(&seen.table).with_context(|| format!("offset {offset}: table {}", seen.table))?;
        read.transactions.entry(number).or_default().add(table, op, 1);
        scene.seen.store(number, Ordering::Relaxed);
    }
    Ok(read)
}
