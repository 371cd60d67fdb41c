//! The binlog's bytes: events, table maps, rows and statements. Nothing here does I/O, and nothing here panics on any input.

pub mod bytes;
mod cell;
pub mod charset;
pub mod column;
mod compressed;
pub mod decimal;
pub mod event;
pub mod gtid;
pub mod gtid_state;
pub mod inflate;
mod json;
mod kind;
pub mod payload;
pub mod rows;
pub mod selected;
pub mod statement;
pub mod table_map;
pub mod value;
pub mod xid;

pub use bytes::DecodeError;
