//! What an operator runs: check, migrate, `replay diff`.

use super::world::{SOON, World};
use anyhow::{Context, Result};
use it_tests::harness::{Not, wait_until};
use serde_json::{Value, json};

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
    assert_eq!(world.store_sql("SELECT COUNT(*) FROM _sqlx_migrations")?.trim(), "3");
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
