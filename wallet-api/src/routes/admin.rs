//! `/admin/v1/..`: what staff does. Listens with the rest, so keep it from strangers at the proxy too.

use std::sync::Arc;

use http::StatusCode;
use money::{AccountId, Currency, MerchantId};
use secrecy::ExposeSecret;
use serde::Serialize;
use service_kit::{
    Problem, context,
    flow::{Admitted, FlowControl, Route, with_flow_control},
    http::Routes,
};
use warp::{
    Filter,
    reply::{Reply, Response},
};

use super::{
    Api,
    fields::Fields,
    reply::{json, no_query, reply},
};
use crate::{
    auth::{Staff, StaffToken},
    ledger::AccountKind,
    merchants::{Revoked, Scope, Scopes},
    problems::store_problem,
};

#[derive(Serialize)]
struct MerchantView<'a> {
    merchant_id: MerchantId,
    name: &'a str,
    status: &'static str,
    time_zone: &'a str,
    accounts: [AccountView; 1],
}

#[derive(Serialize)]
struct AccountView {
    account_id: AccountId,
    kind: &'static str,
    currency: Currency,
}

#[derive(Serialize)]
struct AppView<'a> {
    app_id: &'a str,
    key_id: &'a str,
    /// Shown here and never again.
    secret: &'a str,
    scopes: Vec<&'static str>,
}

pub(super) fn routes(flow: &Arc<FlowControl>, staff: &Arc<StaffToken>, api: &Api) -> Routes {
    let (merchants, apps, keys) = (api.clone(), api.clone(), api.clone());
    let create_merchant = warp::path!("admin" / "v1" / "merchants")
        .and(warp::post())
        .and(with_flow_control(flow, Route::write("merchants.create"), staff))
        .then(move |admitted| {
            let api = merchants.clone();
            async move { reply(create_merchant(&api, &admitted).await) }
        });
    let create_app = warp::path!("admin" / "v1" / "merchants" / String / "apps")
        .and(warp::post())
        .and(with_flow_control(flow, Route::write("apps.create"), staff))
        .then(move |merchant: String, admitted| {
            let api = apps.clone();
            async move { reply(create_app(&api, &merchant, &admitted).await) }
        });
    let revoke_key = warp::path!("admin" / "v1" / "merchants" / String / "apps" / String / "keys" / String)
        .and(warp::delete())
        .and(with_flow_control(flow, Route::write("keys.revoke"), staff))
        .then(move |merchant: String, app: String, key: String, admitted| {
            let api = keys.clone();
            async move { reply(revoke_key(&api, &merchant, &app, &key, &admitted).await) }
        });
    create_merchant.or(create_app).unify().or(revoke_key).unify().boxed()
}

async fn create_merchant(api: &Api, Admitted { request, .. }: &Admitted<Staff>) -> Result<Response, Problem> {
    no_query(request)?;
    let mut fields = Fields::of(request)?;
    let name = fields.text("name", 128);
    let currency = fields.currency("currency");
    if currency.is_some_and(|currency| !api.internal.supports(currency)) {
        fields.refuse("currency", "not_supported");
    }
    let time_zone = fields.word("time_zone", time_zone);
    let (name, currency, time_zone) = fields.finish((|| Some((name?, currency?, time_zone?)))())?;
    let request_id = context::request_id();
    let created = api
        .onboarding
        .create_merchant(&name, currency, &time_zone, request_id.as_str())
        .await
        .map_err(|error| store_problem(&error))?;
    let account =
        AccountView { account_id: created.account_id, kind: AccountKind::Available.as_str(), currency };
    let view = MerchantView {
        merchant_id: created.merchant_id,
        name: &name,
        status: "active",
        time_zone: &time_zone,
        accounts: [account],
    };
    json(StatusCode::CREATED, &view)
}

async fn create_app(
    api: &Api,
    merchant: &str,
    Admitted { request, .. }: &Admitted<Staff>,
) -> Result<Response, Problem> {
    no_query(request)?;
    let merchant: MerchantId = merchant.parse().map_err(|_| no_merchant())?;
    let mut fields = Fields::of(request)?;
    let name = fields.text("name", 128);
    let scopes = fields.optional_words("scopes", |word| Scope::parse(word).ok_or("not_a_scope"));
    let (name, scopes) = fields.finish((|| Some((name?, scopes?)))())?;
    let scopes = scopes.map_or_else(Scopes::all, Scopes::new);
    let request_id = context::request_id();
    let created = api.onboarding.create_app(merchant, &name, &scopes, request_id.as_str()).await;
    let created = created.map_err(|error| match error.downcast::<sqlx::Error>() {
        Ok(error) => store_problem(&error),
        Err(other) => Problem::internal(&other),
    })?;
    let app = created.ok_or_else(no_merchant)?;
    let view = AppView {
        app_id: &app.app_id,
        key_id: &app.key_id,
        secret: app.secret.expose_secret(),
        scopes: scopes.names(),
    };
    json(StatusCode::CREATED, &view)
}

async fn revoke_key(
    api: &Api,
    merchant: &str,
    app_id: &str,
    key_id: &str,
    Admitted { request, .. }: &Admitted<Staff>,
) -> Result<Response, Problem> {
    no_query(request)?;
    let no_key = || Problem::not_found("key_not_found", "that app of that merchant has no such key");
    let merchant: MerchantId = merchant.parse().map_err(|_| no_key())?;
    let request_id = context::request_id();
    let revoked = api.onboarding.revoke_key(merchant, app_id, key_id, request_id.as_str()).await;
    match revoked.map_err(|error| store_problem(&error))? {
        Revoked::NoSuchKey => Err(no_key()),
        Revoked::Yes => {
            api.directory.forget_key(key_id).await;
            api.grants.forget(app_id, key_id).await;
            Ok(StatusCode::NO_CONTENT.into_response())
        }
    }
}

fn no_merchant() -> Problem {
    Problem::not_found("merchant_not_found", "there is no such merchant")
}

/// A name of the IANA time zone database; a bare offset has no daylight saving and is refused.
fn time_zone(text: &str) -> Result<String, &'static str> {
    let known =
        text.len() <= 64 && jiff::tz::TimeZone::get(text).is_ok_and(|zone| zone.iana_name().is_some());
    if known { Ok(text.to_owned()) } else { Err("not_a_time_zone") }
}
