//! Runs a command in the foreground and lets it go down cleanly with us.
//!
//! The command gets its own process group. Ctrl-C and SIGTERM are passed on to the group; the command then has
//! some time to clean up before the whole group is killed. If we are killed outright, the kernel kills it.

use anyhow::Context;
use it_tests::harness::identity::Identity;
use it_tests::harness::paths::required_program;
use it_tests::harness::poll::{Not, wait_until};
use std::ffi::OsStr;
use std::io::IsTerminal;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

const CLEAN_UP: Duration = Duration::from_secs(30);

/// Whether somebody sits at a terminal.
pub(crate) fn has_terminal() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Runs a command with our stdout and stderr to its end; Ctrl-C ends it, too.
pub(crate) fn foreground<S: AsRef<OsStr>>(line: &[S]) -> anyhow::Result<ExitStatus> {
    let interrupts = interrupts()?;
    let mut command = Command::new(required_program("setpriv")?);
    command.args(["--pdeathsig", "KILL", "--"]).args(line).stdin(Stdio::null()).process_group(0);
    let shown: Vec<String> = line.iter().map(|word| word.as_ref().to_string_lossy().into_owned()).collect();
    let mut child = command.spawn().with_context(|| format!("cannot start `{}`", shown.join(" ")))?;
    let group = Identity::of(child.id()).context("the command ended before it could be watched")?;
    let receiver = interrupts.lock().map_err(|_| anyhow::anyhow!("the interrupt queue is broken"))?;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if receiver.recv_timeout(Duration::from_millis(50)).is_ok() {
            eprintln!("interrupted: waiting for `{}` to clean up", shown.first().map_or("", String::as_str));
            group.interrupt_group()?;
            let ended = wait_until("the command to clean up", CLEAN_UP, || match child.try_wait() {
                Ok(Some(status)) => Ok(status),
                Ok(None) => Err(Not::from("still running")),
                Err(error) => Err(Not::Ever(error.into())),
            });
            group.kill_group()?;
            return match ended {
                Ok(status) => Ok(status),
                Err(_) => Ok(child.wait()?),
            };
        }
    }
}

/// The exit code to pass on: the command's own, or 128 + signal as shells do.
pub(crate) fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from)
}

/// Ctrl-C, SIGTERM and SIGHUP, one message each.
fn interrupts() -> anyhow::Result<&'static Mutex<Receiver<()>>> {
    static QUEUE: OnceLock<Mutex<Receiver<()>>> = OnceLock::new();
    if QUEUE.get().is_none() {
        let (sender, receiver) = channel();
        ctrlc::set_handler(move || sender.send(()).unwrap_or(())).context("cannot listen for Ctrl-C")?;
        let _ = QUEUE.set(Mutex::new(receiver));
    }
    QUEUE.get().context("cannot listen for Ctrl-C")
}
