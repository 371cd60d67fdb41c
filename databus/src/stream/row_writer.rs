//! Turns one rows event of a captured table into change events, row by row.

use super::{
    assembler::{ChangeSink, Counts},
    envelope::{self, EventFacts, RowFacts, TablePrefix},
    place::StreamError,
};
use crate::{
    binlog::{DecodeError, bytes::Bytes, event::RowsKind, rows::Images, table_map::TableShape},
    publish::PublishError,
};
use change_event::{Version, VersionError, envelope::Op};
use std::time::{SystemTime, UNIX_EPOCH};

/// Reused from row to row.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    key: Vec<u8>,
    new_key: Vec<u8>,
    before: Vec<u8>,
    after: Vec<u8>,
    value: Vec<u8>,
}

/// Why a row did not become a change event.
pub(super) enum RowError {
    Decode(DecodeError),
    Stream(StreamError),
}

impl From<DecodeError> for RowError {
    fn from(error: DecodeError) -> Self {
        Self::Decode(error)
    }
}

impl From<VersionError> for RowError {
    fn from(error: VersionError) -> Self {
        Self::Stream(error.into())
    }
}

impl From<PublishError> for RowError {
    fn from(error: PublishError) -> Self {
        Self::Stream(error.into())
    }
}

/// Everything one rows event needs; split from the assembler so that its parts can be borrowed apart.
pub(super) struct RowWriter<'a> {
    pub(super) event: EventFacts<'a>,
    pub(super) prefix: &'a TablePrefix,
    /// `database.table`.
    pub(super) table: &'a str,
    pub(super) table_order: &'a mut u64,
    pub(super) buffers: &'a mut Buffers,
    pub(super) seq: &'a mut Version,
    pub(super) total_order: &'a mut u64,
    pub(super) counts: &'a mut Counts,
    /// The table's first changes in this transaction that are published already, from another server's binlog.
    pub(super) skip_changes: u64,
    pub(super) publish: bool,
}

impl RowWriter<'_> {
    pub(super) fn write_all(
        &mut self,
        body: Bytes<'_>,
        shape: &TableShape,
        kind: RowsKind,
        extra: bool,
        sink: &mut impl ChangeSink,
    ) -> Result<(), RowError> {
        let mut images = Images::parse(body, shape, extra, kind == RowsKind::Update)?;
        let (mut row, mut moved) = (0, 0);
        while !images.is_empty() {
            self.buffers.key.clear();
            self.buffers.before.clear();
            self.buffers.after.clear();
            images.write_key(&mut self.buffers.key)?;
            match kind {
                RowsKind::Write => {
                    images.write_row(&mut self.buffers.after)?;
                    self.change('c', row, sink)?;
                }
                RowsKind::Delete => {
                    images.write_row(&mut self.buffers.before)?;
                    self.change('d', row, sink)?;
                }
                RowsKind::Update => {
                    images.write_row(&mut self.buffers.before)?;
                    self.buffers.new_key.clear();
                    images.write_key(&mut self.buffers.new_key)?;
                    images.write_row(&mut self.buffers.after)?;
                    if self.buffers.key == self.buffers.new_key {
                        self.change('u', row, sink)?;
                    } else {
                        moved += 1;
                        // another primary key is another record: the old one goes, the new one comes
                        self.change('d', row, sink)?;
                        std::mem::swap(&mut self.buffers.key, &mut self.buffers.new_key);
                        self.change('c', row, sink)?;
                    }
                }
            }
            self.counts.seen += 1;
            if self.is_new() {
                self.counts.published += 1;
            } else {
                self.counts.repeated += 1;
            }
            row += 1;
        }
        if self.publish {
            let rows = u64::from(row);
            match kind {
                RowsKind::Write => sink.tally(self.table, Op::Create, rows),
                RowsKind::Delete => sink.tally(self.table, Op::Delete, rows),
                RowsKind::Update => {
                    sink.tally(self.table, Op::Update, rows - moved);
                    sink.tally(self.table, Op::Delete, moved);
                    sink.tally(self.table, Op::Create, moved);
                }
            }
        }
        Ok(())
    }

    /// Whether the change that was just counted is to be published.
    fn is_new(&self) -> bool {
        self.publish && *self.table_order > self.skip_changes
    }

    fn change(&mut self, op: char, row: u32, sink: &mut impl ChangeSink) -> Result<(), RowError> {
        *self.total_order += 1;
        *self.table_order += 1;
        if !self.is_new() {
            return Ok(());
        }
        let seq = self.seq.next()?;
        let facts = RowFacts { op, row, seq, total_order: *self.total_order, table_order: *self.table_order };
        let before = (op != 'c').then_some(self.buffers.before.as_slice());
        let after = (op != 'd').then_some(self.buffers.after.as_slice());
        self.buffers.value.clear();
        envelope::write(&mut self.buffers.value, before, after, &self.event, self.prefix, facts)
            .map_err(|_| DecodeError::Malformed("writing to memory failed"))?;
        sink.publish(self.table, &self.buffers.key, &self.buffers.value)?;
        // only now is the version used up
        *self.seq = seq;
        Ok(())
    }
}

pub(super) fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}
