//! A transaction from its GTID to its end.

use super::{
    Assembler, ChangeSink, Step, StreamError,
    group::{End, Group, Held, Mode, Open},
    outline::Outline,
};
use crate::{
    binlog::{
        DecodeError,
        event::RawEvent,
        gtid::{GroupKind, Gtid},
        payload::Payload,
    },
    stream::row_writer::Orders,
};
use change_event::checkpoint::BinlogPosition;

impl Assembler {
    pub(super) fn begin(
        &mut self,
        event: &RawEvent,
        start: u64,
        parsed: Result<(Gtid, GroupKind), DecodeError>,
    ) -> Result<Step, StreamError> {
        if !matches!(self.group, Group::Outside) {
            return Err(self.cannot_follow(
                event,
                start,
                None,
                "a transaction begins before the one before it has ended",
            ));
        }
        let (gtid, kind) = parsed.map_err(|reason| self.undecodable(event, start, None, reason))?;
        let here = BinlogPosition { file: self.file.clone(), pos: start };
        self.assert_read_again_from(&here, event)?;
        self.gtid.clear();
        match &self.replay {
            Some(replay) => self.gtid.push_str(&replay.gtid),
            None => {
                self.commit_timestamp = None;
                self.current = gtid;
                let written = std::fmt::Write::write_fmt(&mut self.gtid, format_args!("{gtid}"));
                debug_assert!(written.is_ok(), "a String takes any text");
            }
        }
        self.assert_same_as_published(event, start)?;
        self.tables.restart_orders();
        self.orders = Orders::default();
        match kind {
            GroupKind::Standalone => self.group = Group::Standalone,
            GroupKind::Announced => self.group = Group::Announced { start: here },
            GroupKind::Transaction => self.open(here),
        }
        Ok(Step::Inside)
    }

    /// Opens a transaction: one that was read to its end before goes out in pieces, every other one waits for its end.
    pub(super) fn open(&mut self, start: BinlogPosition) {
        let mode = match self.judged.take() {
            Some((_, outline)) => Mode::Publish(outline),
            None => Mode::Hold(Held::default()),
        };
        self.group = Group::Transaction(Box::new(Open { start, outline: Outline::default(), mode }));
    }

    /// MySQL's compressed transaction: its events stand in one, without its GTID.
    pub(super) fn payload(
        &mut self,
        event: &RawEvent,
        start: u64,
        sink: &mut impl ChangeSink,
    ) -> Result<Step, StreamError> {
        if !matches!(self.group, Group::Announced { .. }) {
            return Err(self.cannot_follow(event, start, None, "a compressed transaction without its GTID"));
        }
        let payload =
            Payload::parse(event.body()).map_err(|reason| self.undecodable(event, start, None, reason))?;
        self.payload = Some((payload, start));
        Ok(self.go_on(sink)?.unwrap_or(Step::Inside))
    }

    pub(super) fn table_map(&mut self, event: RawEvent, start: u64) -> Result<Step, StreamError> {
        match self.tables.learn(event.body()) {
            Ok(false) => {}
            Ok(true) => {
                if let Group::Transaction(open) = &mut self.group {
                    open.keep(event, start, 0);
                }
            }
            Err((table, reason)) => return Err(self.undecodable(&event, start, table, reason)),
        }
        Ok(Step::Inside)
    }

    /// The end of a transaction: what waited for it goes out, unless it was too much to wait.
    pub(super) fn end(
        &mut self,
        event: &RawEvent,
        start: u64,
        end: End,
        sink: &mut impl ChangeSink,
    ) -> Result<Step, StreamError> {
        let open = match std::mem::replace(&mut self.group, Group::Outside) {
            Group::Transaction(open) => *open,
            Group::Outside | Group::Announced { .. } | Group::Standalone => return self.finish(),
        };
        let mut outline = open.outline;
        if matches!(end, End::RolledBack | End::Cut) {
            outline.undo_all();
        }
        if let (End::Prepared(xid), None) = (&end, &self.replay) {
            let held = match open.mode {
                Mode::Hold(held) => Some(held),
                Mode::Scan | Mode::Publish(_) => None,
            };
            self.prepare(xid.clone(), open.start, held, outline);
            return self.finish();
        }
        match open.mode {
            Mode::Hold(held) => self.release(held, &outline, &open.start.file, sink)?,
            Mode::Scan => {
                let start = open.start.clone();
                self.judged = Some((start.clone(), outline));
                return Ok(self.jump(start));
            }
            Mode::Publish(judged) => self.assert_same_length(&judged, &outline, event, start)?,
        }
        if end == End::Cut {
            self.assert_nothing_published(event, start)?;
            tracing::warn!(
                file = open.start.file,
                pos = open.start.pos,
                gtid = self.gtid,
                "the source died while it wrote this transaction; it was never committed, and nothing of it is published"
            );
            self.tables.forget();
            return Ok(Step::Boundary);
        }
        self.assert_continued(event, start)?;
        self.finish()
    }

    /// A group is complete.
    pub(super) fn finish(&mut self) -> Result<Step, StreamError> {
        self.counts.transactions += 1;
        self.skip_events = 0;
        self.skip_changes = None;
        self.resume.inside = None;
        self.resume.arrived = true;
        if let Some(gtids) = &mut self.resume.gtids {
            gtids.add(self.current);
        }
        self.resume.gtid = if self.gtid.is_empty() { None } else { Some(self.gtid.clone()) };
        match self.replay.take() {
            Some(replay) => Ok(self.end_replay(replay)),
            None => Ok(Step::Boundary),
        }
    }
}
