//! Snapshots beside a running stream, on any server.

mod load;

pub use load::Load;

use crate::{
    harness::{Daemon, Not, Service, Stack, wait_until},
    source::{SOON, Source, last_lines},
};
use anyhow::{Context, Result, ensure};
use change_event::envelope::{Change, Op};
use std::collections::HashMap;

/// How often databus is killed amid a snapshot, and most rows that each kill may have read again: a chunk on each connection.
const KILLS: u64 = 4;
const CHUNK: u64 = 60;
const CONNECTIONS: u64 = 2;

/// A metric; 0 where there is none or nobody answers.
pub fn metric(databus: &Daemon, name: &str) -> f64 {
    databus.metric(name).ok().flatten().unwrap_or(0.0)
}

/// Waits until every snapshot that waits or runs is done, and some chunk was.
pub fn wait_for_snapshots(databus: &Daemon) -> Result<()> {
    wait_until("the snapshot's end", SOON * 2, || {
        let (pending, chunks) =
            (metric(databus, "databus_snapshots_pending"), metric(databus, "databus_snapshot_chunks_total"));
        let left = metric(databus, "databus_snapshot_rows_remaining");
        // or the one before a kill had just ended it
        let ended = chunks > 0.0 || databus.log().is_ok_and(|log| log.contains("snapshot ends"));
        if pending == 0.0 && ended {
            Ok(())
        } else {
            Err(Not::Yet(format!(
                "{pending} pending, {chunks} chunks, {left} rows left; log: {}",
                last_lines(databus)
            )))
        }
    })
}

/// Waits until so many chunks were read since the daemon's start.
pub fn wait_for_chunks(databus: &Daemon, chunks: f64) -> Result<()> {
    wait_until("chunks of the snapshot", SOON, || match metric(databus, "databus_snapshot_chunks_total") {
        done if done >= chunks => Ok(()),
        done => Err(Not::Yet(format!("{done} of {chunks}"))),
    })
}

/// A source whose table has rows with the ids 1 to `rows`.
pub fn filled(stack: &Stack, rows: u64) -> Result<Source<'_>> {
    let source = Source::new(stack, "id INT PRIMARY KEY, note VARCHAR(40) NOT NULL, n INT NOT NULL")?;
    // a client takes no statement of more than 128 KiB from its command line
    for first in (1..=rows).step_by(2_500) {
        let values: Vec<_> =
            (first..=rows.min(first + 2_499)).map(|id| format!("({id}, 'row {id}', 0)")).collect();
        source.sql(&format!("INSERT INTO entry VALUES {}", values.join(", ")))?;
    }
    Ok(source)
}

/// Rows that came more than once in `snapshots` snapshots.
fn read_again(source: &Source<'_>, snapshots: usize) -> Result<usize> {
    let mut times = HashMap::<String, usize>::new();
    for record in source.records()? {
        if let Some(value) = record.value
            && Change::parse(&value)?.op == Op::Read
        {
            *times.entry(record.key).or_default() += 1;
        }
    }
    Ok(times.values().map(|times| times.saturating_sub(snapshots)).sum())
}

/// databus is killed some times amid a snapshot of a table of so many rows (4,000 or more) that is written and altered meanwhile; at the end stage 1 is the table.
pub fn kills_and_ddl_amid_a_snapshot(stack: &Stack, rows: u64) -> Result<()> {
    let source = filled(stack, rows)?.with_snapshot("initial", CHUNK)?;
    let load = Load::default();
    let mut read = 0.0;
    let databus = std::thread::scope(|scope| -> Result<Daemon> {
        let writers = load.start(scope, &source, 2, rows);
        let run = (|| {
            let mut databus = source.deployment.databus()?;
            for round in 0..KILLS {
                wait_for_chunks(&databus, 15.0)?;
                read += metric(&databus, "databus_snapshot_rows_total");
                databus.kill_9()?;
                if round == 1 {
                    source.sql("ALTER TABLE entry ADD COLUMN late INT NOT NULL DEFAULT 7")?;
                }
                databus.start_again()?;
                if round == 2 {
                    source.sql("ALTER TABLE entry ADD COLUMN later VARCHAR(9) NULL, ALGORITHM=COPY")?;
                }
            }
            wait_for_snapshots(&databus)?;
            Ok(databus)
        })();
        load.join(writers)?;
        run
    })?;
    let replayed =
        source.wait_for_equality(&["id", "note", "n", "late"]).with_context(|| last_lines(&databus))?;
    let starts = replayed.marks.iter().filter(|(kind, _)| kind == "snapshot-begin").count();
    println!("{} rows read, {read} of them seen before a kill; marks {:?}", replayed.read, replayed.marks);
    // the second is for the column whose values no row event showed
    ensure!(starts == 2, "a snapshot that goes on begins once, not {starts} times");
    let again = read_again(&source, starts)?;
    ensure!(
        again as u64 <= KILLS * CHUNK * CONNECTIONS,
        "chunks that were done were read again: {again} rows"
    );
    Ok(())
}
