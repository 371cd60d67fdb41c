//! Flink's own reader of the `debezium-json` format in a JVM, as a stock reader of stage 1.

use crate::harness::paths::{flink_lib, java_home, repo_root};
use anyhow::{Context, ensure};
use base64::{Engine, engine::general_purpose::STANDARD};
use std::{fs, path::Path, process::Command};

/// What Flink makes of record values: one row per line of its changelog, first the kind (`+I`, `-U`, `+U`, `-D`), then the columns, then
/// the metadata `source.database`, `source.table` and `ingestion-timestamp`. `columns` are names and Flink's SQL types; `dir` is for files.
pub fn read(
    dir: &Path,
    values: &[Option<Vec<u8>>],
    columns: &[(&str, &str)],
) -> anyhow::Result<Vec<Vec<String>>> {
    let lib = flink_lib();
    ensure!(lib.is_dir(), "no flink jars in {}; run `cargo xtask provision`", lib.display());
    let lines: Vec<String> = values
        .iter()
        .map(|value| value.as_ref().map_or_else(|| "-".to_owned(), |value| STANDARD.encode(value)))
        .collect();
    let file = dir.join("flink-values.txt");
    fs::write(&file, lines.join("\n"))?;
    let output = Command::new(java_home()?.join("bin/java"))
        // lives for a second: one source file, compiled as it is started
        .args(["-XX:TieredStopAtLevel=1", "-Xmx256m", "-Duser.timezone=UTC", "-cp"])
        .arg(lib.join("*"))
        .arg(repo_root().join("it-tests/jvm/flink-reader/FlinkReader.java"))
        .arg(&file)
        .args(columns.iter().map(|(name, kind)| format!("{name} {kind}")))
        .output()
        .context("cannot start java")?;
    ensure!(
        output.status.success(),
        "the reader ended with {}:\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout)?;
    Ok(text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect())
}
