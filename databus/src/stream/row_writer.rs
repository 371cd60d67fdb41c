//! Turns one rows event of a captured table into change events, row by row.

use super::{
    assembler::{ChangeSink, Counts},
    envelope::{EventFacts, EventParts, RowFacts, TablePrefix},
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
    parts: EventParts,
    /// The plain form of a compressed event.
    pub(super) plain: Vec<u8>,
}

/// What becomes of an event's rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// They go out.
    Publish,
    /// They went out before a restart.
    Repeat,
    /// They were rolled back.
    Undo,
}

/// Places within the transaction, and within what holds its rows.
#[derive(Debug, Default)]
pub(super) struct Orders {
    /// Changes so far, over all captured tables.
    total: u64,
    /// Start of the last rows event, and the row after its last: several events within a compressed transaction share its place.
    last: Option<(u64, u32)>,
}

/// Changes of one rows event that went out.
#[derive(Default)]
struct Published {
    created: u64,
    updated: u64,
    deleted: u64,
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
    pub(super) orders: &'a mut Orders,
    pub(super) counts: &'a mut Counts,
    /// The table's first changes in this transaction that are published already, from another server's binlog.
    pub(super) skip_changes: u64,
    pub(super) outcome: Outcome,
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
        let mut row = match self.orders.last {
            Some((start, next)) if start == self.event.pos => next,
            _ => 0,
        };
        let mut published = Published::default();
        self.buffers.parts.prepare(&self.event, self.prefix);
        while !images.is_empty() {
            self.buffers.key.clear();
            self.buffers.before.clear();
            self.buffers.after.clear();
            images.write_key(&mut self.buffers.key)?;
            match kind {
                RowsKind::Write => {
                    images.write_row(&mut self.buffers.after)?;
                    self.change(b'c', row, &mut published, sink)?;
                }
                RowsKind::Delete => {
                    images.write_row(&mut self.buffers.before)?;
                    self.change(b'd', row, &mut published, sink)?;
                }
                RowsKind::Update => {
                    images.write_row(&mut self.buffers.before)?;
                    self.buffers.new_key.clear();
                    images.write_key(&mut self.buffers.new_key)?;
                    images.write_row(&mut self.buffers.after)?;
                    if self.buffers.key == self.buffers.new_key {
                        self.change(b'u', row, &mut published, sink)?;
                    } else {
                        // another primary key is another record: the old one goes, the new one comes
                        self.change(b'd', row, &mut published, sink)?;
                        std::mem::swap(&mut self.buffers.key, &mut self.buffers.new_key);
                        self.change(b'c', row, &mut published, sink)?;
                    }
                }
            }
            self.counts.seen += 1;
            match self.outcome {
                Outcome::Undo => self.counts.undone += 1,
                _ if self.is_new() => self.counts.published += 1,
                Outcome::Publish | Outcome::Repeat => self.counts.repeated += 1,
            }
            row += 1;
        }
        self.orders.last = Some((self.event.pos, row));
        for (op, changes) in [
            (Op::Create, published.created),
            (Op::Update, published.updated),
            (Op::Delete, published.deleted),
        ] {
            if changes > 0 {
                sink.tally(self.table, op, changes);
            }
        }
        Ok(())
    }

    /// Whether the change that was just counted is to be published.
    fn is_new(&self) -> bool {
        self.outcome == Outcome::Publish && *self.table_order > self.skip_changes
    }

    fn change(
        &mut self,
        op: u8,
        row: u32,
        published: &mut Published,
        sink: &mut impl ChangeSink,
    ) -> Result<(), RowError> {
        if self.outcome == Outcome::Undo {
            return Ok(());
        }
        self.orders.total += 1;
        *self.table_order += 1;
        if !self.is_new() {
            return Ok(());
        }
        let seq = self.seq.next()?;
        let facts = RowFacts { op, row, seq, total_order: self.orders.total, table_order: *self.table_order };
        let before = (op != b'c').then_some(self.buffers.before.as_slice());
        let after = (op != b'd').then_some(self.buffers.after.as_slice());
        self.buffers.value.clear();
        self.buffers.parts.write(&mut self.buffers.value, before, after, facts);
        sink.publish(self.table, &self.buffers.key, &self.buffers.value)?;
        // only now is the version used up
        *self.seq = seq;
        match op {
            b'c' => published.created += 1,
            b'u' => published.updated += 1,
            _ => published.deleted += 1,
        }
        Ok(())
    }
}

pub(super) fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}
