//! Where the figures come from.

use super::ground::Ground;
use it_tests::harness::paths::{KAFKA_VERSION, java_home};
use std::fs;
use std::process::Command;

/// One line each: processor, memory, system, database, broker, Java.
pub(super) fn facts(ground: &Ground) -> anyhow::Result<Vec<String>> {
    let processor = field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown processor".to_owned());
    let cores = std::thread::available_parallelism()?;
    let memory = field("/proc/meminfo", "MemTotal").unwrap_or_default();
    let gib = memory.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) >> 20;
    let system = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let system = system
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="))
        .unwrap_or("Linux")
        .trim_matches('"')
        .to_owned();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let java = Command::new(java_home()?.join("bin/java")).arg("-version").output()?;
    let java = String::from_utf8_lossy(&java.stderr).lines().next().unwrap_or_default().to_owned();
    Ok(vec![
        format!(
            "{cores} cores of {processor}, {gib} GiB, shared by database, broker and the program measured"
        ),
        format!("{system}, Linux {}", kernel.trim()),
        format!(
            "MariaDB {}, row binlog, full images, synced at every commit while latency is measured",
            ground.stack.mariadb()?.version()?
        ),
        format!(
            "Kafka {KAFKA_VERSION}, one node, heap 1 GiB; one topic of one partition each, lz4, acks=all"
        ),
        java,
    ])
}

/// The three load averages.
pub(super) fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}

fn field(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
