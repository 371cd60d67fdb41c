//! Whether what the server sends continues what was read before: the checks after a jump back, a reconnect and a failover. What does not
//! continue stops the stream, so nothing is lost or doubled without a word.

use super::{Assembler, StreamError, outline::Outline};
use crate::binlog::event::RawEvent;
use change_event::checkpoint::BinlogPosition;

impl Assembler {
    /// A transaction that is to be read again must begin where it began before.
    pub(super) fn assert_read_again_from(
        &self,
        here: &BinlogPosition,
        event: &RawEvent,
    ) -> Result<(), StreamError> {
        let expected =
            self.judged.as_ref().map(|(start, _)| start).or(self.replay.as_ref().map(|replay| &replay.start));
        if expected.is_some_and(|expected| expected != here) {
            return Err(self.cannot_follow(
                event,
                here.pos,
                None,
                "the transaction that was to be read again does not begin here: the binlog is not what it was",
            ));
        }
        Ok(())
    }

    /// A transaction that is published in part must be the one that comes now.
    pub(super) fn assert_same_as_published(&self, event: &RawEvent, start: u64) -> Result<(), StreamError> {
        if let Some(skip) = self.skip_changes.as_ref().filter(|skip| skip.gtid != self.gtid) {
            return Err(StreamError::NotContinued {
                place: self.place_at(start, event.header.type_code, None),
                reason: format!(
                    "transaction {} is published in part, and {} comes here",
                    skip.gtid, self.gtid
                ),
            });
        }
        Ok(())
    }

    /// A transaction that was read to its end before must have as many events as then.
    pub(super) fn assert_same_length(
        &self,
        judged: &Outline,
        outline: &Outline,
        event: &RawEvent,
        start: u64,
    ) -> Result<(), StreamError> {
        if judged.events() == outline.events() {
            return Ok(());
        }
        Err(self.cannot_follow(
            event,
            start,
            None,
            "the transaction has another length than when it was read before: the binlog is not what it was",
        ))
    }

    /// A transaction whose end was never written must not be published in part.
    pub(super) fn assert_nothing_published(&self, event: &RawEvent, start: u64) -> Result<(), StreamError> {
        if self.skip_events > 0 {
            return Err(StreamError::NotContinued {
                place: self.place_at(start, event.header.type_code, None),
                reason: format!(
                    "transaction {} is published in part, and here its end was never written",
                    self.gtid
                ),
            });
        }
        Ok(())
    }

    /// A transaction that was read in part from another server must bring at least what was published of it.
    pub(super) fn assert_continued(&self, event: &RawEvent, start: u64) -> Result<(), StreamError> {
        let Some(skip) = &self.skip_changes else { return Ok(()) };
        let orders = self.tables.orders();
        let short =
            skip.changes.iter().find(|(table, done)| orders.get(*table).copied().unwrap_or(0) < **done);
        let Some((table, done)) = short else { return Ok(()) };
        Err(StreamError::NotContinued {
            place: self.place_at(start, event.header.type_code, Some(table.clone())),
            reason: format!(
                "{done} changes of transaction {} are published, and here it has fewer",
                skip.gtid
            ),
        })
    }
}
