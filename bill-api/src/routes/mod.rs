//! The routes under `/v1/bills`. Each is path, method, then flow control, then its handler.

mod detail;
mod list;
mod summary;

use std::future::Future;
use std::sync::Arc;

use http::{HeaderValue, StatusCode, header};
use money::AccountId;
use serde::Serialize;
use service_kit::Problem;
use service_kit::flow::{Admitted, FlowControl, Route, with_flow_control};
use service_kit::http::Routes;
use warp::reply::{Reply, Response};
use warp::{Filter, filters::BoxedFilter};

use crate::auth::{Authenticator, Caller};
use crate::bills::{Bills, Cursors};
use crate::query::invalid;
use crate::settings::Settings;

/// The scope that every route here asks for.
const SCOPE: &str = "bills:read";
/// A GET carries no body worth more than this.
const BODY_LIMIT: usize = 4 * 1024;

/// What the handlers work with.
pub(crate) struct Service {
    bills: Bills,
    cursors: Cursors,
    pipelines: Vec<String>,
}

/// All routes. The order matters: `summary` must not be taken for a bill's id.
pub(crate) fn all(
    flow: &Arc<FlowControl>,
    authenticator: &Arc<Authenticator>,
    bills: &Bills,
    settings: &Settings,
) -> Routes {
    let service = Arc::new(Service {
        bills: bills.clone(),
        cursors: Cursors::new(&settings.cursor_key),
        pipelines: settings.pipelines.clone(),
    });
    let admitted =
        |name| with_flow_control(flow, Route::read(name).body_limit(BODY_LIMIT), authenticator).boxed();
    list::route(&service, admitted("bills.list"))
        .or(summary::route(&service, admitted("bills.summary")))
        .unify()
        .or(detail::route(&service, admitted("bills.detail")))
        .unify()
        .boxed()
}

type AdmittedFilter = BoxedFilter<(Admitted<Caller>,)>;

/// Turns a handler's result into the answer: JSON that no cache keeps, or its problem.
async fn answer<T: Serialize>(result: impl Future<Output = Result<T, Problem>>) -> Response {
    match result.await {
        Ok(body) => {
            let mut response =
                warp::reply::with_status(warp::reply::json(&body), StatusCode::OK).into_response();
            response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response
        }
        Err(problem) => problem.into_response(),
    }
}

/// The accounts that a request is about: the one it names, if it is the caller's, or all of the caller's.
fn accounts(caller: &Caller, named: Option<AccountId>) -> Result<Vec<AccountId>, Problem> {
    match named {
        None => Ok(caller.grant.accounts.iter().map(|account| account.account_id).collect()),
        Some(id) if caller.grant.account(id).is_some() => Ok(vec![id]),
        Some(_) => Err(Problem::not_found("account_not_found", "no account of this merchant has this id")),
    }
}

fn account_parameter(query: &crate::query::Query) -> Result<Option<AccountId>, Problem> {
    query.parsed("account_id", "the id of an account, as a decimal number", |text| text.parse().ok())
}

/// The pipeline that a request names, or `fallback`; 400 for one that is not configured.
fn pipeline(service: &Service, named: Option<&str>, fallback: &str) -> Result<String, Problem> {
    let name = named.unwrap_or(fallback);
    if service.pipelines.iter().any(|known| known == name) {
        return Ok(name.to_owned());
    }
    Err(invalid("pipeline", &format!("one of {}", service.pipelines.join(", "))))
}
