//! A stranger in the database who locks what payments need: deadlocks, lock waits, and keys that are at work.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use it_tests::harness::{Not, wait_until_async};
use it_tests::workload::App;
use sqlx::{MySql, Transaction};

use super::books::must_balance;
use super::world::World;
use crate::shared::unique;

async fn lock_account(stranger: &mut Transaction<'_, MySql>, account_id: u64) -> Result<()> {
    let locked = sqlx::query("SELECT balance FROM account WHERE account_id = ? FOR UPDATE");
    locked.bind(account_id).fetch_one(&mut **stranger).await?;
    Ok(())
}

/// Waits until so many transactions wait for a row lock. The server refreshes what it tells about them only every
/// 100 ms, so a round begins with seeing none.
async fn lock_waits(world: &World, wanted: i64) -> Result<()> {
    wait_until_async("transactions to wait for a lock", Duration::from_secs(10), async || {
        let waiting: i64 = sqlx::query_scalar(
            "SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'",
        )
        .fetch_one(&world.ledger)
        .await
        .map_err(Not::yet)?;
        if waiting == wanted { Ok(()) } else { Err(Not::yet(format!("{waiting} wait, and {wanted} should"))) }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadlock_is_tried_again_and_nobody_hears_of_it() -> Result<()> {
    let world = World::on_fresh("wallet_deadlock").await?;
    let (first, second) = (world.merchant_holding(1_000).await?, world.merchant_holding(1_000).await?);
    sqlx::query("CREATE TABLE ballast (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY)")
        .execute(&world.ledger)
        .await?;
    for round in 0..5 {
        lock_waits(&world, 0).await?;
        let mut stranger = world.ledger.begin().await?;
        // the server undoes the transaction that has changed less: that is to be the payment
        for _ in 0..50 {
            sqlx::query("INSERT INTO ballast VALUES ()").execute(&mut *stranger).await?;
        }
        lock_account(&mut stranger, second.account_id).await?;
        let key = unique("k");
        let payment = world.pay(&first, &second, 10, &key);
        let cross = async {
            lock_waits(&world, 1).await?;
            // the payment holds the first account and waits for the second: this closes the circle
            lock_account(&mut stranger, first.account_id).await?;
            stranger.rollback().await?;
            anyhow::Ok(())
        };
        let (answer, crossed) = tokio::join!(payment, cross);
        crossed.with_context(|| format!("the stranger was undone in round {round}, and not the payment"))?;
        let answer = answer?;
        ensure!(answer.status == 201 && !answer.replayed(), "{answer:?}");
    }
    let retries = world.daemon.metric("wallet_ledger_retries_total")?.unwrap_or_default();
    println!("5 deadlocks, {retries} retries");
    ensure!(retries >= 5.0, "{retries} retries");
    assert_eq!((world.balance(&first).await?, world.balance(&second).await?), (950, 1_050));
    must_balance(&world.ledger).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_locked_for_too_long_is_a_retryable_503_and_never_insufficient_funds() -> Result<()> {
    let world = World::on_fresh("wallet_lock_wait").await?;
    let (payer, payee): (App, App) = (world.merchant_holding(1_000).await?, world.merchant("CNY").await?);
    let key = unique("k");
    let mut stranger = world.ledger.begin().await?;
    lock_account(&mut stranger, payer.account_id).await?;
    let answer = world.pay(&payer, &payee, 10, &key).await?;
    assert_eq!((answer.status, answer.code()), (503, "ledger_busy"));
    ensure!(answer.body["retryable"] == true && answer.headers.contains_key("retry-after"), "{answer:?}");
    stranger.rollback().await?;
    let answer = world.pay(&payer, &payee, 10, &key).await?;
    ensure!(answer.status == 201 && !answer.replayed(), "{answer:?}");

    // a key that another process is at work under: wait a little, then say so
    let mut stranger = world.ledger.begin().await?;
    sqlx::query(
        "INSERT INTO idempotency VALUES (?, 'at-work', REPEAT('x', 32), NULL, 0, '', UTC_TIMESTAMP(6))",
    )
    .bind(payer.merchant_id.parse::<u64>()?)
    .execute(&mut *stranger)
    .await?;
    let answer = world.pay(&payer, &payee, 10, "at-work").await?;
    assert_eq!((answer.status, answer.code()), (409, "idempotency_in_flight"));
    ensure!(answer.body["retryable"] == true && answer.headers.contains_key("retry-after"), "{answer:?}");
    // it came to nothing: the next one does the work
    stranger.rollback().await?;
    let answer = world.pay(&payer, &payee, 10, "at-work").await?;
    ensure!(answer.status == 201 && !answer.replayed(), "{answer:?}");
    assert_eq!(world.balance(&payer).await?, 980);
    must_balance(&world.ledger).await
}
