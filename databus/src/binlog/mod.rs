//! The binlog's bytes: events, table maps, rows and statements. Nothing here does I/O, and nothing here panics on any input.

pub mod bytes;
mod cell;
pub mod column;
mod decimal;
pub mod event;
pub mod gtid;
pub mod rows;
pub mod statement;
pub mod table_map;

pub use bytes::DecodeError;
pub use cell::put_text;
