//! Downloads appear under their name whole or not at all.

use anyhow::Context;
use std::fs;
use std::path::{Path, PathBuf};

/// Lets `fetch` fill a fresh folder and renames what it answers to `target`: an interrupted fetch leaves nothing
/// that looks whole.
pub(crate) fn into_place(
    target: &Path,
    fetch: impl FnOnce(&Path) -> anyhow::Result<PathBuf>,
) -> anyhow::Result<()> {
    let mut fresh = target.as_os_str().to_owned();
    fresh.push(".new");
    let fresh = Path::new(&fresh);
    if fresh.exists() {
        fs::remove_dir_all(fresh)?;
    }
    fs::create_dir_all(fresh).with_context(|| format!("cannot create {}", fresh.display()))?;
    let filled = fetch(fresh)?;
    fs::rename(&filled, target).with_context(|| format!("cannot move {} into place", filled.display()))?;
    if fresh.exists() {
        fs::remove_dir_all(fresh)?;
    }
    Ok(())
}
