//! Rows that cannot become bills (G8).

use super::world::{Held, SOON, World};
use anyhow::{Result, ensure};
use it_tests::harness::{Daemon, Not, Service as _, wait_until};
use serde_json::{Value, json};

/// What table `quarantine` says of every row: key, version, offset, attempts, open, bytes.
fn table(world: &World<'_>) -> Result<Vec<String>> {
    let rows = world.store_sql(&format!(
        "SELECT CONCAT_WS(' ', stage, source = '{}', pipeline, side, row_key, COALESCE(account_id, '-'), version, topic_offset, attempts,
           IF(healed_at IS NULL, 'open', 'healed'), size = LENGTH(bytes)) FROM quarantine ORDER BY row_key, side",
        world.name
    ))?;
    Ok(rows.lines().map(str::to_owned).collect())
}

fn wait_for_table(world: &World<'_>, expected: &[&str]) -> Result<()> {
    wait_until("the quarantine's table", SOON, || match table(world) {
        Ok(found) if found == expected => Ok(()),
        Ok(found) => Err(format!("{found:?}").into()),
        Err(error) => Err(Not::yet(error)),
    })
}

fn wait_for_metric(worker: &Daemon, open: f64) -> Result<()> {
    wait_until("sync_worker_quarantine_open", SOON, || match worker.metric("sync_worker_quarantine_open") {
        Ok(Some(found)) if found == open => Ok(()),
        other => Err(Not::Yet(format!("{other:?}"))),
    })
}

/// The counterparty of the payer's bill is longer than a bill takes: that side alone is refused.
fn poison(order: &Value) -> Value {
    let mut poison = order.clone();
    poison["payee_name"] = json!("x".repeat(129));
    poison
}

fn held(world: &World<'_>, bills: &[(u64, &str, u64, i64, bool, &str)]) -> Held {
    bills
        .iter()
        .map(|(account, side, row, version, deleted, remark)| {
            let id = format!("orders.{}.{side}.{row}", world.name);
            ((*account, id), (*version, *deleted, (*remark).to_owned()))
        })
        .collect()
}

fn keyed(id: u64, change: Value) -> (String, Option<Value>) {
    (format!("{{\"order_id\":{id}}}"), Some(change))
}

#[test]
fn a_row_that_cannot_become_a_bill_is_set_aside_and_its_next_image_heals_it_g8() -> Result<()> {
    let world = World::new()?;
    let mut worker = world.deployment.daemon("sync-worker", &["run"])?;
    let feed = world.feed("databus")?;
    let order = |id, remark: &str| world.order(id, 10 * id, 10 * id + 1, remark);
    let refused = world.change(2, None, Some(&poison(&order(2, "a"))));
    let first = [
        keyed(1, world.change(1, None, Some(&order(1, "a")))),
        keyed(2, refused.clone()),
        keyed(3, world.change(3, None, Some(&order(3, "a")))),
    ];
    feed.commit(&world.changes(), &first)?;
    // everybody else goes on, and so does the row's other side
    let others = [
        (10, "payer", 1, 1, false, "a"),
        (11, "payee", 1, 1, false, "a"),
        (21, "payee", 2, 2, false, "a"),
        (30, "payer", 3, 3, false, "a"),
        (31, "payee", 3, 3, false, "a"),
    ];
    world.wait_for(&held(&world, &others))?;
    wait_for_table(&world, &["router 1 orders payer {\"order_id\":2} 20 2 1 1 open 1"])?;
    let bytes = world.store_sql("SELECT HEX(bytes) FROM quarantine")?;
    assert_eq!(hex::decode(bytes.trim())?, refused.to_string().into_bytes());
    let reason = world.store_sql("SELECT reason FROM quarantine")?;
    ensure!(reason.contains("counterparty: column payee_name") && !reason.contains("xxx"), "{reason}");
    wait_for_metric(&worker, 1.0)?;
    let said = world.deployment.run_ok("sync-worker", &["check"])?;
    ensure!(said.contains("quarantine: 1 set aside"), "{said}");

    // who takes over knows what is set aside
    worker.kill_9()?;
    let worker = world.deployment.daemon("sync-worker", &["run"])?;
    let again = world.change(4, Some(&poison(&order(2, "a"))), Some(&poison(&order(2, "b"))));
    feed.commit(&world.changes(), &[keyed(2, again)])?;
    wait_for_table(&world, &["router 1 orders payer {\"order_id\":2} 20 4 4 2 open 1"])?;
    let well = world.change(5, Some(&poison(&order(2, "b"))), Some(&order(2, "c")));
    feed.commit(&world.changes(), &[keyed(2, well)])?;
    let mut all = others.to_vec();
    all[2] = (21, "payee", 2, 5, false, "c");
    all.push((20, "payer", 2, 5, false, "c"));
    world.wait_for(&held(&world, &all))?;
    wait_for_table(&world, &["router 1 orders payer {\"order_id\":2} 20 4 4 2 healed 1"])?;
    wait_for_metric(&worker, 0.0)
}

#[test]
fn a_row_that_was_set_aside_and_is_gone_or_no_bill_any_more_is_healed_and_ends_nobodys_bill_g8() -> Result<()>
{
    let world = World::new()?;
    let _worker = world.deployment.daemon("sync-worker", &["run"])?;
    let feed = world.feed("databus")?;
    let good = |id| world.order(id, 10 * id, 10 * id + 1, "a");
    let bad = |id| poison(&good(id));
    let mut without_payer = bad(2);
    without_payer["payer_merchant_id"] = Value::Null;
    // larger than Kafka takes unless it is told to
    let mut large = bad(4);
    large["picture"] = json!("x".repeat(2 << 20));
    feed.commit(
        &world.changes(),
        &[
            keyed(1, world.change(1, None, Some(&bad(1)))),
            keyed(2, world.change(2, None, Some(&bad(2)))),
            keyed(3, world.change(3, None, Some(&good(3)))),
            keyed(1, world.change(4, Some(&bad(1)), None)),
            keyed(2, world.change(5, Some(&bad(2)), Some(&without_payer))),
            // it had a bill, which stays as it was until the row is well again
            keyed(3, world.change(6, Some(&good(3)), Some(&bad(3)))),
            keyed(4, world.change(7, None, Some(&large))),
        ],
    )?;
    world.wait_for(&held(
        &world,
        &[
            (11, "payee", 1, 4, true, "a"),
            (21, "payee", 2, 5, false, "a"),
            (30, "payer", 3, 3, false, "a"),
            (31, "payee", 3, 6, false, "a"),
            (41, "payee", 4, 7, false, "a"),
        ],
    ))?;
    wait_for_table(
        &world,
        &[
            "router 1 orders payer {\"order_id\":1} 10 1 0 1 healed 1",
            "router 1 orders payer {\"order_id\":2} 20 2 1 1 healed 1",
            "router 1 orders payer {\"order_id\":3} 30 6 5 1 open 1",
            "router 1 orders payer {\"order_id\":4} 40 7 6 1 open 1",
        ],
    )?;
    Ok(())
}

/// Three bills in stage 2, of which a sink refuses the one in the middle; then its next image, which it takes.
fn a_bill_that_one_sink_refuses(
    world: &World<'_>,
    refuse: impl Fn() -> Result<()>,
    stage: &str,
) -> Result<()> {
    refuse()?;
    let worker = world.deployment.daemon("sync-worker", &["run", "--role", "writer"])?;
    let feed = world.feed("router")?;
    let record = |version, account: u64, remark: &str| {
        (account.to_string(), Some(world.record("upsert", version, account, account, remark)))
    };
    feed.commit(&world.bills(), &[record(1, 10, "1"), record(2, 20, "poison"), record(3, 30, "3")])?;
    let well = |version, remark| {
        held(
            world,
            &[
                (10, "payee", 10, 1, false, "1"),
                (20, "payee", 20, version, false, remark),
                (30, "payee", 30, 3, false, "3"),
            ],
        )
    };
    let mut others = well(2, "poison");
    let whole = others.clone();
    others.retain(|(account, _), _| *account != 20);
    let (store, index) = if stage == "bill-store" { (&others, &whole) } else { (&whole, &others) };
    wait_until("each sink to hold what it takes", SOON, || {
        let found = (world.store().map_err(Not::yet)?, world.index().map_err(Not::yet)?);
        if (&found.0, &found.1) == (store, index) { Ok(()) } else { Err(format!("{found:?}").into()) }
    })?;
    let of = |version: i64, attempts: u32, state: &str| {
        let name = &world.name;
        format!(
            "{stage} 1 orders payee {{\"account\":20,\"bill\":\"orders.{name}.payee.20\"}} 20 {version} {attempts} {state} 1"
        )
    };
    let without_offset = || -> Result<Vec<String>> {
        let cut = |line: &String| {
            let mut words: Vec<_> = line.split(' ').collect();
            let offset = words.len() - 4;
            words.remove(offset);
            words.join(" ")
        };
        Ok(table(world)?.iter().map(cut).collect())
    };
    let wait = |expected: String| {
        wait_until("the quarantine's table", SOON, || match without_offset() {
            Ok(found) if found == [expected.clone()] => Ok(()),
            other => Err(Not::Yet(format!("{other:?}"))),
        })
    };
    wait(of(2, 1, "open"))?;
    let place = world.store_sql(
        "SELECT topic, topic_partition, topic_offset, CONVERT(bytes USING utf8mb4) FROM quarantine",
    )?;
    let cells: Vec<_> = place.trim_end().split('\t').collect();
    let stood = world.stage2()?.into_iter().filter(|record| record.key == "20").collect::<Vec<_>>();
    let value: Value = serde_json::from_str(cells[3])?;
    assert_eq!(value, serde_json::from_slice::<Value>(stood[0].value.as_deref().unwrap_or_default())?);
    assert_eq!(cells[0], world.bills());

    // refused again, by the one that takes over
    drop(worker);
    let _worker = world.deployment.daemon("sync-worker", &["run", "--role", "writer"])?;
    feed.commit(&world.bills(), &[record(4, 20, "poison")])?;
    wait(of(4, 2, "open"))?;
    feed.commit(&world.bills(), &[record(5, 20, "5")])?;
    world.wait_for(&well(5, "5"))?;
    wait(of(4, 2, "healed"))
}

#[test]
fn a_bill_that_the_store_refuses_is_set_aside_and_the_index_has_it_g8_g9() -> Result<()> {
    let world = World::new()?;
    let refuse = || world.store_sql("ALTER TABLE bill ADD CONSTRAINT CHECK (remark <> 'poison')").map(drop);
    a_bill_that_one_sink_refuses(&world, refuse, "bill-store")
}

#[test]
fn a_document_that_the_index_refuses_is_set_aside_and_the_store_has_it_g8_g9() -> Result<()> {
    let world = World::new()?;
    // a remark that is no number does not fit this mapping
    let refuse = || {
        let alias = world.bills();
        let index = format!("{}/{alias}-v1", world.stack.elasticsearch_url()?);
        ureq::delete(&index).call()?;
        let body = json!({ "aliases": { alias: {} }, "mappings": { "properties": { "remark": { "type": "long" } } } });
        ureq::put(&index).header("content-type", "application/json").send(body.to_string())?;
        Ok(())
    };
    a_bill_that_one_sink_refuses(&world, refuse, "bill-index")
}
