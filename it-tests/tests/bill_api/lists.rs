//! What a merchant sees: pages, single bills, months; and what it must never see.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, ensure};

use super::world::{LONG, Seed};
use super::{ids, world};

#[tokio::test(flavor = "multi_thread")]
async fn paging_while_inserts_run_returns_every_initial_bill_exactly_once() -> Result<()> {
    let world = world().await?;
    let app = world.desk.merchant(1, &[11, 12], "Asia/Shanghai", LONG);
    let seed = |count: u64, account: u64| {
        // every tenth bill has a moment of its own, the others share one microsecond
        let micros = if count.is_multiple_of(10) { count } else { 500_000 };
        Seed::new(
            account,
            format!("orders.accounting.payee.{count}"),
            format!("2026-11-22 18:20:00.{micros:06}"),
        )
    };
    // the same ids in both accounts: even a whole tie must be parted
    let initial: Vec<Seed> = (0..1000).flat_map(|count| [seed(count, 11), seed(count, 12)]).collect();
    world.insert(&initial).await?;

    let (paging, mut pages, mut seen) = (AtomicBool::new(true), 0, Vec::new());
    let inserting = async {
        let mut count = 1000;
        while paging.load(Ordering::SeqCst) {
            world.insert(&[seed(count, 11), seed(count, 12)]).await?;
            count += 1;
        }
        anyhow::Ok(count - 1000)
    };
    let reading = async {
        let mut target = "/v1/bills?limit=7".to_owned();
        loop {
            let page = world.ok(&app, &target).await?;
            pages += 1;
            for bill in page["items"].as_array().unwrap() {
                seen.push((
                    bill["account_id"].as_str().unwrap().to_owned(),
                    bill["bill_id"].as_str().unwrap().to_owned(),
                ));
            }
            ensure!(page["has_more"].as_bool() == Some(page["next_cursor"].is_string()), "{page}");
            let Some(cursor) = page["next_cursor"].as_str() else { break };
            target = format!("/v1/bills?limit=7&cursor={cursor}");
        }
        paging.store(false, Ordering::SeqCst);
        anyhow::Ok(())
    };
    let (inserted, read) = tokio::join!(inserting, reading);
    read?;
    let inserted = inserted?;
    println!("{pages} pages, {} bills seen, {} inserted meanwhile", seen.len(), inserted * 2);
    let distinct: BTreeSet<_> = seen.iter().cloned().collect();
    ensure!(distinct.len() == seen.len(), "a bill came twice");
    let missing =
        initial.iter().filter(|seed| !distinct.contains(&(seed.account.to_string(), seed.bill_id.clone())));
    ensure!(missing.count() == 0, "an initial bill is missing");
    ensure!(inserted > 0, "nothing was inserted while the pages were read");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_anothers_or_gone_is_404_and_never_in_a_list() -> Result<()> {
    let world = world().await?;
    let mine = world.desk.merchant(1, &[21], "UTC", LONG);
    let theirs = world.desk.merchant(2, &[22], "UTC", LONG);
    let at = "2026-11-22 18:20:00.123456";
    let deleted = Seed { deleted: true, ..Seed::new(21, "orders.accounting.payee.3", at) };
    let seeds = [
        Seed::new(21, "orders.accounting.payee.1", at),
        Seed::new(22, "orders.accounting.payee.2", at),
        deleted,
    ];
    world.insert(&seeds).await?;

    let bill = world.ok(&mine, "/v1/bills/orders.accounting.payee.1").await?;
    assert_eq!(bill["occurred_at"], "2026-11-22T18:20:00.123456Z");
    assert_eq!((&bill["account_id"], &bill["version"]), (&"21".into(), &"9007199254740993".into()));
    assert_eq!((&bill["amount"], &bill["net"], &bill["currency"]), (&100.into(), &100.into(), &"CNY".into()));
    assert_eq!(bill["counterparty"], "小店 ☕");
    for (target, code) in [
        ("/v1/bills/orders.accounting.payee.2", "bill_not_found"),
        ("/v1/bills/orders.accounting.payee.3", "bill_not_found"),
        ("/v1/bills/orders.accounting.payee.4", "bill_not_found"),
        ("/v1/bills?account_id=22", "account_not_found"),
        ("/v1/bills/summary?month=2026-11&account_id=22", "account_not_found"),
        ("/v1/nothing", "route_not_found"),
    ] {
        let answer = world.get(&mine, target).await?;
        assert_eq!((answer.status, answer.body["code"].as_str()), (404, Some(code)), "{target}: {answer:?}");
    }
    assert_eq!(ids(&world.ok(&mine, "/v1/bills").await?), ["orders.accounting.payee.1"]);
    assert_eq!(ids(&world.ok(&theirs, "/v1/bills").await?), ["orders.accounting.payee.2"]);
    world.ok(&theirs, "/v1/bills/orders.accounting.payee.2").await?;

    let unscoped = world.desk.merchant(3, &[21], "UTC", LONG);
    world.desk.take_scopes(&unscoped);
    let answer = world.get(&unscoped, "/v1/bills").await?;
    assert_eq!((answer.status, &answer.body["code"]), (403, &"scope_missing".into()));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_understood_is_400_and_names_the_parameter() -> Result<()> {
    let world = world().await?;
    let app = world.desk.merchant(1, &[41], "UTC", LONG);
    // the first and the last moment there is
    world.ok(&app, "/v1/bills?from=0000-01-01T00:00:00Z&to=9999-12-31T23:59:59.999999Z").await?;
    world.ok(&app, "/v1/bills?from=0000-01-01T00:00:00-23:59").await?;
    let other = world.desk.merchant(2, &[41], "UTC", LONG);
    let at = "2026-11-22 18:20:00.123456";
    let seeds: Vec<Seed> =
        (0..3).map(|count| Seed::new(41, format!("orders.accounting.payee.{count}"), at)).collect();
    world.insert(&seeds).await?;
    for (query, code, pointer) in [
        ("amount_gt=5", "parameter_unknown", "amount_gt"),
        ("limit=5&limit=6", "parameter_duplicate", "limit"),
        ("limit=0", "parameter_invalid", "limit"),
        ("limit=101", "parameter_invalid", "limit"),
        ("limit=1e1", "parameter_invalid", "limit"),
        ("pipeline=other", "parameter_invalid", "pipeline"),
        ("direction=sideways", "parameter_invalid", "direction"),
        ("bill_type=%27%20OR%201=1", "parameter_invalid", "bill_type"),
        ("account_id=0", "parameter_invalid", "account_id"),
        ("from=yesterday", "parameter_invalid", "from"),
        ("from=2026-11-22T22:20:00+04:00", "parameter_invalid", "from"),
        ("from=2026-11-22T00:00:00Z&to=2026-11-21T00:00:00Z", "parameter_invalid", "to"),
        ("cursor=made-up", "cursor_invalid", "cursor"),
    ] {
        let answer = world.get(&app, &format!("/v1/bills?{query}")).await?;
        assert_eq!((answer.status, answer.body["code"].as_str()), (400, Some(code)), "{query}: {answer:?}");
        assert_eq!(answer.body["errors"][0]["pointer"], pointer, "{query}");
    }
    for target in ["/v1/bills/summary", "/v1/bills/summary?month=2026-13", "/v1/bills/orders.a.payee.1?x=1"] {
        assert_eq!(world.get(&app, target).await?.status, 400, "{target}");
    }

    let page = world.ok(&app, "/v1/bills?limit=1").await?;
    let cursor = page["next_cursor"].as_str().unwrap().to_owned();
    let changed = format!("{}{}", if cursor.starts_with('A') { 'B' } else { 'A' }, &cursor[1..]);
    for (query, code) in [
        (format!("limit=1&cursor={changed}"), "cursor_invalid"),
        (format!("limit=1&direction=in&cursor={cursor}"), "cursor_filters_changed"),
        (format!("limit=1&pipeline=movements&cursor={cursor}"), "cursor_filters_changed"),
    ] {
        let answer = world.get(&app, &format!("/v1/bills?{query}")).await?;
        assert_eq!((answer.status, answer.body["code"].as_str()), (400, Some(code)), "{query}: {answer:?}");
    }
    let answer = world.get(&other, &format!("/v1/bills?limit=1&cursor={cursor}")).await?;
    assert_eq!(
        (answer.status, &answer.body["code"]),
        (400, &"cursor_invalid".into()),
        "another merchant's cursor"
    );
    assert_eq!(ids(&world.ok(&app, &format!("/v1/bills?limit=2&cursor={cursor}")).await?).len(), 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_month_in_the_merchants_zone_is_the_sum_of_its_list() -> Result<()> {
    let world = world().await?;
    let app = world.desk.merchant(1, &[61], "Asia/Shanghai", LONG);
    // November in Shanghai is [2026-10-31T16:00Z, 2026-11-30T16:00Z)
    let moments = [
        ("2026-10-31 15:59:59.999999", "collect", "in", 1_000_000),
        ("2026-10-31 16:00:00.000000", "collect", "in", 10_000),
        ("2026-11-15 00:00:00.000000", "fee", "out", 60),
        ("2026-11-20 00:00:00.000000", "pay", "out", 300),
        ("2026-11-30 15:59:59.999999", "refund", "out", 5),
        ("2026-11-30 16:00:00.000000", "collect", "in", 2_000_000),
    ];
    let seed = |(count, (at, bill_type, direction, amount)): (usize, (&str, _, _, _))| Seed {
        bill_type,
        direction,
        amount,
        ..Seed::new(61, format!("movements.accounting.owner.{count}"), at)
    };
    world.insert(&moments.into_iter().enumerate().map(seed).collect::<Vec<_>>()).await?;
    let summary = world.ok(&app, "/v1/bills/summary?month=2026-11").await?;
    assert_eq!(
        (&summary["from"], &summary["to"]),
        (&"2026-10-31T16:00:00.000000Z".into(), &"2026-11-30T16:00:00.000000Z".into())
    );
    let total = &summary["totals"][0];
    let of = |name: &str| total[name].as_i64().unwrap();
    assert_eq!(
        (of("in"), of("out"), of("fee"), of("net"), of("count")),
        (10_000, 365, 60, 9_635, 4),
        "{summary}"
    );
    assert_eq!(
        world.ok(&app, "/v1/bills/summary?month=2026-11&account_id=61").await?["totals"],
        summary["totals"]
    );
    let empty = world.ok(&app, "/v1/bills/summary?month=2028-02").await?;
    assert_eq!(
        (&empty["to"], &empty["totals"][0]["count"]),
        (&"2028-02-29T16:00:00.000000Z".into(), &0.into())
    );

    // the same range as a list: in UTC, and as the same instants in another offset
    let utc = "/v1/bills?pipeline=movements&from=2026-10-31T16:00:00Z&to=2026-11-30T16:00:00Z";
    let offset =
        "/v1/bills?pipeline=movements&from=2026-10-31T20:00:00%2B04:00&to=2026-11-30T20:00:00%2B04:00";
    let list = world.ok(&app, utc).await?;
    assert_eq!(list, world.ok(&app, offset).await?);
    let bills = list["items"].as_array().unwrap();
    assert_eq!(bills.iter().map(|bill| bill["net"].as_i64().unwrap()).sum::<i64>(), of("net"));
    assert_eq!(bills.len(), 4);
    let fees = world.ok(&app, &format!("{utc}&bill_type=fee&direction=out")).await?;
    assert_eq!(ids(&fees), ["movements.accounting.owner.2"]);
    Ok(())
}
