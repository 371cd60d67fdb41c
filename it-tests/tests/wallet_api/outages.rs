//! Parts that go away and come back, and clients that do.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use futures::future::try_join_all;
use it_tests::harness::{Not, Part, Service, Stack, wait_until_async};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::books::{journals_of, must_balance};
use super::world::{World, stack};
use crate::shared::{fresh, unique};

#[tokio::test(flavor = "multi_thread")]
async fn with_a_part_away_money_requests_are_503_and_the_same_key_goes_through_afterwards() -> Result<()> {
    let mut stack = Stack::start(fresh("wallet_outages").only(&[Part::MariaDb, Part::Redis]))?;
    let world = World::on(&stack).await?;
    let app = world.merchant("CNY").await?;
    let heals = async |key: &str| {
        wait_until_async("the same key to go through", Duration::from_secs(20), async || {
            let answer = world.collect(&app, 1_000, key).await.map_err(Not::yet)?;
            if answer.status == 201 { Ok(()) } else { Err(Not::yet(answer.text)) }
        })
        .await
    };

    stack.redis_mut()?.kill_9()?;
    let answer = world.collect(&app, 1_000, "over-redis").await?;
    assert_eq!((answer.status, answer.code()), (503, "replay_guard_unavailable"), "{answer:?}");
    ensure!(answer.body["retryable"] == true && answer.headers.contains_key("retry-after"), "{answer:?}");
    stack.redis_mut()?.start_again()?;
    heals("over-redis").await?;

    stack.mariadb_mut()?.kill_9()?;
    let answer = world.collect(&app, 1_000, "over-mariadb").await?;
    ensure!(answer.status == 503 && answer.body["retryable"] == true, "{answer:?}");
    stack.mariadb_mut()?.start_again()?;
    heals("over-mariadb").await?;
    heals("over-mariadb").await?;
    assert_eq!(world.balance(&app).await?, 2 * 994);
    must_balance(&world.ledger).await
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_hang_up_leave_no_lock_and_no_sick_connection_behind() -> Result<()> {
    let world = World::new().await?;
    let app = world.merchant("CNY").await?;
    let body =
        json!({ "amount": 1_000, "currency": "CNY", "channel": "card", "payer_name": "Ada" }).to_string();
    let address = world.deployment.wallet_url().replace("http://", "");
    for round in 0..200 {
        let authorization = app.authorization("POST", "/v1/collections", &body);
        let request = format!(
            "POST /v1/collections HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\nauthorization: {authorization}\r\n\
             idempotency-key: hang-{round}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut stream = TcpStream::connect(&address).await?;
        stream.write_all(request.as_bytes()).await?;
        // some hang up at once, others while the ledger is at work
        for _ in 0..round % 20 {
            tokio::task::yield_now().await;
        }
    }
    let started = Instant::now();
    let answer = world.collect(&app, 1_000, &unique("k")).await?;
    println!("a request after 200 hang-ups took {:?}", started.elapsed());
    ensure!(answer.status == 201 && started.elapsed() < Duration::from_secs(5), "{answer:?}");
    // whatever had begun has ended, one way or the other, and can be asked for
    for round in [0, 7, 199] {
        let key = format!("hang-{round}");
        wait_until_async("an answer under a hung-up key", Duration::from_secs(10), async || {
            let answer =
                world.post_text(&app, "/v1/collections", &key, body.clone()).await.map_err(Not::yet)?;
            if answer.status == 201 { Ok(()) } else { Err(Not::yet(answer.text)) }
        })
        .await?;
    }
    must_balance(&world.ledger).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_for_a_client_that_has_gone_is_counted_as_done() -> Result<()> {
    let world = World::new().await?;
    let app = world.merchant("CNY").await?;
    let mut stranger = world.ledger.begin().await?;
    sqlx::query("SELECT balance FROM account WHERE account_id = ? FOR UPDATE")
        .bind(app.account_id)
        .fetch_one(&mut *stranger)
        .await?;
    let body =
        json!({ "amount": 1_000, "currency": "CNY", "channel": "card", "payer_name": "Ada" }).to_string();
    let address = world.deployment.wallet_url().replace("http://", "");
    let request = format!(
        "POST /v1/collections HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\nauthorization: {}\r\n\
         idempotency-key: gone\r\ncontent-length: {}\r\n\r\n{body}",
        app.authorization("POST", "/v1/collections", &body),
        body.len()
    );
    let mut stream = TcpStream::connect(&address).await?;
    stream.write_all(request.as_bytes()).await?;
    wait_until_async("the order to be at work", Duration::from_secs(5), async || {
        let mut watcher = world.ledger.acquire().await.map_err(Not::yet)?;
        // for the next statement alone: the claim is not committed
        let look = sqlx::query("SET TRANSACTION ISOLATION LEVEL READ UNCOMMITTED").execute(&mut *watcher);
        look.await.map_err(Not::yet)?;
        let claimed = sqlx::query_scalar::<_, i64>("SELECT COUNT(*) FROM idempotency WHERE merchant_id = ?");
        match claimed.bind(&app.merchant_id).fetch_one(&mut *watcher).await {
            Ok(1) => Ok(()),
            Ok(claimed) => Err(Not::yet(claimed)),
            Err(error) => Err(Not::Ever(error.into())),
        }
    })
    .await?;
    drop(stream);
    // a whole request later the service knows that its client has gone
    world.get(&app, "/v1/accounts").await?;
    stranger.rollback().await?;
    wait_until_async("the order to be counted", Duration::from_secs(5), async || {
        let metrics = world.daemon.metrics().map_err(Not::yet)?;
        let counted = metrics.contains("wallet_orders_total{kind=\"collect\",outcome=\"done\"} 1");
        let journals = journals_of(&world.ledger, &app.merchant_id).await.map_err(Not::Ever)?;
        if counted { Ok(()) } else { Err(Not::yet(format!("{journals} journals, not counted"))) }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_connections_serve_many_payments_at_once() -> Result<()> {
    let world = World::with_connections(stack()?, 2).await?;
    let payers = try_join_all((0..20).map(|_| world.merchant_holding(100))).await?;
    let payees = try_join_all((0..20).map(|_| world.merchant("CNY"))).await?;
    let started = Instant::now();
    let keys: Vec<_> = (0..20).map(|_| unique("k")).collect();
    let payments = payers.iter().zip(&payees).zip(&keys);
    let answers = try_join_all(payments.map(|((payer, payee), key)| world.pay(payer, payee, 1, key))).await?;
    println!("20 payments over 2 connections took {:?}", started.elapsed());
    // a payment that took a second connection inside its transaction would wait for one until it timed out
    ensure!(answers.iter().all(|answer| answer.status == 201), "{answers:?}");
    ensure!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    must_balance(&world.ledger).await
}
