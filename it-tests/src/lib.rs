//! The integration tests' own library: real services as child processes, and what drives them.

#[cfg(feature = "workload")]
pub mod chaos;
pub mod debezium;
#[cfg(feature = "workload")]
pub mod documented;
#[cfg(feature = "workload")]
pub mod failover;
#[cfg(feature = "workload")]
pub mod flink;
pub mod harness;
#[cfg(feature = "workload")]
pub mod replay;
#[cfg(feature = "workload")]
pub mod rng;
pub mod shared;
#[cfg(feature = "workload")]
pub mod source;
#[cfg(feature = "workload")]
pub mod source_tls;
#[cfg(feature = "workload")]
pub mod tls;
#[cfg(feature = "workload")]
pub mod topic;
#[cfg(feature = "workload")]
pub mod workload;
