//! databus as shipped, with one table.

use super::super::ground::{DATABASE, Ground, TABLE};
use it_tests::harness::{Deployment, PipelinesToml};

/// Its configuration: the shipped file with the bench's table, and no pipeline.
pub(super) fn deployment(ground: &Ground) -> anyhow::Result<Deployment> {
    Deployment::edited(&ground.stack, "databus", |file| {
        file.replace("accounting", DATABASE);
        let section = format!("source.{DATABASE}");
        file.set(&section, "tables", &format!("[\"{DATABASE}.{TABLE}\"]"))?;
        // the binlog is what is measured
        file.set_text(&section, "snapshot", "never")?;
        let text = file.text();
        let live: Vec<&str> = text.lines().take_while(|line| !line.starts_with("[[pipeline]]")).collect();
        *file = PipelinesToml::from_text(&live.join("\n"));
        Ok(())
    })
}
