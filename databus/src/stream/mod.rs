//! From events to change events: transactions are followed, rows become envelopes, every change gets its version.

mod assembler;
mod envelope;
mod mark;
mod place;
mod row_writer;
mod tables;

pub use assembler::Counts;
pub(crate) use assembler::{Assembler, ChangeSink, ReadTable, Resume, Step};
pub(crate) use mark::Mark;
pub(crate) use place::StreamError;
