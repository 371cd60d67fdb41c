//! A sync-worker that is killed or frozen under load.

use super::world::{Held, SOON, World};
use anyhow::{Result, ensure};
use change_event::stage2::BillRecord;
use it_tests::harness::{Not, Service, wait_until};
use serde_json::Value;
use std::collections::BTreeMap;

#[test]
fn kill_9_of_sync_worker_loses_and_doubles_nothing_g4_g6() -> Result<()> {
    const ROWS: u64 = 1_500;
    const ROUNDS: u64 = 4;
    let world = World::new()?;
    let mut worker = world.deployment.sync_worker()?;
    let feed = world.feed("databus")?;
    let row = |id: u64, round: u64| world.order(id, 100 + id % 50, 200 + id % 50, &format!("round {round}"));
    let mut seq = 0;
    for round in 1..=ROUNDS {
        for chunk in (1..=ROWS).collect::<Vec<_>>().chunks(250) {
            let records: Vec<(String, Option<Value>)> = chunk
                .iter()
                .map(|id| {
                    seq += 1;
                    let before = (round > 1).then(|| row(*id, round - 1));
                    (id.to_string(), Some(world.change(seq, before.as_ref(), Some(&row(*id, round)))))
                })
                .collect();
            feed.commit(&world.changes(), &records)?;
        }
        if round < ROUNDS {
            // at whatever it is doing now: the sinks are behind stage 2, and stage 2 behind stage 1
            let held = world.store()?.len();
            wait_until("the store to move", SOON, || match world.store() {
                Ok(now) if now.len() > held || now.len() as u64 == 2 * ROWS => Ok(()),
                Ok(now) => Err(format!("{} bills", now.len()).into()),
                Err(error) => Err(Not::yet(error)),
            })?;
            worker.kill_9()?;
            worker.start_again()?;
        }
    }
    let mut expected = Held::new();
    for id in 1..=ROWS {
        let version = i64::try_from((ROUNDS - 1) * ROWS + id)?;
        for (side, account) in [("payer", 100 + id % 50), ("payee", 200 + id % 50)] {
            let held = (version, false, format!("round {ROUNDS}"));
            expected.insert((account, format!("orders.{}.{side}.{id}", world.name)), held);
        }
    }
    world.wait_for(&expected)?;

    let stage2 = world.stage2()?;
    ensure!(
        stage2.len() as u64 == 2 * ROWS * ROUNDS,
        "{} records in stage 2, not {}",
        stage2.len(),
        2 * ROWS * ROUNDS
    );
    let mut last: BTreeMap<&str, (i32, i64)> = BTreeMap::new();
    for record in &stage2 {
        let bill: BillRecord = serde_json::from_slice(record.value.as_deref().unwrap_or_default())?;
        let now = (record.partition, bill.version.get());
        if let Some(before) = last.insert(&record.key, now) {
            ensure!(before.0 == now.0 && before.1 < now.1, "account {}: {before:?} then {now:?}", record.key);
        }
    }
    Ok(())
}

#[test]
fn a_frozen_sync_worker_is_replaced_and_harms_nothing_when_it_wakes_g3_g4() -> Result<()> {
    let world = World::new()?;
    let first = world.deployment.sync_worker()?;
    let feed = world.feed("databus")?;
    let mut expected = Held::new();
    let mut feed_round = |round: i64| -> Result<Held> {
        let mut records = Vec::new();
        for id in 1..=200_u64 {
            let seq = (round - 1) * 200 + i64::try_from(id)?;
            let row = |round: i64| world.order(id, 10 + id % 7, 20 + id % 7, &format!("round {round}"));
            let before = (round > 1).then(|| row(round - 1));
            records.push((id.to_string(), Some(world.change(seq, before.as_ref(), Some(&row(round))))));
            for (side, account) in [("payer", 10 + id % 7), ("payee", 20 + id % 7)] {
                let key = (account, format!("orders.{}.{side}.{id}", world.name));
                expected.insert(key, (seq, false, format!("round {round}")));
            }
        }
        feed.commit(&world.changes(), &records)?;
        Ok(expected.clone())
    };
    world.wait_for(&feed_round(1)?)?;
    let twin = world.deployment.twin(&format!("{}_twin", world.name))?;
    let _second = twin.sync_worker()?;
    feed_round(2)?;
    first.pause()?;
    world.wait_for(&feed_round(3)?)?;
    first.resume()?;
    world.wait_for(&feed_round(4)?)?;
    let records = world.stage2()?.len();
    ensure!(records == 1600, "{records} records in stage 2, not 1600");
    Ok(())
}
