//! Tables that were emptied.

use super::world::{Feed, Held, SOON, World};
use anyhow::Result;
use it_tests::harness::{Not, wait_until};
use serde_json::{Value, json};

fn truncate(world: &World<'_>, feed: &Feed, table: &str, seq: i64) -> Result<()> {
    let headers = [
        ("databus.mark", "truncate"),
        ("databus.db", world.name.as_str()),
        ("databus.table", table),
        ("databus.seq", &seq.to_string()),
        ("databus.reason", "TRUNCATE"),
        ("databus.ts_ms", "1700000000000"),
    ];
    feed.mark(&world.changes(), &headers)
}

#[test]
fn a_truncate_ends_every_older_bill_of_its_table_in_both_sinks_and_nothing_else_g5_g8() -> Result<()> {
    // more than the index pages through at once
    const ORDERS: u64 = 1_200;
    let world = World::new()?;
    let _worker = world.deployment.daemon("sync-worker", &["run"])?;
    let feed = world.feed("databus")?;
    let order = |id: u64, remark: &str| world.order(id, 10_000 + id, 20_000 + id, remark);
    let keyed = |id: u64, change: Value| (format!("{{\"order_id\":{id}}}"), Some(change));
    let mut changes: Vec<_> =
        (1..=ORDERS).map(|id| keyed(id, world.change(id as i64, None, Some(&order(id, "old"))))).collect();
    let mut poison = order(ORDERS + 1, "old");
    poison["currency"] = json!("no currency");
    changes.push(keyed(ORDERS + 1, world.change(ORDERS as i64 + 1, None, Some(&poison))));
    feed.commit(&world.changes(), &changes)?;
    let last = ORDERS as i64 + 1;
    // of another table: nothing of these orders ends
    truncate(&world, &feed, "entry", last + 1)?;
    let expected = |live: &[(u64, i64, &str)], ended: Option<i64>| -> Held {
        let mut held = Held::new();
        for id in 1..=ORDERS {
            for (account, side) in [(10_000 + id, "payer"), (20_000 + id, "payee")] {
                let state = live
                    .iter()
                    .find(|(row, _, _)| *row == id)
                    .map(|(_, version, remark)| (*version, false, (*remark).to_owned()));
                let old = ended.map_or((id as i64, false, "old".to_owned()), |version| {
                    (version, true, "old".to_owned())
                });
                held.insert((account, format!("orders.{}.{side}.{id}", world.name)), state.unwrap_or(old));
            }
        }
        held
    };
    world.wait_for(&expected(&[], None))?;

    truncate(&world, &feed, "fund_order", last + 2)?;
    feed.commit(&world.changes(), &[keyed(7, world.change(last + 3, None, Some(&order(7, "again"))))])?;
    world.wait_for(&expected(&[(7, last + 3, "again")], Some(last + 2)))?;
    wait_until("what was set aside of the table to be healed", SOON, || {
        match world.store_sql("SELECT COUNT(*), SUM(healed_at IS NOT NULL) FROM quarantine") {
            Ok(row) if row.trim() == "2\t2" => Ok(()),
            other => Err(Not::Yet(format!("{other:?}"))),
        }
    })
}
