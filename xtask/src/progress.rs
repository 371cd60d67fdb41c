//! One line per step: a spinner on a terminal, plain lines anywhere else.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Runs one step and shows how it goes: on a terminal as a spinner that ends as a tick or a cross.
pub(crate) fn step<T>(what: &str, work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    let started = Instant::now();
    let spinner = std::io::stderr().is_terminal().then(|| {
        let style = ProgressStyle::with_template("{spinner} {msg} {elapsed}");
        let bar = ProgressBar::new_spinner().with_message(what.to_owned());
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        bar.enable_steady_tick(Duration::from_millis(100));
        bar
    });
    if spinner.is_none() {
        eprintln!("... {what}");
    }
    let result = work();
    if let Some(bar) = spinner {
        bar.finish_and_clear();
    }
    let took = started.elapsed().as_secs_f32();
    match &result {
        Ok(_) => eprintln!("ok  {what} ({took:.1} s)"),
        Err(_) => eprintln!("FAILED  {what} ({took:.1} s)"),
    }
    result
}
