//! The router: accounts' order, gaps, and a second one that stands by.

use super::world::{SOON, World};
use crate::shared::unique;
use anyhow::{Result, ensure};
use change_event::stage2::{BillOp, BillRecord};
use it_tests::harness::{Daemon, Not, Service, wait_until};
use serde_json::Value;
use std::collections::BTreeMap;

#[test]
fn the_router_keeps_account_order_and_ends_the_bill_of_a_side_that_went_away_g3() -> Result<()> {
    let world = World::new()?;
    let _worker = world.deployment.daemon("sync-worker", &["run", "--role", "router"])?;
    let feed = world.feed("databus")?;
    let first = world.order(1, 10, 20, "first");
    let moved = world.order(1, 11, 20, "moved");
    let mut outside = moved.clone();
    outside["payee_merchant_id"] = Value::Null;
    let changes = [
        world.change(1, None, Some(&first)),
        world.change(2, Some(&first), Some(&moved)),
        world.change(3, Some(&moved), Some(&outside)),
        world.change(4, Some(&outside), None),
    ];
    let mut records: Vec<(String, Option<Value>)> =
        changes.into_iter().map(|change| ("{\"order_id\":1}".to_owned(), Some(change))).collect();
    records.insert(2, ("mark".to_owned(), None));
    feed.commit(&world.changes(), &records)?;

    let seen = wait_until("eight bill records", SOON, || {
        let stage2 = world.stage2().map_err(Not::yet)?;
        let mut accounts: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for record in &stage2 {
            let bill: BillRecord =
                serde_json::from_slice(record.value.as_deref().unwrap_or_default()).map_err(Not::yet)?;
            let op = if bill.op == BillOp::Upsert { '+' } else { '-' };
            accounts.entry(record.key.clone()).or_default().push(format!(
                "{op}{} {}",
                bill.version.counter(),
                bill.bill.remark
            ));
        }
        if stage2.len() == 8 {
            Ok(accounts)
        } else {
            Err(format!("{} records: {accounts:?}", stage2.len()).into())
        }
    })?;
    let expected = [
        ("10", vec!["+1 first", "-2 first"]),
        ("11", vec!["+2 moved", "+3 moved", "-4 moved"]),
        ("20", vec!["+1 first", "+2 moved", "-3 moved"]),
    ];
    let expected = expected
        .map(|(account, ops)| (account.to_owned(), ops.into_iter().map(str::to_owned).collect::<Vec<_>>()));
    assert_eq!(seen, BTreeMap::from(expected));
    Ok(())
}

#[test]
fn a_router_that_stands_by_takes_over_when_the_active_one_is_killed_g3_g4() -> Result<()> {
    let world = World::new()?;
    let first = world.deployment.daemon("sync-worker", &["run", "--role", "router"])?;
    let routed = |count: usize| {
        wait_until("the changes to be routed", SOON, || match world.stage2() {
            Ok(stage2) if stage2.len() == count => Ok(()),
            Ok(stage2) => Err(format!("{} records of {count}", stage2.len()).into()),
            Err(error) => Err(Not::yet(error)),
        })
    };
    let feed = world.feed("databus")?;
    let order =
        |id: u64| (id.to_string(), Some(world.change(id as i64, None, Some(&world.order(id, 10, 20, "x")))));
    feed.commit(&world.changes(), &[order(1)])?;
    routed(2)?;
    let second =
        world.deployment.twin(&unique("standby"))?.daemon("sync-worker", &["run", "--role", "router"])?;
    // the group decides which of the two is the active one
    let first_is_active = wait_until("one router to be active and the other to stand by", SOON, || {
        let held = |router: &Daemon| router.metric("sync_worker_assigned_partitions");
        match (held(&first), held(&second)) {
            (Ok(Some(1.0)), Ok(Some(0.0))) => Ok(true),
            (Ok(Some(0.0)), Ok(Some(1.0))) => Ok(false),
            other => Err(Not::Yet(format!("{other:?}"))),
        }
    })?;
    let (mut active, _standby) = if first_is_active { (first, second) } else { (second, first) };

    active.kill_9()?;
    feed.commit(&world.changes(), &[order(2)])?;

    routed(4)
}

#[test]
fn a_gap_in_stage_1_stops_the_router_for_good_and_names_the_offset_g2() -> Result<()> {
    let world = World::new()?;
    let mut worker = world.deployment.daemon("sync-worker", &["run", "--role", "router"])?;
    let feed = world.feed("databus")?;
    let order = world.order(1, 10, 20, "x");
    let fed = |seq| [("1".to_owned(), Some(world.change(seq, None, Some(&order))))];
    feed.commit(&world.changes(), &fed(1))?;
    wait_until("the first change to be routed", SOON, || match world.stage2() {
        Ok(stage2) if stage2.len() == 2 => Ok(()),
        Ok(stage2) => Err(format!("{} records", stage2.len()).into()),
        Err(error) => Err(Not::yet(error)),
    })?;
    feed.commit(&world.changes(), &fed(3))?;
    assert_eq!(worker.wait_exit()?, Some(1));
    let log = worker.log()?;
    // offset 1 is the first transaction's own record
    assert!(log.contains("offset 2 has seq 0:3 after 0:1"), "{log}");

    let mut again = world.deployment.daemon_unready("sync-worker", &["run", "--role", "router"])?;
    assert_eq!(again.wait_exit()?, Some(1), "the gap was passed over after a restart");
    assert_eq!(world.stage2()?.len(), 2);
    Ok(())
}

#[test]
fn a_router_whose_transaction_ran_out_while_nobody_took_over_goes_on_g4() -> Result<()> {
    const ROWS: u64 = 40_000;
    let world = World::new()?;
    let worker = world.deployment.daemon("sync-worker", &["run", "--role", "router"])?;
    let feed = world.feed("databus")?;
    let mut last = 0;
    for chunk in (1..=ROWS).collect::<Vec<_>>().chunks(5_000) {
        last += chunk.len();
        let records: Vec<(String, Option<Value>)> = chunk
            .iter()
            .map(|id| {
                let order = world.order(*id, 10 + id % 7, 20 + id % 7, "x");
                (id.to_string(), Some(world.change(i64::try_from(*id).unwrap_or(0), None, Some(&order))))
            })
            .collect();
        feed.commit(&world.changes(), &records)?;
        // frozen at a moment when the broker holds records of a transaction that is not committed
        worker.pause()?;
        if world.open_records()? > 0 {
            break;
        }
        worker.resume()?;
    }
    ensure!(world.open_records()? > 0, "the router was never caught inside a transaction");
    wait_until("the broker to give the transaction up", SOON, || match world.open_records() {
        Ok(0) => Ok(()),
        Ok(open) => Err(format!("{open} records are open").into()),
        Err(error) => Err(Not::yet(error)),
    })?;
    worker.resume()?;
    wait_until("the router to go on by itself", SOON, || match world.stage2() {
        Ok(stage2) if stage2.len() == 2 * last => Ok(()),
        Ok(stage2) => Err(format!("{} records of {}", stage2.len(), 2 * last).into()),
        Err(error) => Err(Not::yet(error)),
    })?;
    ensure!(worker.log()?.contains("starting anew"), "{}", worker.log()?);
    Ok(())
}
