//! The latency of every answer, by route. No caller is ever a label.

use std::time::Duration;

use http::{Method, StatusCode};
use prometheus::{HistogramOpts, HistogramVec, Registry};

/// Metric: seconds from the request's headers to the answer's, by `route`, `method` and `status`.
pub const DURATION: &str = "http_request_duration_seconds";
const BUCKETS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// The histogram of one listener. Clones share it.
#[derive(Clone, Debug)]
pub struct HttpMetrics {
    duration: HistogramVec,
}

impl HttpMetrics {
    pub fn register(registry: &Registry) -> prometheus::Result<HttpMetrics> {
        let options = HistogramOpts::new(DURATION, "seconds from request headers to answer headers");
        let duration = HistogramVec::new(options.buckets(BUCKETS.to_vec()), &["route", "method", "status"])?;
        registry.register(Box::new(duration.clone()))?;
        Ok(HttpMetrics { duration })
    }

    pub(super) fn observe(&self, route: &str, method: &Method, status: StatusCode, took: Duration) {
        self.duration
            .with_label_values(&[route, method_label(method), status.as_str()])
            .observe(took.as_secs_f64());
    }
}

// a client may send any token as its method: a label must not grow with that
fn method_label(method: &Method) -> &str {
    match *method {
        Method::GET
        | Method::POST
        | Method::PUT
        | Method::PATCH
        | Method::DELETE
        | Method::HEAD
        | Method::OPTIONS => method.as_str(),
        _ => "other",
    }
}
