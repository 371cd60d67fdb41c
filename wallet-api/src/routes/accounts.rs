//! `GET /v1/accounts`: what the merchant has.

use std::sync::Arc;

use http::StatusCode;
use money::{AccountId, Currency, Minor};
use serde::Serialize;
use service_kit::{
    Problem,
    flow::{Admitted, FlowControl, Route, with_flow_control},
    http::Routes,
};
use sqlx::Row;
use warp::{Filter, reply::Response};

use super::{
    Api,
    reply::{json, no_query, reply},
};
use crate::{
    auth::{App, SignedRequests},
    merchants::Scope,
    problems::store_problem,
    store::bad_row,
};

#[derive(Serialize)]
struct AccountList {
    items: Vec<AccountView>,
}

#[derive(Serialize)]
struct AccountView {
    account_id: AccountId,
    kind: String,
    currency: Currency,
    balance: Minor,
}

pub(super) fn routes(flow: &Arc<FlowControl>, apps: &Arc<SignedRequests>, api: &Api) -> Routes {
    let api = api.clone();
    warp::path!("v1" / "accounts")
        .and(warp::get())
        .and(with_flow_control(flow, Route::read("accounts.list"), apps))
        .then(move |admitted| {
            let api = api.clone();
            async move { reply(list(&api, &admitted).await) }
        })
        .boxed()
}

async fn list(api: &Api, Admitted { caller, request }: &Admitted<App>) -> Result<Response, Problem> {
    caller.require(Scope::FundsRead)?;
    no_query(request)?;
    let items = read(api, caller).await.map_err(|error| store_problem(&error))?;
    json(StatusCode::OK, &AccountList { items })
}

// balances from the rows themselves, never from a cache
async fn read(api: &Api, caller: &App) -> Result<Vec<AccountView>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT account_id, kind, currency, balance FROM accounting.account WHERE merchant_id = ? ORDER BY account_id",
    )
    .bind(caller.merchant.id.0)
    .fetch_all(&api.pool)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(AccountView {
                account_id: AccountId(row.try_get("account_id")?),
                kind: row.try_get("kind")?,
                currency: row.try_get::<&str, _>("currency")?.parse().map_err(bad_row)?,
                balance: Minor(row.try_get("balance")?),
            })
        })
        .collect()
}
