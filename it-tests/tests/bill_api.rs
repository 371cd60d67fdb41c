//! bill-api as a process against a real MariaDB and Redis, over signed HTTP.

mod desk;
mod signer;
mod world;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use it_tests::harness::{Deployment, Not, Part, Service, Stack, wait_until_async};
use serde_json::{Value, json};

use crate::shared::{fresh, stack, unique};
use signer::Authorization;
use world::{BillClient, LONG, Seed, World};

async fn world() -> Result<World> {
    World::new(stack()?, |_| Ok(())).await
}

fn ids(page: &Value) -> Vec<String> {
    let items = page["items"].as_array().cloned().unwrap_or_default();
    items.iter().filter_map(|bill| bill["bill_id"].as_str().map(str::to_owned)).collect()
}

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
async fn only_a_request_signed_right_is_answered_and_each_nonce_once() -> Result<()> {
    let world = world().await?;
    let app = world.desk.merchant(1, &[31], "UTC", LONG);
    let target = "/v1/bills?limit=5";
    let good = Authorization::fresh().header(&app, "GET", target);
    let check = async |authorization: Option<&str>, code: &str| {
        let answer = world.get_with(target, authorization).await?;
        ensure!(
            (answer.status, answer.body["code"].as_str()) == (401, Some(code)),
            "wanted {code}: {answer:?}"
        );
        ensure!(!answer.headers.contains_key("ratelimit"), "a stranger got rate headers");
        ensure!(answer.headers["www-authenticate"] == "DATABUS-HMAC-SHA256", "{answer:?}");
        anyhow::Ok(())
    };
    check(None, "signature_missing").await?;
    check(Some("Bearer x"), "signature_scheme_unsupported").await?;
    check(Some(&good.replace("timestamp=", "time=")), "signature_parameter_unknown").await?;
    check(Some(&good.replace(",nonce", ",key_id=\"a\",nonce")), "signature_parameter_duplicate").await?;
    let other_secret = signer::App { secret: b"another".to_vec(), ..app.clone() };
    check(Some(&Authorization::fresh().header(&other_secret, "GET", target)), "signature_mismatch").await?;
    check(Some(&Authorization::fresh().header(&app, "POST", target)), "signature_mismatch").await?;
    check(Some(&Authorization::fresh().header(&app, "GET", "/v1/bills?limit=6")), "signature_mismatch")
        .await?;
    let unknown = signer::App { key_id: "key_none".to_owned(), ..app.clone() };
    check(Some(&Authorization::fresh().header(&unknown, "GET", target)), "signature_key_refused").await?;
    let now: i64 = Authorization::fresh().timestamp.parse()?;
    for away in [-302, 302] {
        let stale = Authorization { timestamp: (now + away).to_string(), ..Authorization::fresh() };
        check(Some(&stale.header(&app, "GET", target)), "signature_timestamp_outside_window").await?;
    }
    for spelling in ["", "now", "+1", "99999999999999999999"] {
        let odd = Authorization { timestamp: spelling.to_owned(), ..Authorization::fresh() };
        check(Some(&odd.header(&app, "GET", target)), "signature_parameter_invalid").await?;
    }
    // the same bytes once, and never again
    let answer = world.get_with(target, Some(&good)).await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.headers.contains_key("ratelimit") && answer.headers.contains_key("ratelimit-policy"));
    check(Some(&good), "signature_nonce_reused").await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_understood_is_400_and_names_the_parameter() -> Result<()> {
    let world = world().await?;
    let app = world.desk.merchant(1, &[41], "UTC", LONG);
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
async fn an_app_above_its_rate_is_429_and_another_app_is_not() -> Result<()> {
    let slow = World::new(stack()?, |file| {
        file.set("flow.read", "per_second", "1")?;
        file.set("flow.read", "burst", "3")
    });
    let world = slow.await?;
    let (busy, calm) =
        (world.desk.merchant(1, &[51], "UTC", LONG), world.desk.merchant(2, &[52], "UTC", LONG));
    let mut refused = None;
    for _ in 0..10 {
        let answer = world.get(&busy, "/v1/bills").await?;
        assert_eq!(answer.headers["ratelimit-policy"], "\"read\";q=3;w=3");
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("ten requests at once and no 429");
    assert_eq!((&refused.body["code"], &refused.body["retryable"]), (&"rate_limited".into(), &true.into()));
    assert_eq!(refused.headers["retry-after"], "1");
    assert_eq!(refused.headers["ratelimit"], "\"read\";r=0;t=1");
    assert_eq!(world.get(&calm, "/v1/bills").await?.status, 200);
    wait_until_async("a token after the wait", Duration::from_secs(10), async || {
        match world.get(&busy, "/v1/bills").await {
            Ok(answer) if answer.status == 200 => Ok(()),
            Ok(answer) => Err(Not::Yet(answer.status.to_string())),
            Err(error) => Err(Not::Ever(error)),
        }
    })
    .await?;
    let metrics = world.daemon.metrics()?;
    assert!(metrics.contains("flow_denied_total{class=\"read\"} "), "{metrics}");
    assert!(
        metrics.contains(
            "http_request_duration_seconds_count{method=\"GET\",route=\"bills.list\",status=\"429\"}"
        )
    );
    assert!(!metrics.contains(&busy.app_id) && !metrics.contains(&calm.app_id), "no caller is a label");
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

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_is_refused_within_a_second() -> Result<()> {
    let world = world().await?;
    let app = world.desk.merchant(71, &[71], "UTC", LONG);
    for _ in 0..5 {
        world.ok(&app, "/v1/bills").await?;
    }
    assert_eq!(world.desk.calls(), 1, "the grant is kept");
    world.desk.revoke(&app);
    let mut redis = redis::Client::open(stack()?.redis()?.url(0))?.get_multiplexed_async_connection().await?;
    let name = format!("grant:{}:{}", app.app_id, app.key_id);
    let kept: String = redis::cmd("GET").arg(&name).query_async(&mut redis).await?;
    assert!(kept.contains("bills:read") && !kept.contains("secret"), "{kept}");
    let deleted: u8 = redis::cmd("DEL").arg(&name).query_async(&mut redis).await?;
    assert_eq!(deleted, 1);
    wait_until_async("the key to be refused", Duration::from_secs(1), async || {
        match world.get(&app, "/v1/bills").await {
            Ok(answer) if answer.status == 401 => Ok(()),
            Ok(answer) => Err(Not::Yet(answer.status.to_string())),
            Err(error) => Err(Not::Ever(error)),
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_of_the_real_wallet_api_reads_until_its_key_is_revoked() -> Result<()> {
    let own = Stack::start(fresh("bill-api-wallet").only(&[Part::MariaDb, Part::Redis]))?;
    let table = include_str!("../../migrations/bills/0001_bill.sql");
    own.mariadb()?.sql(&format!("USE bills;\n{table}"))?;
    let deployment = Deployment::new(&own, "daemons")?;
    deployment.run_ok("wallet-api", &["migrate"])?;
    let (_wallet, _bills) = (deployment.wallet_api()?, deployment.bill_api()?);
    let admin = format!("{}/admin/v1/merchants", deployment.wallet_url());
    let http = reqwest::Client::builder().no_proxy().build()?;
    let staff = async |request: reqwest::RequestBuilder, status: u16| {
        let response = request.bearer_auth(&own.secrets().wallet_admin_token).send().await?;
        let (got, body) = (response.status().as_u16(), response.text().await?);
        ensure!(got == status, "wanted {status}: {got} {body}");
        anyhow::Ok(body)
    };
    let merchant = json!({ "name": "小店", "currency": "CNY", "time_zone": "Asia/Shanghai" });
    let merchant: Value = serde_json::from_str(&staff(http.post(&admin).json(&merchant), 201).await?)?;
    let apps = format!("{admin}/{}/apps", merchant["merchant_id"].as_str().unwrap());
    let app: Value =
        serde_json::from_str(&staff(http.post(&apps).json(&json!({ "name": "till" })), 201).await?)?;
    let text = |name: &str| app[name].as_str().unwrap().to_owned();
    let signer = signer::App {
        app_id: text("app_id"),
        key_id: text("key_id"),
        secret: STANDARD.decode(text("secret"))?,
    };

    let client = BillClient::new(deployment.bill_url())?;
    assert_eq!(client.ok(&signer, "/v1/bills").await?["items"], json!([]));
    let summary = client.ok(&signer, "/v1/bills/summary?month=2026-11").await?;
    assert_eq!(
        (&summary["time_zone"], &summary["totals"][0]["currency"]),
        (&"Asia/Shanghai".into(), &"CNY".into())
    );
    let account = merchant["accounts"][0]["account_id"].as_str().unwrap();
    client.ok(&signer, &format!("/v1/bills?account_id={account}")).await?;

    let key = format!("{apps}/{}/keys/{}", signer.app_id, signer.key_id);
    staff(http.delete(&key), 204).await?;
    wait_until_async("the key to be refused", Duration::from_secs(1), async || {
        match client.get(&signer, "/v1/bills").await {
            Ok(answer) if answer.status == 401 => Ok(()),
            Ok(answer) => Err(Not::Yet(answer.status.to_string())),
            Err(error) => Err(Not::Ever(error)),
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_wallet_api_grants_run_out_and_then_it_is_a_retryable_503() -> Result<()> {
    let mut world = world().await?;
    let app = world.desk.merchant(81, &[81], "UTC", Duration::from_secs(4));
    world.ok(&app, "/v1/bills").await?;
    // only the listener closes: connections that bill-api holds are cut by the desk's shutdown
    world.desk = desk::Desk::open(0, "unused").await?;
    wait_until_async("the grant to run out", Duration::from_secs(40), async || {
        match world.get(&app, "/v1/bills").await {
            Ok(answer) if answer.status == 503 => {
                assert_eq!(answer.body["code"], "authentication_unavailable");
                assert!(answer.body["retryable"] == true && answer.headers.contains_key("retry-after"));
                Ok(())
            }
            Ok(answer) if answer.status == 200 => Err(Not::Yet("still 200".to_owned())),
            Ok(answer) => Err(Not::Ever(anyhow::anyhow!("{answer:?}"))),
            Err(error) => Err(Not::Ever(error)),
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_bills_are_still_answered_and_a_replay_still_refused() -> Result<()> {
    let mut own = Stack::start(fresh("bill-api-redis").only(&[Part::Redis]))?;
    let redis = own.redis()?.url(0);
    let world = World::new(stack()?, |file| file.set_text("redis", "url", &redis)).await?;
    let app = world.desk.merchant(91, &[91], "UTC", LONG);
    let target = "/v1/bills";
    let before = Authorization::fresh().header(&app, "GET", target);
    assert_eq!(world.get_with(target, Some(&before)).await?.status, 200);
    own.redis_mut()?.kill_9()?;
    let during = Authorization::fresh().header(&app, "GET", target);
    assert_eq!(world.get_with(target, Some(&during)).await?.status, 200);
    for replayed in [&before, &during] {
        let answer = world.get_with(target, Some(replayed)).await?;
        assert_eq!(
            (answer.status, &answer.body["code"]),
            (401, &"signature_nonce_reused".into()),
            "{answer:?}"
        );
    }
    world.desk.revoke(&app);
    wait_until_async("the key to be refused without redis", Duration::from_secs(2), async || {
        match world.get(&app, target).await {
            Ok(answer) if answer.status == 401 => Ok(()),
            Ok(answer) => Err(Not::Yet(answer.status.to_string())),
            Err(error) => Err(Not::Ever(error)),
        }
    })
    .await?;
    own.redis_mut()?.start_again()?;
    let other = world.desk.merchant(92, &[92], "UTC", LONG);
    world.ok(&other, target).await?;
    let answer = world.get_with(target, Some(&before)).await?;
    assert_eq!(answer.status, 401, "a used nonce stays used over a restart of redis: {answer:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_redis_is_no_outage_and_a_revoked_key_is_still_refused() -> Result<()> {
    let own = Stack::start(fresh("bill-api-frozen").only(&[Part::Redis]))?;
    let redis = own.redis()?.url(0);
    let world = World::new(stack()?, |file| file.set_text("redis", "url", &redis)).await?;
    let app = world.desk.merchant(93, &[93], "UTC", LONG);
    world.ok(&app, "/v1/bills").await?;
    own.redis()?.pause()?;
    let replayed = Authorization::fresh().header(&app, "GET", "/v1/bills");
    for status in [200, 401] {
        assert_eq!(world.get_with("/v1/bills", Some(&replayed)).await?.status, status);
    }
    for _ in 0..50 {
        world.ok(&app, "/v1/bills").await?;
    }
    world.desk.revoke(&app);
    wait_until_async("the key to be refused with redis frozen", Duration::from_secs(5), async || match world
        .get(&app, "/v1/bills")
        .await
    {
        Ok(answer) if answer.status == 401 => Ok(()),
        Ok(answer) => Err(Not::Yet(answer.status.to_string())),
        Err(error) => Err(Not::Ever(error)),
    })
    .await?;
    own.redis()?.resume()
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_names_a_missing_table_and_sigterm_ends_with_0() -> Result<()> {
    let stack = stack()?;
    let database = unique("bills");
    stack.mariadb()?.create_database(&database)?;
    let deployment =
        Deployment::edited(stack, &database, |file| file.set_text("store", "database", &database))?;
    let mut daemon = deployment.daemon_unready("bill-api", &["run"])?;
    let url = format!("{}/readyz", daemon.admin_url());
    wait_until_async("readiness to name the table", Duration::from_secs(20), async || {
        let answer = reqwest::get(&url).await.map_err(Not::yet)?;
        let (status, text) = (answer.status().as_u16(), answer.text().await.map_err(Not::yet)?);
        if status == 503 && text.contains("run `sync-worker migrate`") { Ok(()) } else { Err(Not::Yet(text)) }
    })
    .await?;
    let table = include_str!("../../migrations/bills/0001_bill.sql");
    stack.mariadb()?.sql(&format!("USE {database};\n{table}"))?;
    daemon.wait_ready()?;
    assert_eq!(daemon.stop()?.code(), Some(0), "{}", daemon.log()?);
    Ok(())
}
