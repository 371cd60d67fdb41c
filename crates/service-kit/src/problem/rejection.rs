//! The one place that turns a rejected request into a problem.

use std::convert::Infallible;

use http::StatusCode;
use warp::Rejection;
use warp::body::BodyDeserializeError;
use warp::reject::{
    InvalidHeader, InvalidQuery, LengthRequired, MethodNotAllowed, MissingCookie, MissingHeader,
    PayloadTooLarge, UnsupportedMediaType,
};
use warp::reply::Response;

use super::Problem;

/// Answers every rejection with a problem. Never fails, so the routes behind it need no other error path.
pub async fn recover(rejection: Rejection) -> Result<Response, Infallible> {
    // a route's own problem first: `.or` combines it with the misses of the routes after it
    if let Some(problem) = rejection.find::<Problem>() {
        return Ok(problem.to_response());
    }
    Ok(of_warp(&rejection).to_response())
}

// warp combines the rejections of all routes; the most specific says what is wrong, a wrong method says least
fn of_warp(rejection: &Rejection) -> Problem {
    if rejection.find::<PayloadTooLarge>().is_some() {
        return Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body_too_large",
            "the body is larger than this route takes",
        );
    }
    if rejection.find::<LengthRequired>().is_some() {
        return Problem::new(StatusCode::LENGTH_REQUIRED, "length_required", "send a Content-Length header");
    }
    if rejection.find::<UnsupportedMediaType>().is_some() {
        return Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "media_type_unsupported",
            "send the body as application/json",
        );
    }
    if let Some(header) = rejection.find::<MissingHeader>() {
        return Problem::bad_request("header_missing", format!("send the header {}", header.name()))
            .error(header.name(), "missing");
    }
    if let Some(header) = rejection.find::<InvalidHeader>() {
        return Problem::bad_request("header_invalid", format!("the header {} is not valid", header.name()))
            .error(header.name(), "invalid");
    }
    if let Some(cookie) = rejection.find::<MissingCookie>() {
        return Problem::bad_request("cookie_missing", format!("send the cookie {}", cookie.name()))
            .error(cookie.name(), "missing");
    }
    if rejection.find::<InvalidQuery>().is_some() {
        return Problem::bad_request("query_invalid", "the query string is missing or not valid");
    }
    if let Some(error) = rejection.find::<BodyDeserializeError>() {
        return Problem::bad_request(
            "body_invalid",
            format!("the body is not what this route takes: {}", root(error)),
        );
    }
    if rejection.find::<MethodNotAllowed>().is_some() {
        return Problem::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "this path does not answer to that method",
        );
    }
    if rejection.is_not_found() {
        return Problem::not_found("route_not_found", "there is nothing at this path");
    }
    Problem::internal(&format!("unmapped rejection: {rejection:?}"))
}

fn root(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use warp::{Filter, Reply};

    use std::time::Duration;

    use super::*;

    fn routes() -> impl Filter<Extract = (impl Reply,), Error = Infallible> + Clone {
        let write = warp::path!("write")
            .and(warp::post())
            .and(warp::header::<u32>("x-count"))
            .and(warp::body::content_length_limit(16))
            .and(warp::body::json())
            .map(|_: u32, body: Value| warp::reply::json(&body));
        let read = warp::path!("read")
            .and(warp::get())
            .and(warp::query::<std::collections::HashMap<String, u8>>())
            .map(|_| "read".to_owned());
        let own = warp::path!("own").and_then(|| async {
            Err::<String, _>(Rejection::from(
                Problem::not_found("bill_not_found", "no such bill").error("/bill_id", "unknown"),
            ))
        });
        own.or(write).or(read).recover(recover)
    }

    async fn check(request: warp::test::RequestBuilder, status: u16, code: &str) -> Value {
        let response = request.reply(&routes()).await;
        let body: Value = serde_json::from_slice(response.body()).unwrap();
        assert_eq!((response.status().as_u16(), body["code"].as_str()), (status, Some(code)), "{body}");
        assert_eq!(response.headers()["content-type"], super::super::PROBLEM_JSON);
        assert_eq!(body["status"], status);
        assert!(
            body["request_id"].is_string() && body["retryable"].is_boolean() && body["title"].is_string()
        );
        body
    }

    fn post(body: &str) -> warp::test::RequestBuilder {
        warp::test::request()
            .method("POST")
            .path("/write")
            .header("x-count", "1")
            .header("content-type", "application/json")
            .body(body)
    }

    #[tokio::test]
    async fn every_rejection_has_its_status_and_code() {
        let request = warp::test::request;
        check(request().path("/nowhere"), 404, "route_not_found").await;
        check(request().method("DELETE").path("/read"), 405, "method_not_allowed").await;
        check(request().path("/read?a=b"), 400, "query_invalid").await;
        check(request().method("POST").path("/write"), 400, "header_missing").await;
        check(post("{}").header("x-count", "many"), 400, "header_invalid").await;
        check(request().method("POST").path("/write").header("x-count", "1"), 411, "length_required").await;
        check(post("{\"a\":\"0123456789\"}"), 413, "body_too_large").await;
        check(post("{}").header("content-type", "text/plain"), 415, "media_type_unsupported").await;
        check(post("{"), 400, "body_invalid").await;
        let own = check(request().path("/own"), 404, "bill_not_found").await;
        assert_eq!(own["errors"][0]["pointer"], "/bill_id");
    }

    #[tokio::test]
    async fn a_retryable_problem_says_when() {
        let problem =
            Problem::unavailable("store_unavailable", "the store is away", Duration::from_millis(1200));
        let response = problem.to_response();
        assert_eq!(response.headers()["retry-after"], "2");
        assert_eq!(response.status(), 503);
    }

    #[tokio::test]
    async fn the_problem_repeats_the_request_id_and_the_path_without_its_query() {
        let context = crate::context::RequestContext::new(
            crate::RequestId::accept(
                &std::iter::once((crate::request_id::REQUEST_ID_HEADER, "abc".parse().unwrap())).collect(),
            ),
            "/v1/bills",
        );
        let response = crate::context::scope(context, async {
            Problem::bad_request("query_invalid", "no").to_response()
        })
        .await;
        let bytes = warp::test::request()
            .reply(&warp::any().map({
                let response = std::sync::Mutex::new(Some(response));
                let response = std::sync::Arc::new(response);
                move || response.lock().unwrap().take().unwrap()
            }))
            .await;
        let body: Value = serde_json::from_slice(bytes.body()).unwrap();
        assert_eq!((&body["request_id"], &body["instance"]), (&"abc".into(), &"/v1/bills".into()));
    }
}
