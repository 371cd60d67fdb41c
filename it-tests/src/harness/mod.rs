//! Real services and our daemons as child processes, for the tests, the demo and `cargo xtask stack`.
//!
//! [`stack::Stack`] runs MariaDB, Redis, Kafka and Elasticsearch; [`deployment::Deployment`] runs our daemons
//! against it. Both listen on free loopback ports, keep everything in one directory, and end with this process.
//! This module builds from the standard library and a few small crates, so that `xtask` can use it on a machine
//! that has nothing but cargo and a C compiler.

pub mod child;
pub mod config;
pub mod daemon;
pub mod database;
pub mod deployment;
pub mod elasticsearch;
pub mod http;
pub mod identity;
pub mod kafka;
pub mod launch;
pub mod paths;
pub mod poll;
pub mod ports;
pub mod proxy;
pub mod record;
pub mod redis;
pub mod secrets;
pub mod service;
pub mod spec;
pub mod stack;

pub use config::{DaemonPorts, PipelinesToml};
pub use daemon::Daemon;
pub use database::{DatabaseServer, Flavour, ServerOptions, TlsFiles};
pub use deployment::Deployment;
#[cfg(feature = "workload")]
pub use poll::wait_until_async;
pub use poll::{Not, wait_until};
pub use proxy::{Fault, Proxy};
pub use record::Part;
pub use service::Service;
pub use spec::StackSpec;
pub use stack::Stack;
