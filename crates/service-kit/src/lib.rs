//! What every daemon of DataBus Wallet shares, and no more: the process frame, the admin port, and the HTTP edge.
//!
//! ```text
//!  process::run ──► telemetry (one line each on stderr), Shutdown (SIGTERM, SIGINT), exit code 0 / 1 / 2
//!       │
//!       ├──► admin::serve        /livez  /readyz  /metrics
//!       └──► http::serve_on      accept ─► request id ─► routes ─► recover (problem+json) ─► headers, metrics
//!                                                          │
//!                                        flow::with_flow_control(route, authenticator)
//!                                        strangers' bucket · signature, nonce · the app's bucket
//! ```
//!
//! Nothing here knows a bill, an order or a table.

pub mod admin;
pub mod context;
pub mod flow;
pub mod http;
pub mod nonce;
pub mod problem;
pub mod process;
pub mod raw_request;
pub mod redis_link;
pub mod request_id;
pub mod retry;
pub mod shutdown;
pub mod signature;
mod status_page;
pub mod telemetry;

pub use problem::Problem;
pub use raw_request::RawRequest;
pub use request_id::RequestId;
pub use shutdown::Shutdown;
