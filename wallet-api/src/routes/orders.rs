//! `GET /v1/orders/{order_id}`: an order as one of its sides sees it.

use std::sync::Arc;

use http::StatusCode;
use money::OrderId;
use service_kit::{
    Problem,
    flow::{Admitted, FlowControl, Route, with_flow_control},
    http::Routes,
};
use warp::{Filter, reply::Response};

use super::{
    Api,
    reply::{json, no_query, reply},
};
use crate::{
    auth::{App, SignedRequests},
    merchants::Scope,
    orders::OrderView,
    problems::store_problem,
};

pub(super) fn routes(flow: &Arc<FlowControl>, apps: &Arc<SignedRequests>, api: &Api) -> Routes {
    let api = api.clone();
    warp::path!("v1" / "orders" / String)
        .and(warp::get())
        .and(with_flow_control(flow, Route::read("orders.get"), apps))
        .then(move |order_id: String, admitted| {
            let api = api.clone();
            async move { reply(get(&api, &order_id, &admitted).await) }
        })
        .boxed()
}

async fn get(
    api: &Api,
    order_id: &str,
    Admitted { caller, request }: &Admitted<App>,
) -> Result<Response, Problem> {
    caller.require(Scope::FundsRead)?;
    no_query(request)?;
    let absent = || Problem::not_found("order_not_found", "there is no such order");
    let order_id: OrderId = order_id.parse().map_err(|_| absent())?;
    let found = api.orders.find(order_id, caller.merchant.id).await.map_err(|error| store_problem(&error))?;
    let order = found.ok_or_else(absent)?;
    json(StatusCode::OK, &OrderView::of(&order, caller.merchant.id))
}
