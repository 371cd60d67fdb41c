//! One backlog through one program.

use super::ground::Ground;
use super::subject::{Subject, Trial};
use super::usage::{cpu_seconds, machine_cpu_seconds, own_cpu_seconds, peak_mib};
use anyhow::{Context, bail, ensure};
use serde::Serialize;
use std::fmt;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Pause between two looks at the end of the topic.
const LOOK: Duration = Duration::from_millis(10);
const NO_PROGRESS: Duration = Duration::from_secs(120);

/// What one backlog took.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Drained {
    /// Rows of the backlog.
    pub(super) rows: u64,
    /// From the start of the process to its first record that a reader can see, in seconds.
    pub(super) first_record_s: f64,
    /// From that to the last record, in seconds.
    pub(super) first_to_last_s: f64,
    /// Rows a second between these two moments.
    pub(super) rows_per_s: f64,
    /// CPU seconds of its processes from their start to the last record.
    pub(super) cpu_s: f64,
    /// CPU seconds of the broker in that time.
    pub(super) broker_cpu_s: f64,
    /// CPU seconds of the database in that time.
    pub(super) database_cpu_s: f64,
    /// The most memory that it held, in MiB.
    pub(super) peak_mib: f64,
    /// How many of the machine's cores were busy with something else, on average.
    pub(super) other_cores: f64,
}

/// Starts the program, waits for the backlog's last row, checks the number of records, and stops it.
pub(super) fn drain(trial: &mut Trial, ground: &mut Ground) -> anyhow::Result<Drained> {
    let rows = trial.behind(ground);
    let wanted = i64::try_from(rows)?;
    let last_row = ground.writer.written();
    let tail = trial.tail(ground)?;
    let base = tail.end()?;
    let (broker, database) = ground.servers_cpu()?;
    let (machine, own) = (machine_cpu_seconds(), own_cpu_seconds());
    let started = Instant::now();
    let mut running = trial.start(ground)?;
    let identity = running.identity();
    let mut first: Option<(Instant, i64)> = None;
    let (mut progress, mut before) = (Instant::now(), base);
    loop {
        let end = tail.end()?;
        let now = Instant::now();
        if end > before {
            (progress, before) = (now, end);
            first.get_or_insert((now, end - base));
        }
        // offsets count transactions' markers, too: the last row itself must be there
        if end - base >= wanted && tail.last_row()? >= last_row {
            break;
        }
        if now.duration_since(progress) > NO_PROGRESS {
            bail!("no new record for {NO_PROGRESS:?}; {} of {rows} or less are there", end - base);
        }
        running.check_running()?;
        // on purpose: looking must cost the broker little; the pause is the measurement's grain
        sleep(LOOK);
    }
    let ended = Instant::now();
    let (first_at, first_rows) = first.context("the backlog was empty")?;
    let cpu_s = cpu_seconds(&identity);
    let (broker_now, database_now) = ground.servers_cpu()?;
    let (broker_cpu_s, database_cpu_s) = (broker_now - broker, database_now - database);
    let wall = ended.duration_since(started).as_secs_f64();
    let ours = cpu_s + broker_cpu_s + database_cpu_s + own_cpu_seconds() - own;
    let first_to_last_s = ended.duration_since(first_at).as_secs_f64();
    let after_first = f64::from(u32::try_from((wanted - first_rows).max(0))?);
    let drained = Drained {
        rows,
        first_record_s: first_at.duration_since(started).as_secs_f64(),
        first_to_last_s,
        rows_per_s: after_first / first_to_last_s.max(LOOK.as_secs_f64()),
        cpu_s,
        broker_cpu_s,
        database_cpu_s,
        peak_mib: peak_mib(&identity),
        other_cores: ((machine_cpu_seconds() - machine - ours) / wall).max(0.0),
    };
    trial.stop(running, ground)?;
    let records = tail.count(base)?;
    let enough = if trial.subject() == Subject::Databus { records == rows } else { records >= rows };
    ensure!(enough, "{records} records for {rows} rows");
    Ok(drained)
}

impl fmt::Display for Drained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} rows, first after {:.2} s, then {:.2} s, {:.0} rows/s, cpu {:.2} s + broker {:.2} s, {:.0} MiB, {:.2} cores busy with other work",
            self.rows,
            self.first_record_s,
            self.first_to_last_s,
            self.rows_per_s,
            self.cpu_s,
            self.broker_cpu_s,
            self.peak_mib,
            self.other_cores
        )
    }
}
