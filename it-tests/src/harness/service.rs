//! What all real parts have in common: they run, answer a probe, die and come back on the same data and port.

use super::child::ChildProcess;
use super::poll::Not;
use std::process::ExitStatus;
use std::time::Duration;

/// How long a part may take to be ready: a loaded two-core machine took 46 s for the slowest once.
pub const START_DEADLINE: Duration = Duration::from_secs(120);
/// How long a part may take to stop in order.
pub const STOP_DEADLINE: Duration = Duration::from_secs(60);

/// A running real part.
pub trait Service {
    /// Its process.
    fn process(&self) -> &ChildProcess;

    /// Its process, to end or restart it.
    fn process_mut(&mut self) -> &mut ChildProcess;

    /// A check over the part's own protocol, free of side effects; the closure owns what it needs.
    fn probe(&self) -> Box<dyn Fn() -> Result<(), Not> + Send>;

    /// Waits until the probe answers.
    fn wait_ready(&mut self) -> anyhow::Result<()> {
        let probe = self.probe();
        self.process_mut().wait_ready(START_DEADLINE, probe)
    }

    /// Power cut: `kill -9`.
    fn kill_9(&mut self) -> anyhow::Result<()> {
        self.process_mut().kill_9()
    }

    /// Orderly end: SIGTERM.
    fn stop(&mut self) -> anyhow::Result<ExitStatus> {
        self.process_mut().terminate(STOP_DEADLINE)
    }

    /// Starts it again on the same data and port and waits until it is ready.
    fn start_again(&mut self) -> anyhow::Result<()> {
        self.process_mut().start_again()?;
        self.wait_ready()
    }

    /// Freezes it: connections stay open, nothing answers.
    fn pause(&self) -> anyhow::Result<()> {
        self.process().pause()
    }

    /// Ends a [`Service::pause`].
    fn resume(&self) -> anyhow::Result<()> {
        self.process().resume()
    }
}
