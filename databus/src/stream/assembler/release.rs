//! Rows of captured tables on their way out: kept until the end of their transaction is known, or written as they come.

use super::{
    Assembler, ChangeSink, Step, StreamError,
    group::{Group, Held, HeldEvent, Mode},
    outline::Outline,
};
use crate::{
    binlog::{
        event::{Kind, RawEvent, RowsKind},
        inflate, rows,
        statement::Statement,
    },
    stream::{
        envelope::EventFacts,
        row_writer::{Outcome, RowError, RowWriter, now_ms},
        tables::{Captured, Table},
    },
};

impl Assembler {
    /// Counts an event of the open transaction, over all tables; its number.
    pub(super) fn count_event(&mut self) -> u64 {
        match &mut self.group {
            Group::Transaction(open) => open.outline.count(),
            _ => 0,
        }
    }

    pub(super) fn rows(
        &mut self,
        event: RawEvent,
        start: u64,
        sink: &mut impl ChangeSink,
    ) -> Result<Step, StreamError> {
        /// An event that only says "end of statement".
        const DUMMY_TABLE_ID: u64 = 0xff_ffff;
        let table_id = rows::parse_table_id(&mut event.body())
            .map_err(|reason| self.undecodable(&event, start, None, reason))?;
        let number = self.count_event();
        if table_id == DUMMY_TABLE_ID {
            return Ok(Step::Inside);
        }
        let table = match self.tables.get(table_id) {
            None => {
                return Err(self.cannot_follow(
                    &event,
                    start,
                    None,
                    "rows of a table whose map was not seen",
                ));
            }
            Some(Table::Foreign) => return Ok(Step::Inside),
            Some(Table::Captured(captured)) => &captured.name,
        };
        let Group::Transaction(open) = &mut self.group else {
            let table = Some(table.clone());
            return Err(self.cannot_follow(&event, start, table, "rows outside a transaction"));
        };
        match &open.mode {
            Mode::Hold(_) => open.keep(event, start, number),
            Mode::Scan => {}
            Mode::Publish(judged) => {
                let outcome = outcome(judged, number, self.skip_events);
                let file = std::mem::take(&mut self.file);
                let written = self.write(&event, start, &file, outcome, sink);
                self.file = file;
                written?;
            }
        }
        Ok(Step::Inside)
    }

    /// Hands out what was kept of a transaction that began in `file`.
    pub(super) fn release(
        &mut self,
        held: Held,
        outline: &Outline,
        file: &str,
        sink: &mut impl ChangeSink,
    ) -> Result<(), StreamError> {
        for HeldEvent { event, start, number } in held.events {
            let outcome = outcome(outline, number, self.skip_events);
            match event.header.kind() {
                Kind::TableMap => {
                    self.tables
                        .learn(event.body())
                        .map_err(|(table, reason)| self.undecodable(&event, start, table, reason))?;
                }
                Kind::Rows { .. } => self.write(&event, start, file, outcome, sink)?,
                Kind::Query | Kind::CompressedQuery if outcome == Outcome::Publish => {
                    let parsed = match event.header.kind() {
                        Kind::CompressedQuery => Statement::parse_compressed(event.body()),
                        _ => Statement::parse(event.body()),
                    };
                    let statement = parsed.map_err(|reason| self.undecodable(&event, start, None, reason))?;
                    self.announce(&event, start, file, &statement, sink)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Writes the rows of one event of a captured table, or counts what became of them.
    fn write(
        &mut self,
        event: &RawEvent,
        start: u64,
        file: &str,
        outcome: Outcome,
        sink: &mut impl ChangeSink,
    ) -> Result<(), StreamError> {
        let Kind::Rows { kind, extra, compressed } = event.header.kind() else { return Ok(()) };
        let mut plain = std::mem::take(&mut self.buffers.plain);
        let mut body = event.body();
        if compressed {
            let inflated = inflate::inflate_rows(body, extra, kind == RowsKind::Update, &mut plain);
            inflated.map_err(|reason| self.undecodable(event, start, None, reason))?;
            body = crate::binlog::bytes::Bytes(&plain);
        }
        let table_id =
            rows::parse_table_id(&mut body).map_err(|reason| self.undecodable(event, start, None, reason))?;
        let Some((captured, order)) = self.tables.captured_mut(table_id) else {
            return Err(self.cannot_follow(event, start, None, "rows of a table whose map was not kept"));
        };
        let Captured { name, shape, prefix, .. } = captured;
        let timestamp = self.commit_timestamp.unwrap_or(event.header.timestamp);
        let mut writer = RowWriter {
            event: EventFacts {
                source: &self.source,
                gtid: &self.gtid,
                file,
                pos: start,
                server_id: event.header.server_id,
                source_ts_ms: i64::from(timestamp) * 1_000,
                ts_ms: now_ms(),
            },
            prefix,
            table: name,
            table_order: order,
            buffers: &mut self.buffers,
            seq: &mut self.resume.seq,
            orders: &mut self.orders,
            counts: &mut self.counts,
            skip_changes: self
                .skip_changes
                .as_ref()
                .and_then(|skip| skip.changes.get(name))
                .copied()
                .unwrap_or(0),
            outcome,
        };
        let written = writer.write_all(body, shape, kind, extra, sink);
        let failed_in = written.is_err().then(|| name.clone());
        self.buffers.plain = plain;
        match written {
            Ok(()) => Ok(()),
            Err(RowError::Decode(reason)) => Err(self.undecodable(event, start, failed_in, reason)),
            Err(RowError::Stream(error)) => Err(error),
        }
    }
}

/// What becomes of the event with this number.
pub(super) fn outcome(outline: &Outline, number: u64, done: u64) -> Outcome {
    if outline.is_undone(number) {
        Outcome::Undo
    } else if number <= done {
        Outcome::Repeat
    } else {
        Outcome::Publish
    }
}
