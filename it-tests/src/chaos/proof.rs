//! Whether stage 1 is what the source committed.

use super::killer::Killer;
use super::ledger::Tally;
use super::reader::Read;
use super::scene::{DEADLINE, Scene};
use super::statement::Captured;
use crate::harness::wait_until;
use crate::replay::Row;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

/// Waits until the reader has all that was committed, and the snapshots that were begun or asked for have ended.
pub(super) fn wait_for_the_end(scene: &Scene<'_>, killer: &mut Killer<'_>) -> Result<()> {
    let last = *scene.ledger.all().keys().next_back().context("nothing was committed")?;
    wait_until("stage 1 to hold the last transaction", DEADLINE * 2, || {
        killer.watch().map_err(crate::harness::Not::Ever)?;
        match scene.seen.load(Ordering::Relaxed) {
            seen if seen >= last => Ok(()),
            seen => Err(scene.not_yet(format!("{seen} of {last}; {}", killer.last_lines()))),
        }
    })?;
    // a snapshot that a statement asked for waits until its mark is published, and the next look may see it
    let mut quiet = 0;
    wait_until("the last snapshots to end", DEADLINE * 2, || {
        killer.watch().map_err(crate::harness::Not::Ever)?;
        let pending = killer.metric("databus_snapshots_pending");
        let open = scene.open_snapshots.load(Ordering::Relaxed);
        quiet = if pending == Some(0.0) && open == 0 { quiet + 1 } else { 0 };
        if quiet >= 5 {
            return Ok(());
        }
        Err(scene.not_yet(format!("{pending:?} pending, {open} open; {}", killer.last_lines())))
    })
}

/// Compares everything that can be compared.
pub(super) fn compare(scene: &Scene<'_>, read: &Read) -> Result<()> {
    compare_transactions(&scene.ledger.all(), &read.transactions)?;
    Captured::ALL.into_iter().try_for_each(|table| compare_table(scene, table, read))
}

/// Every transaction since the stream began is there once and whole.
fn compare_transactions(committed: &BTreeMap<u64, Tally>, read: &BTreeMap<u64, Tally>) -> Result<()> {
    let first = *read.keys().next().context("stage 1 holds no transaction")?;
    for (number, tally) in committed.range(first..) {
        let found = read.get(number);
        ensure!(
            found == Some(tally),
            "transaction {number} committed {tally}; stage 1 holds {}",
            found.map_or_else(|| "nothing of it".to_owned(), Tally::to_string)
        );
    }
    for (number, tally) in read {
        ensure!(
            committed.contains_key(number),
            "stage 1 holds transaction {number} ({tally}), which nobody committed"
        );
    }
    Ok(())
}

/// The replayed rows are the table's.
fn compare_table(scene: &Scene<'_>, table: Captured, read: &Read) -> Result<()> {
    let json = scene.shape.json_object(table);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let selected: Vec<String> = runtime.block_on(async {
        let mut connection = scene.connect().await?;
        let sql = sqlx::AssertSqlSafe(format!("SELECT CAST({json} AS CHAR) FROM {table}"));
        anyhow::Ok(sqlx::query_scalar(sql).fetch_all(&mut connection).await?)
    })?;
    let mut replayed: BTreeMap<String, &Row> =
        read.replay.rows(table.name()).values().map(|row| (key(table, row), row)).collect();
    for text in &selected {
        let row: Row = serde_json::from_str(text).with_context(|| text.clone())?;
        let image = replayed
            .remove(&key(table, &row))
            .with_context(|| format!("{table}: no row {text} in stage 1"))?;
        let image: BTreeMap<String, &Value> =
            image.iter().filter_map(|(name, value)| Some((scene.shape.now(table, name)?, value))).collect();
        for (name, value) in &row {
            // a column that was added after the row's last change is not in its image
            let replayed = image.get(name).copied().unwrap_or(&Value::Null);
            ensure!(
                replayed == value,
                "{table}: {name} is {value} in {text}, and {replayed} in stage 1: {image:?}"
            );
        }
    }
    ensure!(
        replayed.is_empty(),
        "{table}: stage 1 holds {} rows too many, such as {:?}",
        replayed.len(),
        replayed.iter().next()
    );
    Ok(())
}

fn key(table: Captured, row: &Row) -> String {
    let columns: &[&str] = match table {
        Captured::Entry => &["id"],
        Captured::Posting => &["account", "id"],
    };
    columns
        .iter()
        .map(|column| row.get(*column).map(Value::to_string).unwrap_or_default())
        .collect::<Vec<_>>()
        .join("/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use change_event::envelope::Op;

    fn transactions(all: &[(u64, u32)]) -> BTreeMap<u64, Tally> {
        let tally = |count| {
            let mut tally = Tally::default();
            tally.add(Captured::Entry, Op::Update, count);
            tally
        };
        all.iter().map(|(number, count)| (*number, tally(*count))).collect()
    }

    #[test]
    fn a_transaction_that_is_missing_cut_repeated_or_made_up_is_told() {
        let committed = transactions(&[(1, 2), (3, 4), (9, 1)]);
        let verdict = |read: &[(u64, u32)]| {
            compare_transactions(&committed, &transactions(read))
                .map_or_else(|error| error.to_string(), |()| "all there".to_owned())
        };
        // what was committed before the stream began came with the first snapshot
        assert_eq!(verdict(&[(3, 4), (9, 1)]), "all there");
        assert!(verdict(&[(1, 2), (9, 1)]).contains("stage 1 holds nothing of it"));
        assert!(
            verdict(&[(1, 2), (3, 3), (9, 1)])
                .contains("committed entry u 4, 4 in all; stage 1 holds entry u 3")
        );
        assert!(verdict(&[(1, 2), (3, 8), (9, 1)]).contains("entry u 8"));
        assert!(verdict(&[(1, 2), (3, 4), (5, 1), (9, 1)]).contains("which nobody committed"));
        assert!(verdict(&[(1, 2), (3, 4)]).contains("transaction 9 committed"));
    }
}
