//! What processes take, from `/proc`.

use it_tests::harness::identity::Identity;
use std::fs;

/// The kernel's clock ticks a second as `/proc` shows them: 100 on every Linux that this runs on.
const TICKS: f64 = 100.0;

/// CPU seconds of a process group until now, ended and waited-for children included.
pub(super) fn cpu_seconds(group: &Identity) -> f64 {
    group.members().iter().filter_map(|pid| ticks(&pid.to_string())).sum::<f64>() / TICKS
}

/// CPU seconds of this process until now.
pub(super) fn own_cpu_seconds() -> f64 {
    ticks("self").unwrap_or(0.0) / TICKS
}

fn ticks(process: &str) -> Option<f64> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    // user and system time, then the same of children
    fields.get(11..15)?.iter().map(|field| field.parse::<f64>().ok()).sum()
}

/// CPU seconds that the whole machine has been busy until now.
pub(super) fn machine_cpu_seconds() -> f64 {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields: Vec<f64> = text
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(1)
        .take(8)
        .filter_map(|field| field.parse().ok())
        .collect();
    let idle = fields.get(3).copied().unwrap_or(0.0) + fields.get(4).copied().unwrap_or(0.0);
    (fields.iter().sum::<f64>() - idle) / TICKS
}

/// The most memory that a process group's members have held, in MiB.
pub(super) fn peak_mib(group: &Identity) -> f64 {
    let peak = |pid: &i32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
        line.split_whitespace().nth(1)?.parse::<f64>().ok()
    };
    group.members().iter().filter_map(peak).sum::<f64>() / 1024.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_takes_memory_and_no_more_time_than_the_machine() {
        assert!(own_cpu_seconds() <= machine_cpu_seconds());
        let own = Identity::own().unwrap();
        let group = Identity { pid: nix::unistd::getpgrp().as_raw(), ..own };
        assert!(peak_mib(&group) > 1.0 && cpu_seconds(&group) >= 0.0);
    }
}
