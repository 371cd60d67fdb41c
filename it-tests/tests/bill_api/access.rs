//! Who is let in: signatures, nonces, rates, and revoked keys.

use std::time::Duration;

use anyhow::{Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use it_tests::harness::{Deployment, Not, Part, Stack, wait_until_async};
use it_tests::workload::{App, Stamp};
use serde_json::{Value, json};

use super::world::{BillClient, LONG, World};
use super::{refused_within, world};
use crate::shared::{fresh, stack};

#[tokio::test(flavor = "multi_thread")]
async fn only_a_request_signed_right_is_answered_and_each_nonce_once() -> Result<()> {
    let world = world().await?;
    let app = world.desk.merchant(1, &[31], "UTC", LONG);
    let target = "/v1/bills?limit=5";
    let good = app.authorization("GET", target, "");
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
    let other_secret = App { secret: b"another".to_vec(), ..app.clone() };
    check(Some(&other_secret.authorization("GET", target, "")), "signature_mismatch").await?;
    check(Some(&app.authorization("POST", target, "")), "signature_mismatch").await?;
    check(Some(&app.authorization("GET", "/v1/bills?limit=6", "")), "signature_mismatch").await?;
    let unknown = App { key_id: "key_none".to_owned(), ..app.clone() };
    check(Some(&unknown.authorization("GET", target, "")), "signature_key_refused").await?;
    let now: i64 = Stamp::fresh().timestamp.parse()?;
    for away in [-302, 302] {
        let stale = Stamp { timestamp: (now + away).to_string(), ..Stamp::fresh() };
        check(Some(&app.sign(&stale, "GET", target, "")), "signature_timestamp_outside_window").await?;
    }
    for spelling in ["", "now", "+1", "99999999999999999999"] {
        let odd = Stamp { timestamp: spelling.to_owned(), ..Stamp::fresh() };
        check(Some(&app.sign(&odd, "GET", target, "")), "signature_parameter_invalid").await?;
    }
    // the same bytes once, and never again
    let answer = world.get_with(target, Some(&good)).await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.headers.contains_key("ratelimit") && answer.headers.contains_key("ratelimit-policy"));
    check(Some(&good), "signature_nonce_reused").await
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
    refused_within(&world, &app, Duration::from_secs(1)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_given_just_before_a_revocation_does_not_outlive_it() -> Result<()> {
    let world = world().await?;
    let app = world.desk.merchant(72, &[72], "UTC", LONG);
    let name = format!("grant:{}:{}", app.app_id, app.key_id);
    let mut redis = redis::Client::open(stack()?.redis()?.url(0))?.get_multiplexed_async_connection().await?;
    let held = world.desk.hold_answers().await;
    let late = world.get(&app, "/v1/bills");
    let revocation = async {
        wait_until_async("the desk to decide", Duration::from_secs(5), async || match world.desk.calls() {
            0 => Err(Not::Yet("no call".to_owned())),
            _ => Ok(()),
        })
        .await?;
        // as wallet-api does it: the key first, then the cached grant; only then the old answer arrives
        world.desk.revoke(&app);
        let _: u8 = redis::cmd("DEL").arg(&name).query_async(&mut redis).await?;
        drop(held);
        anyhow::Ok(())
    };
    let (late, revoked) = tokio::join!(late, revocation);
    revoked?;
    assert_eq!(late?.status, 200, "this request began before the revocation");
    let kept: Option<String> = redis::cmd("GET").arg(&name).query_async(&mut redis).await?;
    assert_eq!(kept, None, "the old grant must not enter the cache");
    refused_within(&world, &app, Duration::from_secs(1)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_of_the_real_wallet_api_reads_until_its_key_is_revoked() -> Result<()> {
    let own = Stack::start(fresh("bill-api-wallet").only(&[Part::MariaDb, Part::Redis]))?;
    let table = include_str!("../../../migrations/bills/0001_bill.sql");
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
    let signer = App {
        merchant_id: merchant["merchant_id"].as_str().unwrap().to_owned(),
        name: "小店".to_owned(),
        account_id: merchant["accounts"][0]["account_id"].as_str().unwrap().parse()?,
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
    client.ok(&signer, &format!("/v1/bills?account_id={}", signer.account_id)).await?;

    let key = format!("{apps}/{}/keys/{}", signer.app_id, signer.key_id);
    staff(http.delete(&key), 204).await?;
    refused_within(&client, &signer, Duration::from_secs(1)).await
}
