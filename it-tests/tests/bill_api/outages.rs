//! What goes on while Redis, wallet-api or the table is not there.

use std::time::Duration;

use anyhow::Result;
use it_tests::harness::{Deployment, Not, Part, Service, Stack, wait_until_async};

use super::desk;
use super::world::{LONG, World};
use super::{refused_within, world};
use crate::shared::{fresh, stack, unique};

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
    let before = app.authorization("GET", target, "");
    assert_eq!(world.get_with(target, Some(&before)).await?.status, 200);
    own.redis_mut()?.kill_9()?;
    let during = app.authorization("GET", target, "");
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
    refused_within(&world, &app, Duration::from_secs(2)).await?;
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
    let replayed = app.authorization("GET", "/v1/bills", "");
    for status in [200, 401] {
        assert_eq!(world.get_with("/v1/bills", Some(&replayed)).await?.status, status);
    }
    for _ in 0..50 {
        world.ok(&app, "/v1/bills").await?;
    }
    world.desk.revoke(&app);
    refused_within(&world, &app, Duration::from_secs(5)).await?;
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
    let table = include_str!("../../../migrations/bills/0001_bill.sql");
    stack.mariadb()?.sql(&format!("USE {database};\n{table}"))?;
    daemon.wait_ready()?;
    assert_eq!(daemon.stop()?.code(), Some(0), "{}", daemon.log()?);
    Ok(())
}
