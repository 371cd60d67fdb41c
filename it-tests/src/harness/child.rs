//! A real program as a child process: own process group, own log file, and it cannot outlive what started it.
//!
//! "Cannot outlive" is the kernel's doing: the program is started through `setpriv --pdeathsig KILL`, so it is
//! killed when its parent ends, however that ends (a panic, `kill -9`, or a test binary that simply returns
//! from main without dropping its statics). The kernel ties this to the *thread* that started the child, and a
//! test's thread ends with its test; so all children are started by one thread that lives as long as the process.

use super::identity::Identity;
use super::launch::{Launch, Lifetime};
use super::poll::{Not, wait_until};
use anyhow::{Context, bail};
use nix::sys::signal::Signal;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::LazyLock;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

/// A program that was started by us. Dropping it is `kill -9` to its whole process group, unless detached.
#[derive(Debug)]
pub struct ChildProcess {
    launch: Launch,
    child: Child,
    identity: Identity,
    last_exit: Option<ExitStatus>,
}

impl ChildProcess {
    /// Starts the program. What an earlier run left running under the same pid file is killed first.
    pub fn start(launch: Launch) -> anyhow::Result<Self> {
        fs::create_dir_all(&launch.dir).with_context(|| format!("cannot create {}", launch.dir.display()))?;
        kill_leftover(&launch.pid_file())?;
        let (child, identity) = spawn(&launch)?;
        Ok(Self { launch, child, identity, last_exit: None })
    }

    /// The name given at launch.
    pub fn name(&self) -> &str {
        &self.launch.name
    }

    /// Pid and start time.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// The exit status, if it has ended.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        if self.last_exit.is_none() {
            self.last_exit = self.child.try_wait().ok().flatten();
        }
        self.last_exit
    }

    /// Whether it has not ended.
    pub fn is_running(&mut self) -> bool {
        self.exit_status().is_none()
    }

    /// `kill -9` to the whole process group; returns when all of it is gone.
    pub fn kill_9(&mut self) -> anyhow::Result<()> {
        if self.is_running() {
            self.identity.signal_group(Signal::SIGKILL)?;
            self.last_exit = Some(self.child.wait()?);
        }
        self.identity.kill_group()
    }

    /// SIGTERM to the process group, and wait. Past the deadline: `kill -9`, and an error with the end of the log.
    pub fn terminate(&mut self, deadline: Duration) -> anyhow::Result<ExitStatus> {
        self.identity.signal_group(Signal::SIGTERM)?;
        let ended = self.wait_exit(deadline);
        self.kill_9()?;
        ended
    }

    /// Waits for it to end by itself.
    pub fn wait_exit(&mut self, deadline: Duration) -> anyhow::Result<ExitStatus> {
        let what = format!("{} to exit", self.name());
        let waited = wait_until(&what, deadline, || self.exit_status().ok_or(Not::from("still running")));
        waited.with_context(|| self.log_tail(30))
    }

    /// Waits until `probe` answers `Ok`; if the program ends before that, or the deadline passes, the error
    /// carries the end of its log.
    pub fn wait_ready(
        &mut self,
        deadline: Duration,
        mut probe: impl FnMut() -> Result<(), Not>,
    ) -> anyhow::Result<()> {
        let what = format!("{} to be ready", self.name());
        let waited = wait_until(&what, deadline, || match self.exit_status() {
            Some(status) => Err(Not::Ever(anyhow::anyhow!("{} ended with {status}", self.name()))),
            None => probe(),
        });
        waited.with_context(|| self.log_tail(30))
    }

    /// Stops it in its tracks (SIGSTOP) without ending it: connections stay open and nothing answers.
    pub fn pause(&self) -> anyhow::Result<()> {
        self.identity.signal_group(Signal::SIGSTOP)
    }

    /// Lets a paused one go on (SIGCONT).
    pub fn resume(&self) -> anyhow::Result<()> {
        self.identity.signal_group(Signal::SIGCONT)
    }

    /// Starts it again with the same arguments in the same directory; kills it first if it still runs.
    pub fn start_again(&mut self) -> anyhow::Result<()> {
        self.kill_9()?;
        (self.child, self.identity) = spawn(&self.launch)?;
        self.last_exit = None;
        Ok(())
    }

    /// Path of the log file; it grows over restarts.
    pub fn log_path(&self) -> PathBuf {
        self.launch.log()
    }

    /// The last lines of the log, headed by its path, for error messages.
    pub fn log_tail(&self, lines: usize) -> String {
        tail(&self.log_path(), lines)
    }
}

impl Drop for ChildProcess {
    fn drop(&mut self) {
        if self.launch.lifetime == Lifetime::WithParent
            && let Err(error) = self.kill_9()
        {
            eprintln!("cannot end {}: {error:#}", self.name());
        }
    }
}

/// Kills the process that a pid file names, if it still runs.
pub fn kill_leftover(pid_file: &Path) -> anyhow::Result<()> {
    let left = fs::read(pid_file).ok().and_then(|bytes| serde_json::from_slice::<Identity>(&bytes).ok());
    if let Some(identity) = left.filter(Identity::is_alive) {
        identity.kill_group()?;
    }
    Ok(())
}

/// The last lines of a file, headed by its path.
pub fn tail(path: &Path, lines: usize) -> String {
    let text = fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    let last = all.get(all.len().saturating_sub(lines)..).unwrap_or_default().join("\n");
    format!("end of {}:\n{last}", path.display())
}

fn spawn(launch: &Launch) -> anyhow::Result<(Child, Identity)> {
    let command = launch.command()?;
    let mut child = spawn_on_lasting_thread(command)
        .with_context(|| format!("cannot start {} ({})", launch.name, launch.program.display()))?;
    let Some(identity) = Identity::of(child.id()) else {
        let status = child.wait()?;
        bail!("{} ended at once with {status}\n{}", launch.name, tail(&launch.log(), 30));
    };
    fs::write(launch.pid_file(), serde_json::to_vec(&identity)?)?;
    Ok((child, identity))
}

type Job = Box<dyn FnOnce() + Send>;

fn spawn_on_lasting_thread(mut command: Command) -> std::io::Result<Child> {
    static SPAWNER: LazyLock<Sender<Job>> = LazyLock::new(|| {
        let (jobs, queue) = channel::<Job>();
        std::thread::spawn(move || queue.into_iter().for_each(|job| job()));
        jobs
    });
    let (answer, result) = channel();
    let job: Job = Box::new(move || drop(answer.send(command.spawn())));
    SPAWNER.send(job).map_err(|_| std::io::Error::other("the thread that starts children is gone"))?;
    result.recv().map_err(std::io::Error::other)?
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::{TempDir, tempdir};

    fn sleeper(dir: &TempDir) -> ChildProcess {
        let launch = Launch::new("sleeper", "/bin/sh", dir.path());
        ChildProcess::start(launch.args(["-c", "echo hello; sleep 600 & wait"])).unwrap()
    }

    #[test]
    fn a_dropped_child_takes_its_own_children_with_it() {
        let dir = tempdir().unwrap();
        let child = sleeper(&dir);
        let identity = child.identity();
        assert!(identity.is_alive());
        drop(child);
        assert!(!identity.is_alive());
        assert!(identity.members().is_empty());
    }

    #[test]
    fn a_child_outlives_the_thread_that_asked_for_it() {
        let (dir, other) = (tempdir().unwrap(), tempdir().unwrap());
        let mut child = std::thread::scope(|scope| scope.spawn(|| sleeper(&dir)).join().unwrap());
        // a second child started after the thread's end proves that the kernel has handled that end
        drop(sleeper(&other));
        assert!(child.is_running());
    }

    #[test]
    fn what_an_earlier_run_left_running_is_killed_before_the_start() {
        let dir = tempdir().unwrap();
        let left = ChildProcess::start(
            Launch::new("sleeper", "/bin/sleep", dir.path()).arg("600").lifetime(Lifetime::Detached),
        )
        .unwrap();
        let before = left.identity();
        drop(left);
        assert!(before.is_alive(), "a detached child stays");

        let child = sleeper(&dir);

        assert!(!before.is_alive());
        assert!(child.identity().is_alive());
    }

    #[test]
    fn a_child_that_ends_early_is_reported_with_its_log() {
        let dir = tempdir().unwrap();
        let launch = Launch::new("early", "/bin/sh", dir.path()).args(["-c", "echo port is taken; exit 3"]);
        let mut child = ChildProcess::start(launch).unwrap();
        let error = child.wait_ready(Duration::from_secs(20), || Err("no answer".into())).unwrap_err();
        let text = format!("{error:#}");
        assert!(text.contains("port is taken") && text.contains("exit status: 3"), "{text}");
    }
}
