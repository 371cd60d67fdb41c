//! What belongs to the request being answered and is needed far from it: its id, its route, its rate headers.
//!
//! The HTTP edge opens a context around every request ([`scope`]); filters, handlers and `recover` reach it through
//! the free functions here. Outside a request they answer with a fresh id or do nothing.

use std::future::Future;
use std::sync::{Arc, OnceLock};

use crate::flow::RateState;
use crate::request_id::RequestId;

tokio::task_local! {
    static CURRENT: Arc<RequestContext>;
}

/// One request's context. Route and rate state are written once, by the flow control of its route.
#[derive(Debug)]
pub struct RequestContext {
    request_id: RequestId,
    path: String,
    route: OnceLock<&'static str>,
    rate: OnceLock<RateState>,
}

impl RequestContext {
    /// `path` is the request's path without its query, which may hold what no log or body should repeat.
    pub fn new(request_id: RequestId, path: &str) -> Arc<RequestContext> {
        Arc::new(RequestContext {
            request_id,
            path: path.to_owned(),
            route: OnceLock::new(),
            rate: OnceLock::new(),
        })
    }

    pub fn request_id(&self) -> &RequestId {
        &self.request_id
    }

    /// The matched route's name, or `unmatched`.
    pub fn route(&self) -> &'static str {
        self.route.get().copied().unwrap_or("unmatched")
    }

    /// The authenticated caller's rate state; nothing for a stranger.
    pub fn rate(&self) -> Option<&RateState> {
        self.rate.get()
    }
}

/// Runs `future` inside `context`.
pub async fn scope<F: Future>(context: Arc<RequestContext>, future: F) -> F::Output {
    CURRENT.scope(context, future).await
}

/// The current request's id, or a new one outside a request.
pub fn request_id() -> RequestId {
    CURRENT.try_with(|context| context.request_id.clone()).unwrap_or_else(|_| RequestId::generate())
}

pub(crate) fn path() -> Option<String> {
    CURRENT.try_with(|context| context.path.clone()).ok()
}

/// Names the matched route, for metrics and logs. The first name wins.
pub fn set_route(name: &'static str) {
    let _ = CURRENT.try_with(|context| context.route.set(name));
}

pub(crate) fn set_rate(state: RateState) {
    let _ = CURRENT.try_with(|context| context.rate.set(state));
}
