//! Whether stage 1, replayed from its beginning, is the source's table.

use crate::{
    harness::{Not, wait_until},
    replay::{Replay, Row},
    source::{SOON, Source},
    topic::{Record, read_all},
};
use anyhow::Result;
use std::collections::BTreeMap;

impl Source<'_> {
    /// With a snapshot of this mode, in chunks of so many rows.
    pub fn with_snapshot(mut self, mode: &str, chunk_rows: u64) -> Result<Self> {
        let section = format!("source.{}", self.name);
        self.deployment.edit(|file| {
            file.set_text(&section, "snapshot", mode)?;
            file.set("databus", "snapshot_chunk_rows", &chunk_rows.to_string())
        })?;
        Ok(self)
    }

    /// All records of stage 1, marks among them.
    pub fn records(&self) -> Result<Vec<Record>> {
        read_all(&self.stack.kafka_brokers()?, &format!("changes.{}", self.name))
    }

    /// These columns of `entry` as JSON objects by key, as the server says.
    fn table(&self, columns: &[&str]) -> Result<BTreeMap<String, Row>> {
        let pairs: Vec<_> = columns.iter().map(|column| format!("'{column}', {column}")).collect();
        let rows = self.sql(&format!("SELECT JSON_OBJECT({}) FROM entry", pairs.join(", ")))?;
        rows.lines()
            .map(|line| {
                let row: Row = serde_json::from_str(line)?;
                Ok((format!("{{\"id\":{}}}", row["id"]), row))
            })
            .collect()
    }

    /// Waits until stage 1 replays to `entry` as it is now, in these columns.
    pub fn wait_for_equality(&self, columns: &[&str]) -> Result<Replay> {
        let table = self.table(columns)?;
        let only = |row: &Row| -> Row {
            row.iter()
                .filter(|(name, _)| columns.contains(&name.as_str()))
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect()
        };
        wait_until("stage 1 to replay to the table", SOON, || {
            let replayed = Replay::of(&self.records().map_err(Not::yet)?).map_err(Not::Ever)?;
            let rows = replayed.rows("entry");
            let missing = table.keys().filter(|key| !rows.contains_key(*key)).count();
            let extra = rows.keys().filter(|key| !table.contains_key(*key)).count();
            let other =
                table.iter().filter(|(key, row)| rows.get(*key).is_some_and(|image| only(image) != **row));
            let other: Vec<_> = other.map(|(key, _)| key).collect();
            if missing + extra + other.len() == 0 {
                return Ok(replayed);
            }
            Err(Not::Yet(format!(
                "{missing} missing, {extra} too many, {} different, such as {:?}",
                other.len(),
                other.first()
            )))
        })
    }
}
