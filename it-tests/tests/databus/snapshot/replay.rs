//! Stage 1 replayed in order, with every row of a snapshot checked against what the stream said around it.

use anyhow::{Context, Result, bail, ensure};
use change_event::{
    Version,
    envelope::{Change, Op},
};
use it_tests::topic::Record;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

type Row = Map<String, Value>;

/// What a reader who started at the beginning of stage 1 holds at its end.
#[derive(Debug, Default)]
pub(super) struct Replayed {
    /// Rows by key.
    pub(super) rows: BTreeMap<String, Row>,
    /// Keys that the stream deleted and nothing brought back.
    gone: BTreeMap<String, Version>,
    /// Rows that came from a snapshot.
    pub(super) read: usize,
    /// Changes in all.
    pub(super) changes: usize,
    /// Marks: kind and outcome, in order.
    pub(super) marks: Vec<(String, String)>,
}

/// Whether two images of a row agree in the columns that both have: a column may be added between them.
fn agree(a: &Row, b: &Row) -> bool {
    a.iter().all(|(column, value)| b.get(column).is_none_or(|other| other == value))
}

/// Replays the records. A row of a snapshot that is older or newer than the changes around it is an error, as is a gap in `seq`.
pub(super) fn replay(records: &[Record]) -> Result<Replayed> {
    let mut state = Replayed::default();
    let mut last = Version::START;
    for record in records {
        let Some(value) = &record.value else {
            let header = |name| record.header(name).unwrap_or_default().to_owned();
            state.marks.push((header("databus.mark"), header("databus.outcome")));
            continue;
        };
        let change = Change::parse(value)?;
        let (op, seq) = (change.op, change.source.seq);
        ensure!(seq.follows(last), "seq {seq} after {last}");
        last = seq;
        state.changes += 1;
        let whole: Value = serde_json::from_slice(value)?;
        let image = |name: &str| whole.get(name).and_then(Value::as_object).cloned();
        let known = state.rows.get(&record.key);
        match op {
            Op::Read => {
                let after = image("after").context("a row without after")?;
                ensure!(
                    whole["source"]["snapshot"] == "true" && whole["transaction"].is_null(),
                    "not a snapshot's row: {whole}"
                );
                ensure!(
                    known.is_none_or(|known| agree(known, &after)),
                    "{seq}: the snapshot read {after:?} where the stream had {known:?}"
                );
                ensure!(
                    !state.gone.contains_key(&record.key),
                    "{seq}: the snapshot brought {after:?} back, which the stream deleted"
                );
                state.rows.insert(record.key.clone(), after);
                state.read += 1;
            }
            Op::Create => {
                ensure!(known.is_none(), "{seq}: created although it is there: {known:?}");
                state.gone.remove(&record.key);
                state.rows.insert(record.key.clone(), image("after").context("a create without after")?);
            }
            Op::Update | Op::Delete => {
                let before = image("before").context("no before")?;
                ensure!(
                    known.is_none_or(|known| agree(known, &before)),
                    "{seq}: before is {before:?} where {known:?} was"
                );
                if op == Op::Delete {
                    state.rows.remove(&record.key);
                    state.gone.insert(record.key.clone(), seq);
                } else {
                    state.rows.insert(record.key.clone(), image("after").context("an update without after")?);
                }
            }
            Op::Truncate => bail!("a truncate"),
        }
    }
    Ok(state)
}
