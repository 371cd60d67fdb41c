//! Two streams of changes, record by record.

use super::change::Change;
use super::exceptions::{Difference, Exceptions};
use anyhow::{Context, Result, bail};
use change_event::Row;
use it_tests::topic::Record;
use std::collections::{BTreeMap, BTreeSet};

/// Types of columns, by table and column.
pub(super) type Types = BTreeMap<(String, String), String>;

/// Everything that is compared of these records.
pub(super) fn changes(records: &[Record]) -> Result<Vec<Change<'_>>> {
    let parsed = records.iter().map(Change::of).filter_map(Result::transpose);
    parsed.collect::<Result<_>>().context("a record cannot be compared")
}

/// What differs and is not documented: words about each, by what it is.
type Found = BTreeMap<String, Vec<String>>;

/// Compares all changes; what is no documented exception is an error that shows some of each kind.
pub(super) fn compare(
    theirs: &[Change<'_>],
    ours: &[Change<'_>],
    types: &Types,
    exceptions: &mut Exceptions,
) -> Result<()> {
    let mut found = Found::new();
    let tables: BTreeSet<&str> = theirs.iter().chain(ours).map(|change| change.table.as_str()).collect();
    let mut both = BTreeSet::new();
    for table in tables {
        let theirs: Vec<_> = theirs.iter().filter(|change| change.table == table).collect();
        let ours: Vec<_> = ours.iter().filter(|change| change.table == table).collect();
        if theirs.is_empty() && exceptions.explain_silence(table) {
            continue;
        }
        both.insert(table);
        one_table(table, (&theirs, &ours), types, exceptions, &mut found);
    }
    // within each table the changes are the same: so all are in the same order if the tables are
    let order = |side: &[Change<'_>]| -> Vec<String> {
        side.iter().map(|change| change.table.clone()).filter(|table| both.contains(table.as_str())).collect()
    };
    let (their_order, our_order) = (order(theirs), order(ours));
    if let Some(at) = their_order.iter().zip(&our_order).position(|(their, our)| their != our) {
        let shown = |order: &[String]| order.get(at..order.len().min(at + 8)).unwrap_or_default().join(", ");
        let words = format!("from {at} on: debezium {}, databus {}", shown(&their_order), shown(&our_order));
        found.entry("the order of tables".to_owned()).or_default().push(words);
    }
    if found.is_empty() {
        return Ok(());
    }
    let shown: Vec<_> = found
        .iter()
        .map(|(what, all)| {
            format!("{what}: {}\n    {}", all.len(), all.get(..5).unwrap_or(all).join("\n    "))
        })
        .collect();
    bail!("differences that are not documented:\n{}", shown.join("\n"))
}

/// Both sides' changes of one table.
type Pair<'a, 'b> = (&'b [&'a Change<'a>], &'b [&'a Change<'a>]);

fn one_table(
    table: &str,
    (theirs, ours): Pair<'_, '_>,
    types: &Types,
    exceptions: &mut Exceptions,
    found: &mut Found,
) {
    let mut parted = |at: usize, what: &str| {
        found.entry(format!("{table}: {what}")).or_default().push(around((theirs, ours), at));
    };
    let mut values = Vec::new();
    for (at, (their, our)) in theirs.iter().zip(ours).enumerate() {
        if their.op != our.op {
            return parted(at, "another op");
        }
        let images = [
            ("key", &their.key, &our.key),
            ("before", &their.before, &our.before),
            ("after", &their.after, &our.after),
        ];
        for (what, their_row, our_row) in images {
            let (their_row, our_row) = match (their_row, our_row) {
                (None, None) => continue,
                (Some(their_row), Some(our_row)) => (their_row, our_row),
                _ => return parted(at, &format!("one has no {what}")),
            };
            let (their_names, our_names): (Vec<_>, Vec<_>) = (names(their_row), names(our_row));
            let same =
                |(theirs, ours): (&&str, &&str)| theirs == ours || exceptions.explain_name(theirs, ours);
            if their_names.len() != our_names.len() || !their_names.iter().zip(&our_names).all(same) {
                return parted(at, &format!("other columns in {what}"));
            }
            for ((column, theirs), (_, ours)) in their_row.columns().zip(our_row.columns()) {
                let kind = types.get(&(table.to_owned(), column.to_owned())).map_or("", String::as_str);
                if theirs != ours && !exceptions.explain(&Difference { kind, theirs, ours }) {
                    let place = format!("{table}.{column} {}", kind.get(..60).unwrap_or(kind));
                    values
                        .push((place, format!("record {at} {what}: debezium {theirs:?}, databus {ours:?}")));
                }
            }
        }
    }
    if theirs.len() != ours.len() {
        parted(theirs.len().min(ours.len()), &format!("{} and {} changes", theirs.len(), ours.len()));
    }
    for (place, words) in values {
        found.entry(place).or_default().push(words);
    }
}

fn names<'a>(row: &'a Row<'_>) -> Vec<&'a str> {
    row.columns().map(|(name, _)| name).collect()
}

/// Both sides around a place where they part.
fn around((theirs, ours): Pair<'_, '_>, at: usize) -> String {
    let shown = |side: &[&Change<'_>]| -> String {
        let some = side.get(at.saturating_sub(1)..side.len().min(at + 2)).unwrap_or_default();
        some.iter().map(|change| format!("\n      {change:?}")).collect()
    };
    format!("record {at}: debezium{}\n     databus{}", shown(theirs), shown(ours))
}
