//! What the two sinks hold: the version gate, and each sink for itself.

use super::world::{Feed, Held, SOON, World};
use crate::shared::fresh;
use anyhow::{Context, Result};
use it_tests::harness::{Not, Part, Stack, wait_until};
use nix::sys::signal::Signal;

/// Feeds one stage-2 record and waits for both sinks to have passed it: a bill of its own, behind it in the same partition.
struct Gate<'w> {
    world: &'w World<'static>,
    feed: Feed,
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
