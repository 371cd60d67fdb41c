//! Stage 1 replayed in order, record by record: what a reader who began at its beginning holds, with every row of a snapshot and every
//! `before` checked against what the stream said around it.

use crate::topic::Record;
use anyhow::{Context, Result, ensure};
use change_event::{
    Version,
    envelope::{Change, Op},
};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// A row as its last image has it.
pub type Row = Map<String, Value>;

/// One table, as far as it was replayed.
#[derive(Debug, Default)]
struct Table {
    rows: BTreeMap<String, Row>,
    /// Keys that the stream deleted and nothing brought back.
    gone: BTreeMap<String, Version>,
    /// Keys of rows that a statement may have changed since without a row event.
    stale: BTreeSet<String>,
}

/// What a record did to the replayed state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replayed {
    /// The table's name, without its database; empty for a mark of no table.
    pub table: String,
    /// `None`: a mark that takes no place in the order.
    pub op: Option<Op>,
    /// The transaction's GTID; `None` for rows of a snapshot.
    pub gtid: Option<String>,
    /// The change's place in its transaction, from 1; 0 for what has none.
    pub total_order: u64,
}

/// The state of all tables after the records taken so far.
#[derive(Debug)]
pub struct Replay {
    tables: BTreeMap<String, Table>,
    last: Version,
    /// Rows that came from a snapshot.
    pub read: usize,
    /// Changes in all.
    pub changes: usize,
    /// Marks: kind and outcome, in order.
    pub marks: Vec<(String, String)>,
}

impl Default for Replay {
    fn default() -> Self {
        Self { tables: BTreeMap::new(), last: Version::START, read: 0, changes: 0, marks: Vec::new() }
    }
}

/// Whether two images of a row agree in the columns that both have: a column may be added between them.
fn agree(a: &Row, b: &Row) -> bool {
    a.iter().all(|(column, value)| b.get(column).is_none_or(|other| other == value))
}

impl Replay {
    /// Replays records from the beginning.
    pub fn of(records: &[Record]) -> Result<Self> {
        let mut replay = Self::default();
        records.iter().try_for_each(|record| replay.take(record).map(drop))?;
        Ok(replay)
    }

    /// The rows of a table, by the text of their keys.
    pub fn rows(&self, table: &str) -> &BTreeMap<String, Row> {
        static NONE: BTreeMap<String, Row> = BTreeMap::new();
        self.tables.get(table).map_or(&NONE, |table| &table.rows)
    }

    /// The version of the last change.
    pub fn seq(&self) -> Version {
        self.last
    }

    /// Snapshots whose begin mark came and whose end mark did not.
    pub fn open_snapshots(&self) -> usize {
        let count = |wanted: &str| self.marks.iter().filter(|(kind, _)| kind == wanted).count();
        count("snapshot-begin").saturating_sub(count("snapshot-end"))
    }

    /// Takes the next record. A row of a snapshot that is older or newer than the changes around it is an error, as is a `before` that the row was
    /// not, and a gap or a repeat in `seq`.
    pub fn take(&mut self, record: &Record) -> Result<Replayed> {
        let Some(value) = &record.value else { return self.mark(record) };
        let change = Change::parse(value)?;
        let (op, seq) = (change.op, change.source.seq);
        self.follow(seq)?;
        let whole: Value = serde_json::from_slice(value)?;
        let image = |name: &str| whole.get(name).and_then(Value::as_object).cloned();
        let name = change.source.table.to_string();
        let table = self.tables.entry(name.clone()).or_default();
        let key = &record.key;
        let known = table.rows.get(key);
        // a statement may have changed it where no row event says so
        let comparable = known.filter(|_| !table.stale.contains(key));
        match op {
            Op::Read => {
                let after = image("after").context("a row without after")?;
                ensure!(
                    whole["source"]["snapshot"] == "true" && whole["transaction"].is_null(),
                    "not a snapshot's row: {whole}"
                );
                ensure!(
                    comparable.is_none_or(|known| agree(known, &after)),
                    "{seq}: the snapshot read {name} {after:?} where the stream had {known:?}"
                );
                ensure!(
                    !table.gone.contains_key(key),
                    "{seq}: the snapshot brought {name} {after:?} back, which the stream deleted"
                );
                table.rows.insert(key.clone(), after);
                self.read += 1;
            }
            Op::Create => {
                ensure!(known.is_none(), "{seq}: {name} {key} is created although it is there: {known:?}");
                table.gone.remove(key);
                table.rows.insert(key.clone(), image("after").context("a create without after")?);
            }
            Op::Update | Op::Delete => {
                let before = image("before").context("no before")?;
                ensure!(
                    comparable.is_none_or(|known| agree(known, &before)),
                    "{seq}: {name}: before is {before:?} where {known:?} was"
                );
                ensure!(!table.gone.contains_key(key), "{seq}: {name} {key} is changed after it was deleted");
                if op == Op::Delete {
                    table.rows.remove(key);
                    table.gone.insert(key.clone(), seq);
                } else {
                    table.rows.insert(key.clone(), image("after").context("an update without after")?);
                }
            }
            Op::Truncate => anyhow::bail!("{seq}: a truncate with a value"),
        }
        table.stale.remove(key);
        self.changes += 1;
        Ok(Replayed {
            table: name,
            op: Some(op),
            gtid: change.transaction.as_ref().map(|transaction| transaction.id.to_string()),
            total_order: change.transaction.as_ref().map_or(0, |transaction| transaction.total_order),
        })
    }

    fn follow(&mut self, seq: Version) -> Result<()> {
        ensure!(seq.follows(self.last), "seq {seq} after {}", self.last);
        self.last = seq;
        Ok(())
    }

    fn mark(&mut self, record: &Record) -> Result<Replayed> {
        let header = |name| record.header(name).unwrap_or_default().to_owned();
        let (kind, table) = (header("databus.mark"), header("databus.table"));
        if let Some(seq) = record.header("databus.seq") {
            self.follow(Version::try_from(seq.parse::<i64>()?)?)?;
        }
        match kind.as_str() {
            "truncate" => {
                let state = self.tables.entry(table.clone()).or_default();
                let gone = std::mem::take(&mut state.rows);
                state.gone.extend(gone.into_keys().map(|key| (key, self.last)));
                state.stale.clear();
                self.changes += 1;
            }
            "snapshot-needed" => {
                let state = self.tables.entry(table.clone()).or_default();
                state.stale = state.rows.keys().cloned().collect();
                // rows may have come with another table that took the name
                state.gone.clear();
            }
            _ => {}
        }
        let op = (kind == "truncate").then_some(Op::Truncate);
        self.marks.push((kind, header("databus.outcome")));
        let gtid = op.and_then(|_| record.header("databus.gtid").map(str::to_owned));
        Ok(Replayed { table, op, gtid, total_order: 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record of table `entry` with one column beside the key.
    fn record(seq: u64, op: &str, id: u64, before: Option<u64>, after: Option<u64>) -> Record {
        let image = |n: Option<u64>| n.map_or("null".to_owned(), |n| format!("{{\"id\":{id},\"n\":{n}}}"));
        let (snapshot, transaction) = match op {
            "r" => ("true", "null"),
            _ => ("false", r#"{"id":"0-1-9","total_order":1,"data_collection_order":1}"#),
        };
        let value = format!(
            r#"{{"before":{},"after":{},"op":"{op}","ts_ms":5,"source":{{"name":"s","ts_ms":4,"snapshot":"{snapshot}","db":"d",
            "table":"entry","server_id":1,"gtid":null,"file":"binlog.000001","pos":4,"row":0,"seq":{seq}}},"transaction":{transaction}}}"#,
            image(before),
            image(after)
        );
        Record {
            partition: 0,
            offset: 0,
            key: format!("{{\"id\":{id}}}"),
            value: Some(value.into_bytes()),
            headers: Vec::new(),
        }
    }

    fn mark(headers: &[(&str, &str)]) -> Record {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Record { partition: 0, offset: 0, key: String::new(), value: None, headers }
    }

    fn fault(records: &[Record]) -> String {
        Replay::of(records).map_or_else(|error| format!("{error:#}"), |_| String::new())
    }

    #[test]
    fn whatever_is_lost_doubled_or_out_of_order_is_told() {
        let create = record(1, "c", 1, None, Some(5));
        let cases = [
            (vec![create.clone(), record(3, "u", 1, Some(5), Some(6))], "seq 0:3 after 0:1"),
            (vec![create.clone(), create.clone()], "seq 0:1 after 0:1"),
            (vec![create.clone(), record(2, "c", 1, None, Some(5))], "created although it is there"),
            (vec![create.clone(), record(2, "u", 1, Some(4), Some(6))], "before is"),
            (vec![create.clone(), record(2, "r", 1, None, Some(4))], "the snapshot read"),
            (
                vec![create.clone(), record(2, "d", 1, Some(5), None), record(3, "r", 1, None, Some(5))],
                "which the stream deleted",
            ),
            (
                vec![create.clone(), record(2, "d", 1, Some(5), None), record(3, "u", 1, Some(5), Some(6))],
                "after it was deleted",
            ),
            (
                vec![
                    create,
                    mark(&[("databus.mark", "truncate"), ("databus.table", "entry"), ("databus.seq", "3")]),
                ],
                "seq 0:3 after 0:1",
            ),
        ];
        for (records, part) in cases {
            let fault = fault(&records);
            assert!(fault.contains(part), "{part:?} is not in {fault:?}");
        }
    }

    #[test]
    fn a_truncate_empties_the_table_and_a_snapshot_may_correct_what_a_statement_changed() {
        let truncate = [("databus.mark", "truncate"), ("databus.table", "entry"), ("databus.seq", "2")];
        let needed = [("databus.mark", "snapshot-needed"), ("databus.table", "entry")];
        let records = [
            record(1, "c", 1, None, Some(5)),
            mark(&truncate),
            record(3, "c", 1, None, Some(6)),
            mark(&needed),
            record(4, "r", 1, None, Some(60)),
            record(5, "u", 1, Some(60), Some(61)),
        ];
        let replay = Replay::of(&records).unwrap();
        assert_eq!(replay.rows("entry").len(), 1);
        assert_eq!((replay.changes, replay.read, replay.seq().counter()), (5, 1, 5));
    }
}
