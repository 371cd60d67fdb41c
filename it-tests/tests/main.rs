//! Integration tests against real parts: one binary, so that all of them share one started stack.

mod bill_api;
mod databus;
mod lifecycle;
mod real_parts;
mod servers;
mod shared;
mod sync_worker;
mod wallet_api;
mod whole_path;
