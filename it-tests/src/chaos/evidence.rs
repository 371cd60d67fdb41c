//! What is kept of a round that failed.

use super::scene::Scene;
use crate::harness::paths::run_dir;
use crate::topic::Tail;
use anyhow::{Context, Result};
use change_event::checkpoint::changes_topic;
use std::fs;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Nothing came for so long: that was the last record.
const LAST: Duration = Duration::from_secs(5);

/// Copies logs, configuration, binlog, ledger and stage 1; says where they are.
pub(super) fn keep(scene: &Scene<'_>) -> String {
    let seed = scene.options.seed;
    let folder = run_dir().join(format!("failed-chaos-{seed}-{}", std::process::id()));
    match copy(scene, &folder) {
        Ok(()) => format!("logs, binlog, ledger and stage 1 are in {}", folder.display()),
        Err(error) => format!("logs and stage 1 are partly in {}: {error:#}", folder.display()),
    }
}

fn copy(scene: &Scene<'_>, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let stack = scene.source.stack.dir();
    let own = scene.source.deployment.dir();
    for entry in fs::read_dir(stack)?.flatten() {
        let path = entry.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // the deployment of this source and of its second process, and the parts' own logs
        if path.starts_with(own)
            || name.starts_with(scene.source.name.as_str())
            || name == "kafka"
            || name == "mariadb"
        {
            copy_files(&path, &folder.join(&name), |file| {
                ["log", "toml", "properties"]
                    .iter()
                    .any(|wanted| file.extension().is_some_and(|ext| ext == *wanted))
            })?;
        }
    }
    copy_files(&stack.join("mariadb/data"), &folder.join("binlog"), |file| {
        file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("binlog."))
    })?;
    let mut ledger = BufWriter::new(fs::File::create(folder.join("ledger.tsv"))?);
    for (number, tally) in scene.ledger.all() {
        writeln!(ledger, "{number}\t{tally}")?;
    }
    ledger.flush()?;
    let tail = Tail::from_start(&scene.source.stack.kafka_brokers()?, &changes_topic(&scene.source.name))?;
    let mut dump = BufWriter::new(fs::File::create(folder.join("stage1.tsv"))?);
    while let Some(record) = tail.next(LAST)? {
        let value = record.value.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
        writeln!(dump, "{}\t{}\t{:?}\t{value}", record.offset, record.key, record.headers)?;
    }
    dump.flush()?;
    Ok(())
}

fn copy_files(from: &Path, to: &Path, wanted: impl Fn(&PathBuf) -> bool) -> Result<()> {
    let Ok(entries) = fs::read_dir(from) else { return Ok(()) };
    for path in entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file() && wanted(path)) {
        fs::create_dir_all(to)?;
        let name = path.file_name().context("a file without a name")?;
        fs::copy(&path, to.join(name)).with_context(|| format!("cannot copy {}", path.display()))?;
    }
    Ok(())
}
