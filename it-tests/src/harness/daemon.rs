//! One of our own daemons as a child process.

use super::child::ChildProcess;
use super::http::get_ok;
use super::launch::Launch;
use super::poll::Not;
use super::ports::loopback;
use super::service::{START_DEADLINE, Service};
use anyhow::{Context, bail};
use std::path::PathBuf;
use std::time::Duration;

/// A running daemon; ends with its value, or when this process ends.
#[derive(Debug)]
pub struct Daemon {
    process: ChildProcess,
    admin_port: u16,
}

impl Daemon {
    /// Starts it and does not wait. `admin_port` is where it will serve `/readyz`.
    pub fn launch(launch: Launch, admin_port: u16) -> anyhow::Result<Self> {
        Ok(Self { process: ChildProcess::start(launch)?, admin_port })
    }

    /// Starts it and waits until `/readyz` answers 200.
    pub fn start(launch: Launch, admin_port: u16) -> anyhow::Result<Self> {
        let mut daemon = Self::launch(launch, admin_port)?;
        daemon.wait_ready()?;
        Ok(daemon)
    }

    /// `http://127.0.0.1:<admin port>`.
    pub fn admin_url(&self) -> String {
        format!("http://{}", loopback(self.admin_port))
    }

    /// The text of `/metrics`.
    pub fn metrics(&self) -> anyhow::Result<String> {
        get_ok(&format!("{}/metrics", self.admin_url()), Duration::from_secs(5))
    }

    /// The sum of a metric over its label sets, or `None` if no line has that name.
    pub fn metric(&self, name: &str) -> anyhow::Result<Option<f64>> {
        Ok(metric_sum(&self.metrics()?, name))
    }

    /// Everything it has logged, over all its restarts.
    pub fn log(&self) -> anyhow::Result<String> {
        let path = self.process.log_path();
        let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Waits for it to end by itself; the exit code (`None`: ended by a signal).
    pub fn wait_exit(&mut self) -> anyhow::Result<Option<i32>> {
        Ok(self.process.wait_exit(START_DEADLINE)?.code())
    }
}

impl Service for Daemon {
    fn process(&self) -> &ChildProcess {
        &self.process
    }

    fn process_mut(&mut self) -> &mut ChildProcess {
        &mut self.process
    }

    fn probe(&self) -> Box<dyn Fn() -> Result<(), Not> + Send> {
        let url = format!("{}/readyz", self.admin_url());
        Box::new(move || get_ok(&url, Duration::from_secs(5)).map(drop).map_err(Not::yet))
    }
}

fn metric_sum(text: &str, name: &str) -> Option<f64> {
    let values = text.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        let value = if rest.starts_with('{') { rest.rsplit_once('}')?.1 } else { rest };
        value.starts_with(' ').then(|| value.trim().parse::<f64>().ok())?
    });
    values.fold(None, |sum, value| Some(sum.unwrap_or(0.0) + value))
}

/// The path of one of our binaries: beside the test or demo that runs now.
pub fn own_binary(name: &str) -> anyhow::Result<PathBuf> {
    let mut folder = std::env::current_exe()?;
    folder.pop();
    if folder.ends_with("deps") {
        folder.pop();
    }
    let path = folder.join(name);
    if !path.is_file() {
        bail!("{} is not built; run `cargo build --workspace --bins`, or `cargo xtask test`", path.display());
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::metric_sum;

    #[test]
    fn a_metric_is_summed_over_its_labels_and_not_with_its_namesakes() {
        let text = "# TYPE rows counter\nrows{t=\"a}\"} 2\nrows{t=\"b\"} 3\nrows_total 100\nlag 0.5\n";
        assert_eq!(metric_sum(text, "rows"), Some(5.0));
        assert_eq!(metric_sum(text, "lag"), Some(0.5));
        assert_eq!(metric_sum(text, "none"), None);
    }
}
