//! `POST /v1/collections`, `/v1/payments`, `/v1/refunds`: money moves, at most once per Idempotency-Key.

use std::sync::Arc;

use http::HeaderValue;
use service_kit::{
    Problem, RawRequest,
    flow::{Admitted, FlowControl, Route, with_flow_control},
    http::Routes,
    problem::PROBLEM_JSON,
};
use warp::{Filter, reply::Response};

use super::{
    Api,
    fields::Fields,
    reply::{no_query, raw_json, reply},
};
use crate::{
    auth::{App, SignedRequests},
    idempotency::{IdempotencyKey, KeyError, REPLAYED_HEADER, RequestDigest},
    merchants::Scope,
    orders::{Answer, Collection, Command, Payment, RefundRequest, Submission},
};

/// Reads a command out of a body.
type Read = fn(Fields, &App, &Api) -> Result<Command, Problem>;

pub(super) fn routes(flow: &Arc<FlowControl>, apps: &Arc<SignedRequests>, api: &Api) -> Routes {
    let route = |path: &'static str, name: &'static str, read: Read| {
        let api = api.clone();
        warp::path("v1")
            .and(warp::path(path))
            .and(warp::path::end())
            .and(warp::post())
            .and(with_flow_control(flow, Route::write(name), apps))
            .then(move |admitted| {
                let api = api.clone();
                async move { reply(submit(&api, admitted, read).await) }
            })
            .boxed()
    };
    route("collections", "collections.create", collection)
        .or(route("payments", "payments.create", payment))
        .unify()
        .or(route("refunds", "refunds.create", refund))
        .unify()
        .boxed()
}

async fn submit(api: &Api, admitted: Admitted<App>, read: Read) -> Result<Response, Problem> {
    let Admitted { caller, request } = admitted;
    caller.require(Scope::FundsWrite)?;
    no_query(&request)?;
    let key = idempotency_key(&request)?;
    let command = read(Fields::of(&request)?, &caller, api)?;
    let digest = RequestDigest::of(request.method.as_str(), &request.target(), &request.body);
    let submission = Submission { merchant: caller.merchant, key, digest, command };
    let answer = api.orders.submit(submission, &request.path).await?;
    Ok(response(answer))
}

fn response(answer: Answer) -> Response {
    let media_type = if answer.status.is_success() { "application/json" } else { PROBLEM_JSON };
    let mut response = raw_json(answer.status, answer.body, media_type);
    if answer.replayed {
        response.headers_mut().insert(REPLAYED_HEADER, HeaderValue::from_static("true"));
    }
    response
}

fn idempotency_key(request: &RawRequest) -> Result<IdempotencyKey, Problem> {
    IdempotencyKey::of(&request.headers).map_err(|error| {
        let (code, detail, reason) = match error {
            KeyError::Missing => (
                "idempotency_key_missing",
                "send an Idempotency-Key: a new one for every new request",
                "missing",
            ),
            KeyError::Repeated => {
                ("idempotency_key_invalid", "send one Idempotency-Key, not several", "repeated")
            }
            KeyError::Invalid => (
                "idempotency_key_invalid",
                "an Idempotency-Key has 1 to 64 visible ASCII characters",
                "invalid",
            ),
        };
        Problem::bad_request(code, detail).error("idempotency-key", reason)
    })
}

fn collection(mut fields: Fields, _caller: &App, api: &Api) -> Result<Command, Problem> {
    let amount = fields.amount("amount");
    let currency = fields.currency("currency");
    if currency.is_some_and(|currency| !api.internal.supports(currency)) {
        fields.refuse("currency", "not_supported");
    }
    let channel = fields.word("channel", channel);
    let channel_ref = fields.optional_text("channel_ref", 64);
    let payer_name = fields.text("payer_name", 128);
    let remark = fields.remark();
    let command = (|| {
        Some(Command::Collect(Collection {
            amount: amount?,
            currency: currency?,
            channel: channel?,
            channel_ref: channel_ref?,
            payer_name: payer_name?,
            remark: remark?,
        }))
    })();
    fields.finish(command)
}

fn payment(mut fields: Fields, caller: &App, _api: &Api) -> Result<Command, Problem> {
    let payee = fields.id("payee_merchant_id");
    if payee == Some(caller.merchant.id) {
        fields.refuse("payee_merchant_id", "is_the_payer");
    }
    let amount = fields.amount("amount");
    let currency = fields.currency("currency");
    let remark = fields.remark();
    let command = (|| {
        Some(Command::Pay(Payment { payee: payee?, amount: amount?, currency: currency?, remark: remark? }))
    })();
    fields.finish(command)
}

fn refund(mut fields: Fields, _caller: &App, _api: &Api) -> Result<Command, Problem> {
    let order_id = fields.id("order_id");
    let amount = fields.amount("amount");
    let remark = fields.remark();
    let command =
        (|| Some(Command::Refund(RefundRequest { order_id: order_id?, amount: amount?, remark: remark? })))();
    fields.finish(command)
}

/// 1 to 32 characters of `a-z 0-9 _ -`, a letter first.
fn channel(text: &str) -> Result<String, &'static str> {
    let safe = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-');
    let fine = text.len() <= 32
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.bytes().all(safe);
    if fine { Ok(text.to_owned()) } else { Err("not_a_channel") }
}
