//! From events to change events: transactions are followed, rows become envelopes, every change gets its version.

mod assembler;
mod envelope;
mod place;
mod row_writer;
mod tables;

pub(crate) use assembler::{Assembler, ChangeSink, Counts, ReadTable, Resume, Step};
pub(crate) use place::StreamError;
