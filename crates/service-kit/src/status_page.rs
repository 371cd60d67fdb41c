//! The status page of a daemon: `/` for people, `/status.json` for its script and for programs.

use std::sync::Arc;

use http::{HeaderValue, header};
use serde_json::Value;
use warp::reply::{Reply, Response};
use warp::{Filter, filters::BoxedFilter};

/// What a daemon shows on its admin port. Made anew for every request, so keep it cheap.
#[derive(Clone)]
pub struct StatusPage {
    policy: HeaderValue,
    html: Arc<dyn Fn() -> String + Send + Sync>,
    json: Arc<dyn Fn() -> Value + Send + Sync>,
}

impl StatusPage {
    /// `policy` is the page's Content-Security-Policy; one that cannot be a header forbids everything.
    pub fn new(
        policy: &str,
        html: impl Fn() -> String + Send + Sync + 'static,
        json: impl Fn() -> Value + Send + Sync + 'static,
    ) -> StatusPage {
        let policy = HeaderValue::from_str(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"));
        StatusPage { policy, html: Arc::new(html), json: Arc::new(json) }
    }

    pub(crate) fn routes(self) -> BoxedFilter<(Response,)> {
        let json = self.json.clone();
        let page = warp::path::end().and(warp::get()).map(move || {
            let mut response = warp::reply::html((self.html)()).into_response();
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_SECURITY_POLICY, self.policy.clone());
            headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
            headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response
        });
        let status = warp::path!("status.json").and(warp::get()).map(move || {
            let mut response = warp::reply::json(&json()).into_response();
            response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response
        });
        page.or(status).unify().boxed()
    }
}
