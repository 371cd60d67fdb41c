//! A process as seen from outside: recognised again after a restart of ours, never confused with another
//! process that got the same pid.

use super::poll::{Not, wait_until};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A pid together with the moment its process began; the process leads its own process group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Process id, also the id of its process group.
    pub pid: i32,
    /// Start of the process in clock ticks since boot, from `/proc`.
    pub started: u64,
}

impl Identity {
    /// The process with this pid, if there is one.
    pub fn of(pid: u32) -> Option<Self> {
        let pid = i32::try_from(pid).ok()?;
        Stat::of(pid).map(|stat| Self { pid, started: stat.started })
    }

    /// This very process.
    pub fn own() -> Option<Self> {
        Self::of(std::process::id())
    }

    /// Whether it still runs; one that has ended but was not yet waited for does not.
    pub fn is_alive(&self) -> bool {
        Stat::of(self.pid).is_some_and(|stat| stat.started == self.started && !stat.ended)
    }

    /// Sends a signal to the process alone.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        ignore_gone(kill(Pid::from_raw(self.pid), signal))
    }

    /// Sends a signal to the process and everything it started.
    pub fn signal_group(&self, signal: Signal) -> anyhow::Result<()> {
        ignore_gone(killpg(Pid::from_raw(self.pid), signal))
    }

    /// What Ctrl-C does: SIGINT to the whole group.
    pub fn interrupt_group(&self) -> anyhow::Result<()> {
        self.signal_group(Signal::SIGINT)
    }

    /// `kill -9` to the whole group, then waits until all of it is gone.
    pub fn kill_group(&self) -> anyhow::Result<()> {
        self.signal_group(Signal::SIGKILL)?;
        wait_until(&format!("process group {} to end", self.pid), Duration::from_secs(20), || {
            let left = self.members();
            if left.is_empty() { Ok(()) } else { Err(format!("still there: {left:?}").into()) }
        })
    }

    /// Pids in its process group that still run.
    pub fn members(&self) -> Vec<i32> {
        let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
        entries
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
            .filter(|pid| Stat::of(*pid).is_some_and(|stat| stat.group == self.pid && !stat.ended))
            .collect()
    }

    /// SIGTERM to the group, then `kill -9` to what is left of the group at the deadline. True if it ended in time.
    pub fn stop(&self, deadline: Duration) -> anyhow::Result<bool> {
        self.signal_group(Signal::SIGTERM)?;
        let ended = wait_until(&format!("process {} to end", self.pid), deadline, || {
            if self.is_alive() { Err(Not::from("still running")) } else { Ok(()) }
        });
        self.kill_group()?;
        Ok(ended.is_ok())
    }
}

fn ignore_gone(result: Result<(), Errno>) -> anyhow::Result<()> {
    match result {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(error) => Err(anyhow::anyhow!("cannot signal a process of ours: {error}")),
    }
}

/// What matters here of `/proc/<pid>/`.
struct Stat {
    ended: bool,
    group: i32,
    started: u64,
}

impl Stat {
    fn of(pid: i32) -> Option<Self> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // the second field is the program's name in parentheses and may itself hold blanks and parentheses
        let (_, rest) = text.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        Some(Self {
            ended: matches!(*fields.first()?, "Z" | "X") && threads(pid) <= 1,
            group: fields.get(2)?.parse().ok()?,
            started: fields.get(19)?.parse().ok()?,
        })
    }
}

/// A process shows as ended as soon as its first thread has; until the other threads have, too, it holds its
/// ports and locks.
fn threads(pid: i32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_told_from_a_later_one_with_the_same_pid() {
        let own = Identity::own().unwrap();
        assert!(own.is_alive());
        assert!(!Identity { started: own.started + 1, ..own }.is_alive());
    }
}
