//! databus killed at random moments under a mixed load with DDL, and what stage 1 holds compared with what the source committed.
//!
//! ```text
//! writers ──transactions──► MariaDB ◄──DDL── one more          each notes in the ledger what it committed, by GTID
//!                             │
//!                          databus  ◄──kill -9, start── killer  (one process, or two with an election between them)
//!                             ▼
//!                          stage 1 ──► reader: replays in order from the beginning, checks each record, tallies each transaction
//! ```
//!
//! At the end: the replayed tables equal the source's, `seq` has neither gap nor repeat, and every transaction since the stream began
//! is there once, whole, in commit order, with exactly the changes that its writer noted. A seed repeats the plan (what the writers draw, which moments
//! are chosen), not the interleaving: that is the machine's.

mod ddl;
mod evidence;
mod killer;
mod ledger;
mod proof;
mod reader;
mod scene;
mod shape;
mod statement;
mod writer;

pub use ledger::Tally;

use crate::harness::Stack;
use anyhow::{Context, Result, ensure};
use scene::Scene;
use std::time::{Duration, Instant};

/// When it is enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// After so many kills.
    Kills(u32),
    /// After this time.
    Time(Duration),
}

/// What a round is made of.
#[derive(Debug, Clone)]
pub struct Options {
    /// Decides what the writers, the DDL and the killer draw.
    pub seed: u64,
    /// How long it goes on.
    pub goal: Goal,
    /// databus processes, one or two.
    pub instances: usize,
    /// Connections that write.
    pub writers: usize,
    /// Transactions a second, of all writers together.
    pub rate: u32,
    /// Rows of each table before the first start: what the initial snapshot reads.
    pub rows: u32,
    /// Rows of the big transactions.
    pub big: u32,
}

impl Options {
    /// A round of the usual size.
    pub fn new(seed: u64, goal: Goal) -> Self {
        Self { seed, goal, instances: 1, writers: 4, rate: 80, rows: 5_000, big: 10_000 }
    }
}

/// How a round stands, or ended.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    /// Processes killed.
    pub kills: u32,
    /// Transactions of captured tables that were committed since the stream began; those before it came with the first snapshot.
    pub transactions: u64,
    /// Changes of captured rows in them.
    pub changes: u64,
    /// Changes read from stage 1 and found right so far, rows of snapshots among them: in the end as many as both together.
    pub checked: u64,
    /// Rows of snapshots among them.
    pub snapshot_rows: u64,
    /// DDL statements.
    pub ddl: u64,
    /// The longest time from a kill to the next change that a process published, where it was left alive for so long.
    pub slowest_recovery: Duration,
    /// Half of them took no longer.
    pub median_recovery: Duration,
    /// Since the start.
    pub elapsed: Duration,
}

/// Runs a round on a stack with a database and a broker; `tell` hears how it stands about once a second. Fails with the first thing that is not
/// as it must be; what is needed to look into it then lies in a folder that the error names.
pub fn run(stack: &Stack, options: &Options, tell: &mut dyn FnMut(&Standing)) -> Result<Standing> {
    let started = Instant::now();
    let scene = Scene::new(stack, options.clone())?;
    let seed = options.seed;
    match act(&scene, started, tell) {
        Ok(standing) => Ok(standing),
        Err(error) => {
            let kept = evidence::keep(&scene);
            Err(error).with_context(|| format!("chaos with --seed {seed} failed; {kept}"))
        }
    }
}

fn act(scene: &Scene<'_>, started: Instant, tell: &mut dyn FnMut(&Standing)) -> Result<Standing> {
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..scene.options.writers)
            .map(|number| scope.spawn(move || scene.note(writer::write(scene, number))))
            .collect();
        let ddl = scope.spawn(|| scene.note(ddl::alter(scene)));
        let reader = scope.spawn(|| scene.note_value(reader::read(scene)));
        let killed = killer::kill(scene, started, tell);
        scene.stop_load();
        for writer in writers {
            writer.join().map_err(|_| anyhow::anyhow!("a writer panicked"))?;
        }
        ddl.join().map_err(|_| anyhow::anyhow!("the ddl panicked"))?;
        let ended = killed.and_then(|mut killer| {
            scene.check()?;
            proof::wait_for_the_end(scene, &mut killer)?;
            Ok(killer)
        });
        scene.stop_reader();
        let read = reader.join().map_err(|_| anyhow::anyhow!("the reader panicked"))?;
        // the reader's own words are nearer to the cause than those of who waited for it
        scene.check()?;
        let killer = ended?;
        let read = read.context("the reader ended early")?;
        proof::compare(scene, &read)?;
        let standing = killer.standing(scene, started);
        ensure!(
            standing.checked == standing.changes + standing.snapshot_rows,
            "the sums do not agree: {standing:?}"
        );
        Ok(standing)
    })
}
