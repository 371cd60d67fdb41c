//! sync-worker and `replay diff` against real Kafka, MariaDB and Elasticsearch, fed by hand.

#[path = "sync_worker/world.rs"]
mod world;

use std::collections::BTreeMap;

use crate::shared::{fresh, unique};
use anyhow::{Context, Result, ensure};
use change_event::stage2::{BillOp, BillRecord};
use it_tests::harness::{Daemon, Not, Part, Service, Stack, wait_until};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use world::{Held, SOON, World};

/// Feeds one stage-2 record and waits for both sinks to have passed it: a bill of its own, behind it in the same partition.
struct Gate<'w> {
    world: &'w World<'static>,
    feed: world::Feed,
    expected: Held,
    steps: u64,
}

impl Gate<'_> {
    const ACCOUNT: u64 = 42;

    fn id(&self, row: u64) -> (u64, String) {
        (Self::ACCOUNT, format!("orders.{}.payee.{row}", self.world.name))
    }

    fn step(&mut self, op: &str, version: i64, remark: &str, holds: (i64, bool, &str)) -> Result<()> {
        self.steps += 1;
        let marker = 1000 + self.steps;
        let key = Self::ACCOUNT.to_string();
        let record = |value| (key.clone(), Some(value));
        self.feed.commit(
            &self.world.bills(),
            &[record(self.world.record(op, version, Self::ACCOUNT, 1, remark))],
        )?;
        self.feed.commit(
            &self.world.bills(),
            &[record(self.world.record("upsert", 1, Self::ACCOUNT, marker, "marker"))],
        )?;
        self.expected.insert(self.id(marker), (1, false, "marker".to_owned()));
        self.expected.insert(self.id(1), (holds.0, holds.1, holds.2.to_owned()));
        self.world
            .wait_for(&self.expected)
            .with_context(|| format!("after {op} of version {version} ({remark})"))
    }
}

#[test]
fn an_older_version_never_overwrites_a_newer_one_in_either_sink_g5() -> Result<()> {
    let world = World::new()?;
    let _worker = world.deployment.daemon("sync-worker", &["run", "--role", "writer"])?;
    let mut gate = Gate { feed: world.feed("gate")?, world: &world, expected: Held::new(), steps: 0 };
    gate.step("upsert", 5, "five", (5, false, "five"))?;
    gate.step("upsert", 4, "four", (5, false, "five"))?;
    gate.step("upsert", 5, "five", (5, false, "five"))?;
    gate.step("delete", 7, "seven", (7, true, "seven"))?;
    gate.step("upsert", 6, "six", (7, true, "seven"))?;
    gate.step("delete", 5, "five", (7, true, "seven"))?;
    gate.step("upsert", 8, "eight", (8, false, "eight"))
}

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
fn an_index_that_is_down_does_not_delay_the_store_and_catches_up_g9() -> Result<()> {
    let stack = Stack::start(fresh("sinks").without(Part::Redis))?;
    let world = World::on(&stack)?;
    let _worker = world.deployment.sync_worker()?;
    let feed = world.feed("databus")?;
    let mut expected = Held::new();
    let mut feed_order = |id: u64| -> Result<Held> {
        let order = world.order(id, 10, 20, "x");
        let change = world.change(i64::try_from(id)?, None, Some(&order));
        feed.commit(&world.changes(), &[(id.to_string(), Some(change))])?;
        for (side, account) in [("payer", 10), ("payee", 20)] {
            let key = (account, format!("orders.{}.{side}.{id}", world.name));
            expected.insert(key, (i64::try_from(id)?, false, "x".to_owned()));
        }
        Ok(expected.clone())
    };
    world.wait_for(&feed_order(1)?)?;
    let processes = stack.record().processes;
    let (_, elasticsearch) =
        processes.iter().find(|(part, _)| *part == Part::Elasticsearch).context("no Elasticsearch runs")?;
    elasticsearch.signal_group(Signal::SIGSTOP)?;
    let mut all = Held::new();
    for id in 2..=20 {
        all = feed_order(id)?;
    }
    wait_until("the store to go on without the index", SOON, || match world.store() {
        Ok(store) if store == all => Ok(()),
        Ok(store) => Err(format!("{} bills", store.len()).into()),
        Err(error) => Err(Not::yet(error)),
    })?;
    elasticsearch.signal_group(Signal::SIGCONT)?;
    world.wait_for(&all)
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

#[test]
fn a_group_that_has_passed_everything_reports_no_lag() -> Result<()> {
    let world = World::new()?;
    let worker = world.deployment.sync_worker()?;
    let feed = world.feed("databus")?;
    let mut expected = Held::new();
    let mut records = Vec::new();
    for id in 1..=60_u64 {
        let order = world.order(id, 100 + id, 200 + id, "x");
        let seq = i64::try_from(id)?;
        records.push((id.to_string(), Some(world.change(seq, None, Some(&order)))));
        for (side, account) in [("payer", 100 + id), ("payee", 200 + id)] {
            expected.insert(
                (account, format!("orders.{}.{side}.{id}", world.name)),
                (seq, false, "x".to_owned()),
            );
        }
    }
    feed.commit(&world.changes(), &records)?;
    world.wait_for(&expected)?;
    wait_until("three groups to report no lag", SOON, || {
        let metrics = worker.metrics().map_err(Not::yet)?;
        let lags: Vec<&str> =
            metrics.lines().filter(|line| line.starts_with("sync_worker_lag_records{")).collect();
        if lags.len() == 3 && lags.iter().all(|line| line.ends_with(" 0")) {
            Ok(())
        } else {
            Err(format!("{lags:?}").into())
        }
    })
}

#[test]
fn migrations_at_the_same_time_wait_for_each_other() -> Result<()> {
    let world = World::new()?;
    world.store_sql(&format!("DROP DATABASE {}_bills; CREATE DATABASE {}_bills", world.name, world.name))?;
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| world.deployment.run_ok("sync-worker", &["migrate"]).map(drop)))
            .collect();
        all.into_iter().try_for_each(|one| one.join().map_err(|_| anyhow::anyhow!("a thread panicked"))?)
    })?;
    assert_eq!(world.store_sql("SELECT COUNT(*) FROM _sqlx_migrations")?.trim(), "1");
    Ok(())
}

#[test]
fn replay_diff_finds_nothing_where_nothing_differs_and_everything_where_something_does() -> Result<()> {
    let world = World::new()?;
    let worker = world.deployment.sync_worker()?;
    let feed = world.feed("databus")?;
    let mut records = Vec::new();
    for id in 1..=120_u64 {
        let order = world.order(id, 10 + id % 3, 20, &format!("no. {id}"));
        records.push((id.to_string(), Some(world.change(i64::try_from(id)?, None, Some(&order)))));
    }
    feed.commit(&world.changes(), &records)?;
    world.sql(
        "INSERT INTO fund_order SELECT seq, CONCAT('C', seq), 'pay', 'succeeded', 7, 7, 10 + seq % 3, 'Ann', 8, 20, 'Bob 收款', NULL, 1000, 6, 0, 'CNY',
           'wallet', NULL, CONCAT('no. ', seq), '2023-11-14 22:13:20' + INTERVAL seq MICROSECOND, '2023-11-14 22:13:20' + INTERVAL seq MICROSECOND
         FROM seq_1_to_120",
    )?;
    wait_until("all bills in both sinks", SOON, || {
        let (store, index) = (world.store().map_err(Not::yet)?.len(), world.index().map_err(Not::yet)?.len());
        if (store, index) == (240, 240) { Ok(()) } else { Err(format!("{store}, {index}").into()) }
    })?;
    drop(worker);
    let diff = || -> Result<(Option<i32>, Value)> {
        let output = world.deployment.run("replay", &["diff", "--output", "json"])?;
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        Ok((output.status.code(), serde_json::from_slice(&output.stdout).context(error)?))
    };

    let (code, report) = diff()?;
    assert_eq!(
        (code, &report["differences"], &report["expected"]),
        (Some(0), &json!(0), &json!(240)),
        "{report}"
    );

    world.store_sql(&format!(
        "UPDATE bill SET fee = fee + 1, version = version + 1 WHERE bill_id = 'orders.{name}.payee.100';
         DELETE FROM bill WHERE bill_id = 'orders.{name}.payer.9'",
        name = world.name
    ))?;
    world.sql("DELETE FROM fund_order WHERE order_id = 10; UPDATE fund_order SET remark = 'new' WHERE order_id = 99")?;
    let (code, report) = diff()?;
    assert_eq!(code, Some(2), "{report}");
    let mut found: Vec<String> = report["details"]
        .as_array()
        .context("no details")?
        .iter()
        .map(|d| {
            let short = d["bill_id"]
                .as_str()
                .unwrap_or_default()
                .rsplitn(3, '.')
                .take(2)
                .collect::<Vec<_>>()
                .join(" ");
            format!("{} {} {short} {}", d["kind"], d["sink"], d["fields"]).replace('"', "")
        })
        .collect();
    found.sort();
    let expected = [
        "changed index 99 payee [remark]",
        "changed index 99 payer [remark]",
        "changed store 100 payee [fee]",
        "changed store 99 payee [remark]",
        "changed store 99 payer [remark]",
        "extra index 10 payee []",
        "extra index 10 payer []",
        "extra store 10 payee []",
        "extra store 10 payer []",
        "missing store 9 payer []",
        "version index 100 payee [version: store 101, index 100]",
    ];
    assert_eq!(found, expected);
    let table = world.deployment.run("replay", &["diff", "--limit", "1"])?;
    let table = String::from_utf8_lossy(&table.stdout).into_owned();
    assert_eq!(
        table.lines().last(),
        Some("diff: expected=238 store=239 index=240 differences=11"),
        "{table}"
    );
    Ok(())
}

#[test]
fn start_up_errors_are_one_line_that_says_what_to_do() -> Result<()> {
    let world = World::new()?;
    let error = |deployment: &it_tests::harness::Deployment| -> Result<(Option<i32>, String)> {
        let output = deployment.run("sync-worker", &["check"])?;
        Ok((output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned()))
    };
    world.deployment.run_ok("sync-worker", &["check"])?;
    let mut other = world.deployment.twin(&format!("{}_partitions", world.name))?;
    other.edit(|file| file.set("kafka", "bills_partitions", "6"))?;
    let (code, text) = error(&other)?;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("has 12 partitions and kafka.bills_partitions is 6"), "{text}");

    let mut other = world.deployment.twin(&format!("{}_column", world.name))?;
    other.edit(|file| {
        file.replace("{ column = \"order_no\" }", "{ column = \"number\" }");
        Ok(())
    })?;
    let (code, text) = error(&other)?;
    assert_eq!((code, text.lines().count()), (Some(2), 1), "{text}");
    assert!(text.contains("column number does not exist in"), "{text}");

    let mut other = world.deployment.twin(&format!("{}_brokers", world.name))?;
    other.edit(|file| file.set_text("kafka", "brokers", "127.0.0.1:1"))?;
    let (code, text) = error(&other)?;
    assert_eq!((code, text.lines().count()), (Some(1), 1), "{text}");
    assert!(text.contains("kafka.brokers 127.0.0.1:1 does not answer"), "{text}");
    Ok(())
}
