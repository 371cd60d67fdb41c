//! Where the stream stands: events and heartbeats move it through a file and on to the next one, and each boundary is a place to go on from.

use super::{
    Assembler, ChangeSink, Step, StreamError,
    group::{End, Group},
};
use crate::binlog::{
    DecodeError,
    event::{Kind, RawEvent},
    gtid_state::GtidState,
};

impl Assembler {
    /// A boundary is where a restart goes on; except while a prepared transaction is read again, which belongs to its XA COMMIT, and in
    /// front of the first transaction after a start by GTID: there the heads of files are passed over.
    pub(super) fn settle(&mut self, step: Step) -> Step {
        match step {
            Step::Boundary if !self.resume.arrived => Step::Inside,
            Step::Boundary => {
                self.group = Group::Outside;
                self.whole = self.handed_out();
                if self.replay.is_none() {
                    self.resume.position = self.next_position();
                }
                step
            }
            Step::Inside | Step::Heartbeat | Step::Jump => step,
        }
    }

    /// Moves past the event; returns where it starts. Events that the server made up have no place in the file.
    pub(super) fn advance(&mut self, event: &RawEvent) -> u64 {
        let start = self.pos;
        let header = &event.header;
        let kind = header.kind();
        let in_file = !header.is_artificial() && !matches!(kind, Kind::Heartbeat | Kind::Rotate);
        let replayed_description = kind == Kind::FormatDescription && header.end_pos == 0;
        if in_file && !replayed_description {
            // the server's 32-bit position wraps at 4 GiB and is 0 inside transactions of MariaDB >= 11.4: events are contiguous, so
            // lengths tell, and where the server does say it, its word is the place nearest to that
            let by_length = self.pos + u64::from(header.event_len);
            self.pos = match (header.end_pos, kind) {
                (0, _) => by_length,
                // after a start by GTID the server leaves out what we have
                (end, Kind::MariaGtid | Kind::MysqlGtid) if !self.resume.arrived && self.replay.is_none() => {
                    self.arrive(end)
                }
                (end, _) => {
                    by_length.saturating_add_signed(i64::from(end.wrapping_sub(by_length as u32) as i32))
                }
            };
            return self.pos.saturating_sub(u64::from(header.event_len));
        }
        start
    }

    /// Where a start by GTID goes on, of which the server says the low 32 bits: not in front of our place, if it is of this file, nor in
    /// front of what has come of it. (Of another server's file above 4 GiB no more is known; its next file is counted from its beginning.)
    fn arrive(&self, end: u32) -> u64 {
        let ours = &self.resume.position;
        let from =
            if self.resume.same_server && ours.file == self.file { ours.pos.max(self.pos) } else { self.pos };
        from.saturating_add(u64::from(end.wrapping_sub(from as u32)))
    }

    /// The server has nothing to send. Where a start by GTID found nothing to read, this is its place: MariaDB says it only at the end of
    /// its binlog (MySQL also on the way there).
    pub(super) fn heartbeat(&mut self, event: &RawEvent) -> Step {
        let at_end = matches!(self.resume.gtids, Some(GtidState::MariaDb(_)))
            && matches!(self.group, Group::Outside)
            && self.judged.is_none()
            && self.replay.is_none();
        if !self.resume.arrived
            && at_end
            && self.skip_changes.is_none()
            && event.header.end_pos > 0
            && let Ok(file) = std::str::from_utf8(event.body().0)
            && file == self.file
        {
            self.pos = self.arrive(event.header.end_pos);
            self.resume.arrived = true;
            return Step::Boundary;
        }
        Step::Heartbeat
    }

    /// Bookkeeping events between transactions move the checkpoint; inside one they do not.
    pub(super) fn outside_or_inside(&self) -> Step {
        if matches!(self.group, Group::Outside) { Step::Boundary } else { Step::Inside }
    }

    pub(super) fn rotate(&mut self, event: &RawEvent, start: u64) -> Result<Step, StreamError> {
        let mut body = event.body();
        let target = body.uint(8).and_then(|pos| {
            let name = std::str::from_utf8(body.0)
                .map_err(|_| DecodeError::Malformed("a file name that is not UTF-8"))?;
            Ok((pos, name.to_owned()))
        });
        let (pos, file) = target.map_err(|reason| self.undecodable(event, start, None, reason))?;
        if self.replay.is_none() && self.file_base.0 != file {
            self.file_base = (file.clone(), self.counts);
        }
        // an open transaction is still to be given up, with the table maps of the file that it was cut off in
        if matches!(self.group, Group::Outside) {
            self.tables.forget();
        }
        self.file = file;
        self.pos = pos;
        Ok(self.outside_or_inside())
    }

    /// A transaction never spans files: one that is open here was cut off when the source died while it wrote it, and was never committed.
    pub(super) fn new_file(
        &mut self,
        event: &RawEvent,
        sink: &mut impl ChangeSink,
    ) -> Result<Step, StreamError> {
        // format version (2 bytes), server version (50 bytes), when the server started (0: this is not its first file)
        let mut body = event.body();
        if body.take(52).is_ok() && body.uint(4).is_ok_and(|started| started != 0) {
            self.temporary.clear();
        }
        if matches!(self.group, Group::Transaction(_)) {
            let step = self.end(event, self.pos, End::Cut, sink)?;
            self.tables.describe(event.body().0);
            return Ok(step);
        }
        self.tables.forget();
        self.tables.describe(event.body().0);
        Ok(Step::Boundary)
    }
}
