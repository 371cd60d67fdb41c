//! From the answer to a commit until a reader of committed records has the row, at a steady rate.

use super::ground::Ground;
use super::subject::Trial;
use super::usage::{cpu_seconds, machine_cpu_seconds, own_cpu_seconds};
use anyhow::{Context, ensure};
use rdkafka::Offset;
use serde::Serialize;
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

/// Transactions a second.
pub(super) const RATE: u32 = 200;
/// How long the last rows may take.
const LAST_ROWS: Duration = Duration::from_secs(30);

/// What was measured at a steady rate.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Delay {
    /// Rows written, one a transaction.
    pub(super) rows: u64,
    /// Rows a second that the database took; less than asked for on a busy machine.
    pub(super) rate: f64,
    /// Median, in milliseconds; the first tenth of the rows does not count.
    pub(super) p50_ms: f64,
    /// 99th percentile.
    pub(super) p99_ms: f64,
    /// The longest.
    pub(super) max_ms: f64,
    /// How many of the machine's cores were busy with something else, on average.
    pub(super) other_cores: f64,
}

/// Starts the program, brings it to the end of the binlog, and measures.
pub(super) fn latency(trial: &mut Trial, ground: &mut Ground, seconds: u64) -> anyhow::Result<Delay> {
    let mut running = trial.start(ground)?;
    trial.reach_end(&mut running, ground)?;
    let tail = trial.tail(ground)?;
    tail.seek(Offset::Offset(tail.end()?))?;
    let rows = seconds * u64::from(RATE);
    let first = ground.writer.written() + 1;
    let (machine, own) = (machine_cpu_seconds(), own_cpu_seconds());
    let (broker, database) = ground.servers_cpu()?;
    let cpu = cpu_seconds(&running.identity());
    let stop = AtomicBool::new(false);
    let started = Instant::now();
    let ((committed, rate), seen) = scope(|threads| -> anyhow::Result<_> {
        let reader = threads.spawn(|| -> anyhow::Result<HashMap<u64, Instant>> {
            let mut seen = HashMap::new();
            let mut until = None;
            loop {
                if let Some(number) = tail.next()?.filter(|number| *number >= first) {
                    seen.entry(number).or_insert_with(Instant::now);
                }
                if stop.load(Ordering::Acquire) {
                    let until = *until.get_or_insert_with(|| Instant::now() + LAST_ROWS);
                    if u64::try_from(seen.len())? >= rows || Instant::now() > until {
                        return Ok(seen);
                    }
                }
            }
        });
        let written = write_steadily(ground, rows);
        stop.store(true, Ordering::Release);
        let seen = reader.join().unwrap_or_else(|_| anyhow::bail!("the reader panicked"))?;
        Ok((written?, seen))
    })?;
    let wall = started.elapsed().as_secs_f64();
    let (broker_now, database_now) = ground.servers_cpu()?;
    let ours = cpu_seconds(&running.identity()) - cpu + broker_now - broker + database_now - database
        + own_cpu_seconds()
        - own;
    let other_cores = ((machine_cpu_seconds() - machine - ours) / wall).max(0.0);
    running.check_running()?;
    trial.stop(running, ground)?;

    let counted = committed.iter().skip(committed.len() / 10);
    let mut delays: Vec<f64> = counted
        .filter_map(|(number, at)| {
            Some(seen.get(number)?.saturating_duration_since(*at).as_secs_f64() * 1000.0)
        })
        .collect();
    ensure!(u64::try_from(seen.len())? >= rows, "{} of {rows} rows came through", seen.len());
    delays.sort_by(f64::total_cmp);
    let at = |share: usize| delays.get((delays.len() * share / 1000).min(delays.len().saturating_sub(1)));
    let of = |share| at(share).copied().context("no row was measured");
    Ok(Delay { rows, rate, p50_ms: of(500)?, p99_ms: of(990)?, max_ms: of(1000)?, other_cores })
}

/// Each row's number with the moment that its commit was answered, and how many a second there were.
fn write_steadily(ground: &mut Ground, rows: u64) -> anyhow::Result<(Vec<(u64, Instant)>, f64)> {
    let started = Instant::now();
    let mut committed = Vec::with_capacity(usize::try_from(rows)?);
    for turn in 0..u32::try_from(rows)? {
        let due = started + Duration::from_secs(1) * turn / RATE;
        // on purpose: the load is a steady rate
        sleep(due.saturating_duration_since(Instant::now()));
        ground.writer.write(1, 1)?;
        committed.push((ground.writer.written(), Instant::now()));
    }
    Ok((committed, f64::from(u32::try_from(rows)?) / started.elapsed().as_secs_f64()))
}

impl fmt::Display for Delay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "commit to visible at {:.0}/s over {} rows: p50 {:.1} ms, p99 {:.1} ms, longest {:.1} ms, {:.2} cores busy with other work",
            self.rate, self.rows, self.p50_ms, self.p99_ms, self.max_ms, self.other_cores
        )
    }
}
