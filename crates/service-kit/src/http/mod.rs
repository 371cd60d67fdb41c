//! The HTTP edge: an accept loop around warp routes, and what every answer gets.
//!
//! ```text
//! accept (at most N connections) ─► HTTP/1.1, headers within 10 s ─► request id, span ─► routes ─► recover
//!                                                                       └─► rate headers, X-Request-Id, histogram
//! stop asked for ─► no more accepts, answers under way finish ─► deadline ─► the rest is cut
//! ```
//!
//! HTTP/1.1 alone: without TLS no client of ours speaks HTTP/2, and hyper-util's version sniffing waits for the first
//! bytes without a timeout, so a silent client could hold a connection for ever.

mod metrics;
mod serve;

pub use metrics::{DURATION, HttpMetrics};
pub use serve::{ListenError, Listener, Options, Routes, serve, serve_on};
