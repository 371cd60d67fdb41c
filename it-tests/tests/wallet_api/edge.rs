//! What is refused before money is thought of: signatures, bodies, paths. None of it may have an effect.

use anyhow::Result;
use it_tests::workload::Stamp;
use serde_json::{Value, json};

use super::books::journals_of;
use super::world::World;
use crate::shared::unique;

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_wrong_with_a_signature_is_401_with_its_code_and_without_effect() -> Result<()> {
    let world = World::new().await?;
    let (app, other) = (world.merchant("CNY").await?, world.merchant("CNY").await?);
    let target = "/v1/collections";
    let body =
        json!({ "amount": 100, "currency": "CNY", "channel": "card", "payer_name": "Ada" }).to_string();
    let header = |stamp: &Stamp| app.sign(stamp, "POST", target, &body);
    let now: u64 = Stamp::fresh().timestamp.parse()?;
    let at = |timestamp: String| header(&Stamp { timestamp, ..Stamp::fresh() });
    let good = header(&Stamp::fresh());
    let foreign_key = other.authorization("POST", target, &body).replace(&other.app_id, &app.app_id);
    let mut wrong_secret = app.clone();
    wrong_secret.secret[0] ^= 1;

    let spoilt = [
        (None, "signature_missing"),
        (Some(good.replace("DATABUS-HMAC-SHA256", "Bearer")), "signature_scheme_unsupported"),
        (Some(good.replace("nonce=", "nonse=")), "signature_parameter_unknown"),
        (Some(good.replace(&format!("key_id=\"{}\",", app.key_id), "")), "signature_parameter_missing"),
        (Some(at((now - 301).to_string())), "signature_timestamp_outside_window"),
        (Some(at((now + 302).to_string())), "signature_timestamp_outside_window"),
        (Some(at("yesterday".to_owned())), "signature_parameter_invalid"),
        (Some(at("99999999999999999999".to_owned())), "signature_parameter_invalid"),
        (Some(header(&Stamp { nonce: "short".to_owned(), ..Stamp::fresh() })), "signature_parameter_invalid"),
        (Some(good.replace(&app.key_id, "key_unknown")), "signature_key_refused"),
        (Some(good.replace(&app.app_id, "app_unknown")), "signature_key_refused"),
        (Some(foreign_key), "signature_key_refused"),
        (Some(wrong_secret.authorization("POST", target, &body)), "signature_mismatch"),
        (Some(app.authorization("PUT", target, &body)), "signature_mismatch"),
        (Some(app.authorization("POST", "/v1/payments", &body)), "signature_mismatch"),
        (Some(app.authorization("POST", target, &body.replace("100", "101"))), "signature_mismatch"),
    ];
    for (authorization, code) in spoilt {
        let key = unique("k");
        let mut headers = vec![("content-type", "application/json"), ("idempotency-key", key.as_str())];
        headers.extend(authorization.as_deref().map(|value| ("authorization", value)));
        let answer = world.send("POST", target, &headers, body.clone()).await?;
        assert_eq!((answer.status, answer.code()), (401, code), "{authorization:?}");
        assert_eq!(answer.headers["www-authenticate"], "DATABUS-HMAC-SHA256");
        assert!(!answer.headers.contains_key("ratelimit"), "no rate headers for strangers");
    }
    assert_eq!((journals_of(&world.ledger, &app.merchant_id).await?, world.balance(&app).await?), (0, 0));

    // the good one is good once: its nonce is used up even for another idempotency key
    for (key, status, code) in [
        ("first", 201, ""),
        ("first", 401, "signature_nonce_reused"),
        ("next", 401, "signature_nonce_reused"),
    ] {
        let headers = [
            ("authorization", good.as_str()),
            ("content-type", "application/json"),
            ("idempotency-key", key),
        ];
        let answer = world.send("POST", target, &headers, body.clone()).await?;
        assert_eq!(answer.status, status, "{answer:?}");
        if !code.is_empty() {
            assert_eq!(answer.code(), code);
        }
    }
    assert_eq!(journals_of(&world.ledger, &app.merchant_id).await?, 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_do_not_fit_are_named_exactly_and_change_nothing() -> Result<()> {
    let world = World::new().await?;
    let app = world.merchant("CNY").await?;
    let check = async |target: &str, body: &str, status: u16, code: &str, errors: Value| -> Result<()> {
        let answer = world.post_text(&app, target, &unique("k"), body.to_owned()).await?;
        assert_eq!((answer.status, answer.code()), (status, code), "{body}: {answer:?}");
        let found = answer.body.get("errors").cloned().unwrap_or(json!([]));
        assert_eq!(found, errors, "{body}");
        Ok(())
    };
    let one = |pointer: &str, code: &str| json!([{ "pointer": pointer, "code": code }]);
    let (collections, payments) = ("/v1/collections", "/v1/payments");
    let with =
        |amount: &str| format!(r#"{{"amount":{amount},"currency":"CNY","channel":"card","payer_name":"A"}}"#);
    for (amount, code) in [
        ("0", "out_of_range"),
        ("-1", "out_of_range"),
        ("9223372036854775807", "out_of_range"),
        ("1e3", "not_an_integer"),
        ("10.1", "not_an_integer"),
        ("\"10\"", "not_an_integer"),
    ] {
        check(collections, &with(amount), 400, "body_invalid", one("/amount", code)).await?;
    }
    check(
        collections,
        &with("1").replace("}", ",\"tip\":1}"),
        400,
        "body_invalid",
        one("/tip", "unknown_field"),
    )
    .await?;
    check(
        collections,
        &with("1").replace("CNY", "GBP"),
        400,
        "body_invalid",
        one("/currency", "not_supported"),
    )
    .await?;
    check(
        collections,
        &with("1").replace("card", "Card!"),
        400,
        "body_invalid",
        one("/channel", "not_a_channel"),
    )
    .await?;
    check(collections, "{", 400, "body_invalid", json!([])).await?;
    check(collections, "[]", 400, "body_invalid", json!([])).await?;
    check(collections, &with("1,\"amount\":2"), 400, "body_invalid", json!([])).await?;
    check(collections, &format!("{}{}", with("1"), " ".repeat(65_536)), 413, "body_too_large", json!([]))
        .await?;
    check("/v1/collections?dry=1", &with("1"), 400, "query_parameter_unknown", one("dry", "unknown")).await?;
    let to_self = json!({ "payee_merchant_id": app.merchant_id, "amount": 1, "currency": "CNY" }).to_string();
    check(payments, &to_self, 400, "body_invalid", one("/payee_merchant_id", "is_the_payer")).await?;
    check(
        payments,
        &to_self.replace(&format!("\"{}\"", app.merchant_id), &app.merchant_id),
        400,
        "body_invalid",
        one("/payee_merchant_id", "not_a_string"),
    )
    .await?;

    let body = with("1");
    let signed = || app.authorization("POST", collections, &body);
    let (json_type, text_type) = (("content-type", "application/json"), ("content-type", "text/plain"));
    for (headers, status, code) in [
        (vec![json_type], 400, "idempotency_key_missing"),
        (vec![json_type, ("idempotency-key", "a b")], 400, "idempotency_key_invalid"),
        (vec![json_type, ("idempotency-key", "a"), ("idempotency-key", "a")], 400, "idempotency_key_invalid"),
        (vec![text_type, ("idempotency-key", "a")], 415, "media_type_unsupported"),
        (vec![("idempotency-key", "a")], 415, "media_type_unsupported"),
    ] {
        let authorization = signed();
        let headers: Vec<_> =
            headers.into_iter().chain([("authorization", authorization.as_str())]).collect();
        let answer = world.send("POST", collections, &headers, body.clone()).await?;
        assert_eq!((answer.status, answer.code()), (status, code), "{headers:?}");
    }
    assert_eq!(world.send("PUT", collections, &[], String::new()).await?.status, 405);
    assert_eq!(world.send("GET", "/v1/nothing", &[], String::new()).await?.status, 404);
    assert_eq!((journals_of(&world.ledger, &app.merchant_id).await?, world.balance(&app).await?), (0, 0));

    let answer = world.send("GET", "/v1/accounts", &[("x-request-id", "mine-7")], String::new()).await?;
    assert_eq!(
        (&answer.headers["x-request-id"], &answer.body["request_id"]),
        (&"mine-7".parse()?, &"mine-7".into())
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_who_run_dry_are_429_and_an_app_behind_their_address_is_not() -> Result<()> {
    let world = World::new().await?;
    let app = world.merchant("CNY").await?;
    assert_eq!(world.get(&app, "/v1/accounts").await?.status, 200);
    let mut stranger = app.clone();
    stranger.key_id = "key_unknown".to_owned();
    let mut last = world.get(&stranger, "/v1/accounts").await?;
    assert_eq!((last.status, last.code()), (401, "signature_key_refused"));
    for _ in 0..500 {
        last = world.get(&stranger, "/v1/accounts").await?;
        if last.status != 401 {
            break;
        }
    }
    assert_eq!((last.status, last.code()), (429, "rate_limited"));
    assert!(last.headers.contains_key("retry-after") && !last.headers.contains_key("ratelimit"));
    assert_eq!(world.get(&app, "/v1/accounts").await?.status, 200);
    Ok(())
}
