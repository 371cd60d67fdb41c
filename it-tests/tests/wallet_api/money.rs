//! Money under concurrency: asserted on rows and balances, not only on answers.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use futures::future::{join_all, try_join_all};
use it_tests::harness::Service;
use it_tests::workload::App;
use serde_json::json;

use super::books::{journals_of, must_balance};
use super::world::{Answer, World};
use crate::shared::unique;

fn count(answers: &[Answer]) -> HashMap<(u16, &str), usize> {
    let mut counts = HashMap::new();
    for answer in answers {
        let code = if answer.status < 400 { "ok" } else { answer.code() };
        *counts.entry((answer.status, code)).or_default() += 1;
    }
    counts
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_parallel_requests_with_one_key_and_body_post_one_journal() -> Result<()> {
    let world = World::new().await?;
    let (app, other) = (world.merchant("CNY").await?, world.merchant("CNY").await?);
    let answers = try_join_all((0..50).map(|_| world.collect(&app, 12_345, "same-key"))).await?;
    println!("answers: {:?}", count(&answers));
    ensure!(answers.iter().all(|answer| answer.status == 201 && answer.text == answers[0].text));
    ensure!(answers.iter().filter(|answer| !answer.replayed()).count() == 1, "exactly one is not a replay");
    assert_eq!(journals_of(&world.ledger, &app.merchant_id).await?, 1);
    assert_eq!(world.balance(&app).await?, 12_345 - 74);

    // the key in quotes is the same key; anything else about the request makes it another one
    ensure!(world.collect(&app, 12_345, "\"same-key\"").await?.replayed());
    let other_amount = world.collect(&app, 12_346, "same-key").await?;
    let other_route = world.pay(&app, &other, 12_345, "same-key").await?;
    let respelt = world
        .post_text(
            &app,
            "/v1/collections",
            "same-key",
            r#"{"amount":12345, "currency":"CNY","channel":"card","payer_name":"Ada","channel_ref":"c-1"}"#
                .to_owned(),
        )
        .await?;
    for answer in [other_amount, other_route, respelt] {
        assert_eq!((answer.status, answer.code()), (422, "idempotency_mismatch"), "{answer:?}");
    }
    // another merchant's key of the same name is another key
    let theirs = world.collect(&other, 12_345, "same-key").await?;
    ensure!(
        theirs.status == 201 && !theirs.replayed() && theirs.body["order_id"] != answers[0].body["order_id"]
    );
    assert_eq!(journals_of(&world.ledger, &app.merchant_id).await?, 1);
    let replays = world.daemon.metric("wallet_idempotency_replays_total")?.unwrap_or_default();
    ensure!(replays >= 50.0, "{replays} replays counted");
    must_balance(&world.ledger).await
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_refunds_never_exceed_what_was_paid() -> Result<()> {
    let world = World::new().await?;
    let (payer, payee) = (world.merchant_holding(100_000).await?, world.merchant_holding(50_000).await?);
    // the payee holds more than each payment, so only the refund rule can stop a refund too many
    for (amount, part, fit, status) in [(1_000, 1_000, 1, "refunded"), (1_000, 300, 3, "partially_refunded")]
    {
        let paid = world.pay(&payer, &payee, amount, &unique("k")).await?;
        let order_id = paid.body["order_id"].as_str().unwrap().to_owned();
        let keys: Vec<_> = (0..20).map(|_| unique("k")).collect();
        let answers = try_join_all(keys.iter().map(|key| world.refund(&payee, &order_id, part, key))).await?;
        let counts = count(&answers);
        println!("20 refunds of {part} of {amount}: {counts:?}");
        assert_eq!(counts, HashMap::from([((201, "ok"), fit), ((422, "refund_exceeds_paid"), 20 - fit)]));
        let order = world.get(&payer, &format!("/v1/orders/{order_id}")).await?;
        let refunded = part * i64::try_from(fit)?;
        assert_eq!(
            (&order.body["refunded_amount"], &order.body["status"]),
            (&refunded.into(), &status.into())
        );
    }
    assert_eq!(world.balance(&payer).await?, 100_000 - 2_000 + 1_000 + 900);

    // the payer cannot take back, a refund is not refunded, a stranger does not learn that the order exists
    let paid = world.pay(&payer, &payee, 500, &unique("k")).await?;
    let order_id = paid.body["order_id"].as_str().unwrap();
    let taken = world.refund(&payer, order_id, 1, &unique("k")).await?;
    assert_eq!((taken.status, taken.code()), (403, "refund_not_by_payee"));
    let stranger = world.merchant("CNY").await?;
    let foreign = world.refund(&stranger, order_id, 1, &unique("k")).await?;
    assert_eq!((foreign.status, foreign.code()), (404, "order_not_found"));
    let back = world.refund(&payee, order_id, 500, &unique("k")).await?;
    let again = world.refund(&payer, back.body["order_id"].as_str().unwrap(), 1, &unique("k")).await?;
    assert_eq!((again.status, again.code()), (422, "order_not_refundable"));

    // a collection goes back to the institution; its fee stays
    let collected = world.collect(&stranger, 10_000, &unique("k")).await?;
    let collected = collected.body["order_id"].as_str().unwrap();
    let all = world.refund(&stranger, collected, 10_000, &unique("k")).await?;
    assert_eq!((all.status, all.code()), (422, "insufficient_funds"));
    assert_eq!(world.refund(&stranger, collected, 9_940, &unique("k")).await?.status, 201);
    assert_eq!(world.balance(&stranger).await?, 0);
    must_balance(&world.ledger).await
}

#[tokio::test(flavor = "multi_thread")]
async fn payments_both_ways_and_in_rings_conserve_money_and_show_nobody_a_deadlock() -> Result<()> {
    const WORKERS: usize = 32;
    let world = World::new().await?;
    let apps: Vec<App> = try_join_all((0..4).map(|_| world.merchant_holding(50_000))).await?;
    let ends = Instant::now() + Duration::from_secs(8);
    let workers = (0..WORKERS).map(|worker| {
        let (world, apps) = (&world, &apps);
        async move {
            let mut answers = Vec::new();
            while Instant::now() < ends {
                let step = worker + answers.len();
                let (payer, payee) = match worker % 4 {
                    0 => (&apps[0], &apps[1]),
                    1 => (&apps[1], &apps[0]),
                    2 => (&apps[step % 4], &apps[(step + 1) % 4]),
                    _ => (&apps[(step + 1) % 4], &apps[step % 4]),
                };
                let amount = 1 + i64::try_from(step % 97)?;
                answers.push(world.pay(payer, payee, amount, &unique("k")).await?);
            }
            anyhow::Ok(answers)
        }
    });
    let answers: Vec<Answer> = try_join_all(workers).await?.into_iter().flatten().collect();
    let counts = count(&answers);
    println!("{} payments among 4 merchants in 8 s: {counts:?}", answers.len());
    println!("ledger retries: {:?}", world.daemon.metric("wallet_ledger_retries_total"));
    ensure!(
        counts.keys().all(|outcome| [(201, "ok"), (422, "insufficient_funds")].contains(outcome)),
        "{counts:?}"
    );
    let balances = try_join_all(apps.iter().map(|app| world.balance(app))).await?;
    assert_eq!(balances.iter().sum::<i64>(), 200_000, "{balances:?}");
    must_balance(&world.ledger).await
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_payments_that_one_balance_cannot_both_cover_exactly_one_wins() -> Result<()> {
    let world = World::new().await?;
    let (payer, payee) = (world.merchant("CNY").await?, world.merchant("CNY").await?);
    for round in 0..50 {
        let before = world.balance(&payer).await?;
        // 101 with a fee of 1 leaves 100
        for _ in 0..(100 - before + 99) / 100 {
            ensure!(world.collect(&payer, 101, &unique("k")).await?.status == 201);
        }
        let held = world.balance(&payer).await?;
        let amount = held * 4 / 5;
        let keys = [unique("k"), unique("k")];
        let answers = join_all(keys.iter().map(|key| world.pay(&payer, &payee, amount, key))).await;
        let mut statuses =
            answers.into_iter().map(|answer| answer.map(|it| it.status)).collect::<Result<Vec<_>>>()?;
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 422], "round {round}");
        assert_eq!(world.balance(&payer).await?, held - amount, "round {round}");
    }
    must_balance(&world.ledger).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_stays_under_its_key_and_an_invalid_request_does_not() -> Result<()> {
    let world = World::new().await?;
    let (payer, payee) = (world.merchant("CNY").await?, world.merchant("CNY").await?);
    let refused = world.pay(&payer, &payee, 100, "poor").await?;
    assert_eq!((refused.status, refused.code(), refused.replayed()), (422, "insufficient_funds", false));
    ensure!(world.collect(&payer, 10_000, &unique("k")).await?.status == 201);
    let again = world.pay(&payer, &payee, 100, "poor").await?;
    ensure!(again.replayed() && again.text == refused.text, "{again:?}");
    assert_eq!(world.pay(&payer, &payee, 100, "rich").await?.status, 201);

    let invalid = world.pay(&payer, &payee, 0, "fixed").await?;
    assert_eq!((invalid.status, invalid.code()), (400, "body_invalid"));
    assert_eq!(world.pay(&payer, &payee, 1, "fixed").await?.status, 201);

    let dollars = world.merchant("USD").await?;
    let body = json!({ "payee_merchant_id": dollars.merchant_id, "amount": 1, "currency": "CNY" });
    let answer = world.post(&payer, "/v1/payments", &unique("k"), &body).await?;
    assert_eq!((answer.status, answer.code()), (422, "payee_currency_mismatch"));
    let body = json!({ "payee_merchant_id": dollars.merchant_id, "amount": 1, "currency": "USD" });
    let answer = world.post(&payer, "/v1/payments", &unique("k"), &body).await?;
    assert_eq!((answer.status, answer.code()), (422, "currency_mismatch"));
    let body = json!({ "payee_merchant_id": "18446744073709551615", "amount": 1, "currency": "CNY" });
    let answer = world.post(&payer, "/v1/payments", &unique("k"), &body).await?;
    assert_eq!((answer.status, answer.code()), (422, "payee_not_found"));
    must_balance(&world.ledger).await
}

#[tokio::test(flavor = "multi_thread")]
async fn after_kill_9_every_retried_key_has_posted_exactly_once() -> Result<()> {
    let mut world = World::new().await?;
    let app = world.merchant("CNY").await?;
    let keys: Vec<String> = (0..200).map(|_| unique("k")).collect();
    let (mut answered, mut cut) = (0, 0);
    for (round, keys) in keys.chunks(50).enumerate() {
        // kill while answers are under way: later in each round, so that different points are met
        let requests = keys.iter().map(|key| world.collect(&app, 1_000, key));
        let killed_after = Duration::from_millis(40 * (u64::try_from(round)? + 1));
        let identity = world.daemon.process().identity();
        let kill = async {
            tokio::time::timeout(killed_after, std::future::pending::<()>()).await.ok();
            tokio::task::spawn_blocking(move || identity.kill_group()).await?
        };
        let (answers, killed) = tokio::join!(join_all(requests), kill);
        killed?;
        answered += answers.iter().filter(|answer| answer.as_ref().is_ok_and(|it| it.status == 201)).count();
        cut += answers.iter().filter(|answer| answer.is_err()).count();
        world.daemon.start_again()?;
    }
    let posted = journals_of(&world.ledger, &app.merchant_id).await?;
    println!("{answered} answered and {cut} cut off by kill -9; {posted} posted before the retries");
    let mut orders = std::collections::HashSet::new();
    for answer in try_join_all(keys.iter().map(|key| world.collect(&app, 1_000, key))).await? {
        ensure!(answer.status == 201, "{answer:?}");
        ensure!(orders.insert(answer.body["order_id"].to_string()), "two keys, one order: {answer:?}");
    }
    assert_eq!(journals_of(&world.ledger, &app.merchant_id).await?, 200);
    assert_eq!(world.balance(&app).await?, 200 * 994);
    must_balance(&world.ledger).await
}
