//! Kills databus at moments that the seed draws, starts it again at once, and measures how long it takes to publish again.

use super::scene::{DEADLINE, Scene};
use super::statement::Captured;
use super::{Goal, Standing};
use crate::harness::{Daemon, Not, Service, wait_until};
use crate::rng::Rng;
use anyhow::{Result, bail};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// When to kill, counted from the start before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// While it starts: so long after its start, whatever it has come to.
    Starting(Duration),
    /// Once it published again, and so long after that.
    Streaming(Duration),
    /// So long after a transaction of thousands of rows was committed.
    InBig(Duration),
    /// So long after DDL on a captured table was sent.
    InDdl(Duration),
    /// So long after it has read a chunk of a snapshot.
    InSnapshot(Duration),
}

impl Moment {
    fn draw(rng: &mut Rng, kills: u32) -> Self {
        let mut upto = |millis: usize| Duration::from_millis(rng.below(millis) as u64);
        let (short, medium, long) = (upto(40), upto(300), upto(1_200));
        match rng.below(100) {
            // the first ones fall into the initial snapshot
            0..60 if kills < 3 => Self::InSnapshot(medium),
            0..25 => Self::Starting(long),
            25..35 => Self::Streaming(short),
            35..60 => Self::Streaming(long),
            60..78 => Self::InBig(medium),
            78..90 => Self::InDdl(short),
            _ => Self::InSnapshot(medium),
        }
    }
}

/// The databus processes of a round.
pub(super) struct Killer<'s> {
    scene: &'s Scene<'s>,
    daemons: Vec<Daemon>,
    /// Commits of each process at the last kill of an active one, as it counts them since its start.
    commits: Vec<f64>,
    rng: Rng,
    kills: u32,
    /// The first kill of an active process that no process has published after yet.
    waiting_since: Option<Instant>,
    recoveries: Vec<Duration>,
}

/// Starts databus, kills and starts it until the goal is reached, and leaves it running.
pub(super) fn kill<'s>(
    scene: &'s Scene<'s>,
    started: Instant,
    tell: &mut dyn FnMut(&Standing),
) -> Result<Killer<'s>> {
    let deployment = &scene.source.deployment;
    let mut daemons = vec![deployment.daemon_unready("databus", &["run"])?];
    if scene.options.instances > 1 {
        let twin = deployment.twin(&format!("{}-twin", scene.source.name))?;
        daemons.push(twin.daemon_unready("databus", &["run"])?);
    }
    let rng = Rng::new(scene.options.seed);
    let mut killer = Killer {
        scene,
        commits: vec![0.0; daemons.len()],
        daemons,
        rng,
        kills: 0,
        waiting_since: Some(Instant::now()),
        recoveries: Vec::new(),
    };
    let mut told = Instant::now();
    while !killer.is_enough(started) {
        let moment = Moment::draw(&mut killer.rng, killer.kills);
        killer.wait(moment)?;
        killer.strike()?;
        if told.elapsed() >= Duration::from_secs(1) {
            tell(&killer.standing(scene, started));
            told = Instant::now();
        }
    }
    killer.recover()?;
    tell(&killer.standing(scene, started));
    Ok(killer)
}

impl Killer<'_> {
    fn is_enough(&self, started: Instant) -> bool {
        match self.scene.options.goal {
            Goal::Kills(kills) => self.kills >= kills,
            Goal::Time(time) => started.elapsed() >= time,
        }
    }

    /// How the round stands.
    pub(super) fn standing(&self, scene: &Scene<'_>, started: Instant) -> Standing {
        let (transactions, changes) = scene.ledger.sums(scene.first.load(Ordering::Relaxed));
        let mut recoveries = self.recoveries.clone();
        recoveries.sort_unstable();
        Standing {
            kills: self.kills,
            transactions,
            changes,
            checked: scene.checked.load(Ordering::Relaxed),
            snapshot_rows: scene.snapshot_rows.load(Ordering::Relaxed),
            ddl: scene.ddls.load(Ordering::Relaxed),
            slowest_recovery: recoveries.last().copied().unwrap_or_default(),
            median_recovery: recoveries.get(recoveries.len() / 2).copied().unwrap_or_default(),
            elapsed: started.elapsed(),
        }
    }

    fn wait(&mut self, moment: Moment) -> Result<()> {
        let (Moment::Starting(after)
        | Moment::Streaming(after)
        | Moment::InBig(after)
        | Moment::InDdl(after)
        | Moment::InSnapshot(after)) = moment;
        let scene = self.scene;
        match moment {
            Moment::Starting(_) => {}
            Moment::Streaming(_) => self.recover()?,
            Moment::InBig(_) => {
                self.recover()?;
                let before = scene.bigs.load(Ordering::Relaxed);
                scene.wants_big.store(true, Ordering::Relaxed);
                self.until("a big transaction", |_| scene.bigs.load(Ordering::Relaxed) > before)?;
            }
            Moment::InDdl(_) => {
                self.recover()?;
                let before = scene.ddls.load(Ordering::Relaxed);
                scene.wants_ddl.store(true, Ordering::Relaxed);
                self.until("ddl", |_| scene.ddls.load(Ordering::Relaxed) > before)?;
            }
            Moment::InSnapshot(_) => {
                self.recover()?;
                if self.metric("databus_snapshots_pending") == Some(0.0) {
                    let table = *self.rng.pick(&Captured::ALL);
                    let wanted = format!("{}.{table}", scene.source.name);
                    scene.source.deployment.run_ok("databus", &["snapshot", "--table", &wanted])?;
                }
                // or it ended between two looks
                let rows = scene.snapshot_rows.load(Ordering::Relaxed);
                self.until("a chunk of a snapshot", |killer| {
                    killer.metric("databus_snapshot_chunks_total").is_some_and(|chunks| chunks > 0.0)
                        || scene.snapshot_rows.load(Ordering::Relaxed) > rows
                })?;
            }
        }
        // on purpose: the seed draws this moment, and a kill at a condition would always hit the same place
        std::thread::sleep(after);
        Ok(())
    }

    /// Kills one process, mostly the active one, and starts it again at once.
    fn strike(&mut self) -> Result<()> {
        self.watch()?;
        let active = self.active().unwrap_or(0);
        let victim = if self.rng.one_in(4) { self.rng.below(self.daemons.len()) } else { active };
        let before = self.daemons.iter().map(commits).collect();
        let Some(daemon) = self.daemons.get_mut(victim) else { return Ok(()) };
        daemon.kill_9()?;
        self.kills += 1;
        let killed = Instant::now();
        daemon.process_mut().start_again()?;
        if victim == active {
            self.waiting_since.get_or_insert(killed);
            self.commits = before;
        }
        if let Some(commits) = self.commits.get_mut(victim) {
            *commits = 0.0;
        }
        Ok(())
    }

    /// No process may end by itself, save one of two that the other has fenced, which its supervisor starts again.
    pub(super) fn watch(&mut self) -> Result<()> {
        let several = self.daemons.len() > 1;
        for (daemon, commits) in self.daemons.iter_mut().zip(&mut self.commits) {
            match daemon.process_mut().exit_status() {
                None => {}
                Some(status) if several && status.code() == Some(10) => {
                    daemon.process_mut().start_again()?;
                    *commits = 0.0;
                }
                Some(status) => bail!("databus ended by itself with {status}: {}", tail(daemon)),
            }
        }
        self.scene.check()
    }

    /// Waits until some process has published since the last kill of an active one.
    fn recover(&mut self) -> Result<()> {
        self.until("databus to publish again", |killer| {
            killer.daemons.iter().zip(&killer.commits).any(|(daemon, before)| commits(daemon) > *before)
        })?;
        if let Some(since) = self.waiting_since.take() {
            self.recoveries.push(since.elapsed());
        }
        Ok(())
    }

    fn until(&mut self, what: &str, mut holds: impl FnMut(&mut Self) -> bool) -> Result<()> {
        wait_until(what, DEADLINE, || {
            self.watch().map_err(Not::Ever)?;
            if holds(self) { Ok(()) } else { Err(Not::Yet(self.last_lines())) }
        })
    }

    /// The place of the process that says it is the active one.
    fn active(&self) -> Option<usize> {
        if self.daemons.len() == 1 {
            return Some(0);
        }
        self.daemons.iter().position(|daemon| matches!(daemon.metric("databus_role"), Ok(Some(1.0))))
    }

    /// A metric of the active process.
    pub(super) fn metric(&self, name: &str) -> Option<f64> {
        self.daemons.get(self.active()?)?.metric(name).ok()?
    }

    /// The ends of the logs.
    pub(super) fn last_lines(&self) -> String {
        self.daemons.iter().map(tail).collect::<Vec<_>>().join("\n")
    }
}

/// Kafka transactions that a process has committed since its start.
fn commits(daemon: &Daemon) -> f64 {
    daemon.metric("databus_commit_seconds_count").ok().flatten().unwrap_or_default()
}

fn tail(daemon: &Daemon) -> String {
    daemon.process().log_tail(15)
}
