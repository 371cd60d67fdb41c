//! The comparison: every bill that the accounting rows call for, against store and index, by `replay diff`.

use anyhow::{Context, bail};
use it_tests::harness::{Deployment, Not, wait_until_async};
use serde::Deserialize;
use std::time::Duration;

/// What `replay diff` counted.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Proof {
    /// Bills that the accounting rows call for.
    pub(super) expected: u64,
    /// Bills in the store.
    pub(super) store: u64,
    /// Bills in the index.
    pub(super) index: u64,
    /// Bills that are missing, extra or different somewhere.
    pub(super) differences: u64,
}

impl Proof {
    /// Whether all three are one.
    pub(super) fn agrees(&self) -> bool {
        self.differences == 0 && self.expected == self.store && self.expected == self.index
    }
}

/// Compares, again and again for a short while: the movements of the last payments may still be on their way.
pub(super) async fn compare(deployment: &Deployment) -> anyhow::Result<Proof> {
    let mut last = None;
    let agreed = wait_until_async("the bills to agree", Duration::from_secs(30), async || {
        let proof = once(deployment).map_err(Not::Ever)?;
        let agrees = proof.agrees();
        let status = format!("{proof:?}");
        if agrees { Ok(proof) } else { Err(Not::Yet(status)) }
    })
    .await;
    if let Ok(proof) = agreed {
        last = Some(proof);
    }
    match last {
        Some(proof) => Ok(proof),
        // for good: the numbers as they stand, and the command's own table on stderr
        None => {
            let table = deployment.run("replay", &["diff", "--limit", "20"])?;
            eprintln!("{}", String::from_utf8_lossy(&table.stdout));
            once(deployment)
        }
    }
}

fn once(deployment: &Deployment) -> anyhow::Result<Proof> {
    let output = deployment.run("replay", &["diff", "--output", "json"])?;
    match output.status.code() {
        Some(0 | 2) => serde_json::from_slice(&output.stdout).context("read the report of `replay diff`"),
        _ => bail!(
            "`replay diff` ended with {}:\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        ),
    }
}
