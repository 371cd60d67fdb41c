//! Error answers: RFC 9457 `application/problem+json` with a stable `code`.
//!
//! Callers branch on `code` alone; `detail` may change. `retryable` says whether the same request may succeed later.

mod rejection;

use std::fmt;
use std::time::Duration;

use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;
use warp::reply::{Reply, Response};

use crate::context;

pub use rejection::recover;

/// Media type of every error answer.
pub const PROBLEM_JSON: &str = "application/problem+json";
const ABOUT_BLANK: &str = "about:blank";

/// One wrong part of a request: where (a JSON pointer for a body, a name for a query parameter) and a stable code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldError {
    pub pointer: String,
    pub code: &'static str,
}

/// An error answer, and the rejection that leads to it. Boxed: it travels in many `Result`s.
#[derive(Debug)]
pub struct Problem(Box<Parts>);

#[derive(Debug)]
struct Parts {
    kind: &'static str,
    status: StatusCode,
    code: &'static str,
    detail: String,
    errors: Vec<FieldError>,
    violated_policies: Vec<&'static str>,
    retryable: bool,
    retry_after: Option<Duration>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
    code: &'a str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FieldError],
    #[serde(rename = "violated-policies", skip_serializing_if = "<[_]>::is_empty")]
    violated_policies: &'a [&'static str],
    retryable: bool,
}

impl Problem {
    /// A problem of `status` with a stable snake_case `code`; `detail` is a sentence for a developer, without secrets.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Problem {
        Problem(Box::new(Parts {
            kind: ABOUT_BLANK,
            status,
            code,
            detail: detail.into(),
            errors: Vec::new(),
            violated_policies: Vec::new(),
            retryable: false,
            retry_after: None,
            headers: Vec::new(),
        }))
    }

    /// 400: the request cannot be understood, whoever sends it.
    pub fn bad_request(code: &'static str, detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// 401 with the challenge of the scheme that is expected, such as [`crate::signature::SCHEME`] or `Bearer`.
    pub fn unauthorized(code: &'static str, detail: impl Into<String>, challenge: &'static str) -> Problem {
        Problem::new(StatusCode::UNAUTHORIZED, code, detail)
            .header(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
    }

    /// 404: absent, or not the caller's; the two must not be told apart.
    pub fn not_found(code: &'static str, detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::NOT_FOUND, code, detail)
    }

    /// 500. `cause` goes to the log under the request's id and never to the caller.
    pub fn internal(cause: &(impl fmt::Display + ?Sized)) -> Problem {
        tracing::error!(request_id = %context::request_id(), %cause, "request failed");
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "the service failed; the request id leads to its log",
        )
    }

    /// 503, retryable. For what passes: a dependency that is away, too much at once.
    pub fn unavailable(code: &'static str, detail: impl Into<String>, retry_after: Duration) -> Problem {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, detail).retryable(retry_after)
    }

    /// Names a wrong part of the request.
    #[must_use]
    pub fn error(mut self, pointer: impl Into<String>, code: &'static str) -> Problem {
        self.0.errors.push(FieldError { pointer: pointer.into(), code });
        self
    }

    /// The same request may succeed after `after`; also sent as `Retry-After`, in whole seconds, at least one.
    #[must_use]
    pub fn retryable(mut self, after: Duration) -> Problem {
        self.0.retryable = true;
        self.0.retry_after = Some(after);
        self
    }

    /// A registered problem type instead of `about:blank`.
    #[must_use]
    pub fn kind(mut self, uri: &'static str) -> Problem {
        self.0.kind = uri;
        self
    }

    /// Names the rate policies that the request broke (draft-ietf-httpapi-ratelimit-headers).
    #[must_use]
    pub fn violated_policy(mut self, name: &'static str) -> Problem {
        self.0.violated_policies.push(name);
        self
    }

    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Problem {
        self.0.headers.push((name, value));
        self
    }

    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    pub fn code(&self) -> &'static str {
        self.0.code
    }

    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    pub fn errors(&self) -> &[FieldError] {
        &self.0.errors
    }

    pub fn is_retryable(&self) -> bool {
        self.0.retryable
    }

    /// The answer, with the current request's id and path.
    pub fn to_response(&self) -> Response {
        let parts = &*self.0;
        let request_id = context::request_id();
        let body = Body {
            kind: parts.kind,
            title: parts.status.canonical_reason().unwrap_or("Error"),
            status: parts.status.as_u16(),
            detail: &parts.detail,
            instance: context::path(),
            code: parts.code,
            request_id: request_id.as_str(),
            errors: &parts.errors,
            violated_policies: &parts.violated_policies,
            retryable: parts.retryable,
        };
        // plain strings and numbers always serialise
        let json = serde_json::to_vec(&body).unwrap_or_default();
        let mut response = Response::new(json.into());
        *response.status_mut() = parts.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(after) = parts.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(whole_seconds(after)));
        }
        for (name, value) in &parts.headers {
            headers.append(name, value.clone());
        }
        response
    }
}

/// Rounds up to whole seconds, at least one: what `Retry-After` and the rate headers want.
pub(crate) fn whole_seconds(duration: Duration) -> u64 {
    let rounded_up = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    rounded_up.max(1)
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}: {}", self.0.status.as_u16(), self.0.code, self.0.detail)
    }
}

impl std::error::Error for Problem {}

impl warp::reject::Reject for Problem {}

impl Reply for Problem {
    fn into_response(self) -> Response {
        self.to_response()
    }
}
