//! Answers, and what every route refuses alike.

use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use service_kit::{Problem, RawRequest};
use warp::reply::{Reply, Response};

const JSON: &str = "application/json";

/// A handler's outcome as the answer.
pub(super) fn reply(outcome: Result<Response, Problem>) -> Response {
    outcome.unwrap_or_else(Reply::into_response)
}

/// `body` as JSON. Answers about money are not for any cache.
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Result<Response, Problem> {
    let bytes = serde_json::to_vec(body).map_err(|error| Problem::internal(&error))?;
    Ok(raw_json(status, bytes, JSON))
}

/// Bytes that are JSON already.
pub(super) fn raw_json(
    status: StatusCode,
    bytes: impl Into<bytes::Bytes>,
    media_type: &'static str,
) -> Response {
    let mut response = Response::new(bytes.into().into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// 400 for any query parameter: these routes take none, and ignoring one would answer another question than asked.
pub(super) fn no_query(request: &RawRequest) -> Result<(), Problem> {
    let query = request.query.as_deref().unwrap_or_default();
    let names: Vec<_> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').map_or(pair, |(name, _)| name))
        .collect();
    if names.is_empty() {
        return Ok(());
    }
    let problem = Problem::bad_request("query_parameter_unknown", "this route takes no query parameters");
    Err(names.into_iter().fold(problem, |problem, name| problem.error(name, "unknown")))
}
