//! Merchants, apps and keys: over HTTP for staff, over Thrift for the other services.

use std::time::Duration;

use anyhow::{Context, Result};
use it_tests::harness::{Not, wait_until_async};
use it_tests::workload::App;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use wallet_rpc::{Client, ClientSettings, Denial};

use super::world::{World, stack};
use crate::shared::unique;

async fn rpc(world: &World, token: &str) -> Result<Client> {
    let address = format!("127.0.0.1:{}", world.deployment.ports().wallet_rpc);
    Ok(Client::new(ClientSettings::new(address, SecretString::from(token))).await?)
}

fn key_path(app: &App) -> String {
    format!("/admin/v1/merchants/{}/apps/{}/keys/{}", app.merchant_id, app.app_id, app.key_id)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_says_what_an_app_may_do_and_only_to_a_service_with_the_token() -> Result<()> {
    let world = World::new().await?;
    let (app, other) = (world.merchant("JPY").await?, world.merchant("CNY").await?);
    let client = rpc(&world, &stack()?.secrets().wallet_rpc_token).await?;
    let grant = client.authenticate("r-1", &app.app_id, &app.key_id).await?;
    assert_eq!(grant.verification_key.expose_secret(), app.secret);
    assert_eq!(grant.merchant_id.to_string(), app.merchant_id);
    assert_eq!((grant.algorithm.as_str(), grant.time_zone.as_str()), ("HMAC-SHA256", "Asia/Shanghai"));
    assert_eq!(grant.scopes, ["bills:read", "funds:read", "funds:write"]);
    let account = grant.accounts.first().context("no account")?;
    assert_eq!((account.account_id.0, account.kind.as_str()), (app.account_id, "available"));
    assert_eq!(account.currency.code(), "JPY");

    for (app_id, key_id) in [(&app.app_id, "key_0"), (&other.app_id, app.key_id.as_str())] {
        let error = client.authenticate("r-2", app_id, key_id).await.unwrap_err();
        assert_eq!(error.denial(), Some(Denial::UnknownKey));
    }
    let error = rpc(&world, "wrong").await?.authenticate("r-3", &app.app_id, &app.key_id).await.unwrap_err();
    assert_eq!(error.denial(), Some(Denial::BadServiceToken));

    sqlx::query("UPDATE wallet.merchant SET status = 'suspended' WHERE merchant_id = ?")
        .bind(&app.merchant_id)
        .execute(&world.ledger)
        .await?;
    let error = client.authenticate("r-4", &app.app_id, &app.key_id).await.unwrap_err();
    assert_eq!(error.denial(), Some(Denial::MerchantSuspended));
    wait_until_async("the suspended merchant to be refused", Duration::from_secs(5), async || {
        let answer = world.get(&app, "/v1/accounts").await.map_err(Not::yet)?;
        if (answer.status, answer.code()) == (403, "merchant_not_active") {
            Ok(())
        } else {
            Err(Not::yet(answer.text))
        }
    })
    .await?;
    let paid = world.pay(&world.merchant_holding(100).await?, &app, 1, &unique("k")).await?;
    assert_eq!((paid.status, paid.code()), (422, "payee_not_found"), "a suspended merchant does not receive");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_is_refused_at_once_and_its_cached_grant_is_deleted() -> Result<()> {
    let world = World::new().await?;
    let (app, other) = (world.merchant("CNY").await?, world.merchant("CNY").await?);
    let redis = redis::Client::open(stack()?.redis()?.url(0))?;
    let mut redis = redis.get_multiplexed_async_connection().await?;
    let grant = format!("grant:{}:{}", app.app_id, app.key_id);
    let _: () = redis::cmd("SET").arg(&grant).arg("{}").query_async(&mut redis).await?;
    assert_eq!(world.get(&app, "/v1/accounts").await?.status, 200);

    let foreign = key_path(&app)
        .replace(&format!("/{}/apps/", app.merchant_id), &format!("/{}/apps/", other.merchant_id));
    let answer = world.staff("DELETE", &foreign, None).await?;
    assert_eq!((answer.status, answer.code()), (404, "key_not_found"));
    assert_eq!(world.get(&app, "/v1/accounts").await?.status, 200);

    for _ in 0..2 {
        assert_eq!(world.staff("DELETE", &key_path(&app), None).await?.status, 204);
    }
    let refused = world.get(&app, "/v1/accounts").await?;
    assert_eq!((refused.status, refused.code()), (401, "signature_key_refused"));
    let left: i64 = redis::cmd("EXISTS").arg(&grant).query_async(&mut redis).await?;
    assert_eq!(left, 0);
    // a grant that was on its way to Redis during the revocation is deleted too
    let _: () = redis::cmd("SET").arg(&grant).arg("{}").query_async(&mut redis).await?;
    wait_until_async("the late grant to be deleted", Duration::from_secs(5), async || {
        let left: i64 =
            redis::cmd("EXISTS").arg(&grant).query_async(&mut redis.clone()).await.map_err(Not::yet)?;
        if left == 0 { Ok(()) } else { Err("still there".into()) }
    })
    .await?;
    let client = rpc(&world, &stack()?.secrets().wallet_rpc_token).await?;
    let error = client.authenticate("r-1", &app.app_id, &app.key_id).await.unwrap_err();
    assert_eq!(error.denial(), Some(Denial::RevokedKey));
    let audit: Vec<String> =
        sqlx::query_scalar("SELECT action FROM wallet.audit WHERE merchant_id = ? ORDER BY audit_id")
            .bind(&app.merchant_id)
            .fetch_all(&world.ledger)
            .await?;
    assert_eq!(audit, ["merchant_created", "app_created", "key_revoked"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_does_only_what_its_scopes_say_and_sees_only_its_own_orders() -> Result<()> {
    let world = World::new().await?;
    let reader = world.merchant_with("CNY", &json!({ "name": "books", "scopes": ["funds:read"] })).await?;
    assert_eq!(world.get(&reader, "/v1/accounts").await?.status, 200);
    let refused = world.collect(&reader, 100, &unique("k")).await?;
    assert_eq!((refused.status, refused.code()), (403, "scope_missing"));
    let biller = world.merchant_with("CNY", &json!({ "name": "bills", "scopes": ["bills:read"] })).await?;
    assert_eq!(world.get(&biller, "/v1/accounts").await?.code(), "scope_missing");
    let apps = format!("/admin/v1/merchants/{}/apps", biller.merchant_id);
    let answer = world.staff("POST", &apps, Some(&json!({ "name": "x", "scopes": ["funds:*"] }))).await?;
    assert_eq!((answer.status, &answer.body["errors"][0]["code"]), (400, &"not_a_scope".into()));

    let (payer, payee) = (world.merchant_holding(1_000).await?, world.merchant("CNY").await?);
    let paid = world.pay(&payer, &payee, 10, &unique("k")).await?;
    let order = format!("/v1/orders/{}", paid.body["order_id"].as_str().unwrap_or_default());
    let (as_payer, as_payee) = (world.get(&payer, &order).await?, world.get(&payee, &order).await?);
    assert_eq!((as_payer.status, as_payee.status), (200, 200));
    assert_eq!(as_payer.body["payer_account_id"], payer.account_id.to_string());
    assert!(as_payer.body["payee_account_id"].is_null(), "the other side's account stays theirs");
    assert_eq!(as_payee.body["payee_account_id"], payee.account_id.to_string());
    let stranger = world.merchant("CNY").await?;
    for target in [order.as_str(), "/v1/orders/18446744073709551615", "/v1/orders/1e3"] {
        let answer = world.get(&stranger, target).await?;
        assert_eq!((answer.status, answer.code()), (404, "order_not_found"), "{target}");
    }

    for (token, code) in [(None, "admin_token_missing"), (Some("Bearer wrong"), "admin_token_wrong")] {
        let headers: Vec<_> = token.map(|value| ("authorization", value)).into_iter().collect();
        let answer = world.send("POST", &apps, &headers, "{}".to_owned()).await?;
        assert_eq!((answer.status, answer.code()), (401, code));
    }
    Ok(())
}
