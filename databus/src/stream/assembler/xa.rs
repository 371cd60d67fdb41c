//! XA transactions that are prepared: their rows take effect where XA COMMIT stands, which may be files later, or never.
//!
//! The rows of a few are kept in memory; those of the others are read again, from where they begin, when the decision comes. The
//! checkpoint holds that place, so a restart in between loses nothing.

use super::{Assembler, ChangeSink, Step, StreamError, group::Group, group::Held, outline::Outline};
use crate::binlog::event::RawEvent;
use change_event::checkpoint::{BinlogPosition, PreparedXa};

/// Bytes of captured rows that are kept of all prepared transactions together: 16 MiB.
const MOST_HELD: usize = 16 << 20;

/// One that is prepared and undecided.
#[derive(Debug)]
pub(super) struct Prepared {
    start: BinlogPosition,
    /// Its rows, if there was room; and which of them last.
    held: Option<(Held, Outline)>,
}

/// A prepared transaction that is being read again because it was committed.
#[derive(Debug)]
pub(super) struct Replay {
    xid: String,
    pub(super) start: BinlogPosition,
    /// Behind the XA COMMIT: where the stream goes on.
    end: BinlogPosition,
    /// The XA COMMIT's.
    pub(super) gtid: String,
}

impl Assembler {
    /// What the checkpoint must hold of them.
    pub(super) fn undecided(&self) -> Vec<PreparedXa> {
        let entry = |(xid, prepared): (&String, &Prepared)| PreparedXa {
            xid: xid.clone(),
            position: prepared.start.clone(),
        };
        self.prepared.iter().map(entry).collect()
    }

    /// Takes over what the checkpoint holds.
    pub(super) fn recall(&mut self, undecided: &[PreparedXa]) {
        for xa in undecided {
            self.prepared.insert(xa.xid.clone(), Prepared { start: xa.position.clone(), held: None });
        }
    }

    pub(super) fn prepare(
        &mut self,
        xid: String,
        start: BinlogPosition,
        held: Option<Held>,
        outline: Outline,
    ) {
        let kept: usize =
            self.prepared.values().filter_map(|xa| xa.held.as_ref()).map(|(held, _)| held.bytes()).sum();
        let held = held.filter(|held| held.bytes() + kept <= MOST_HELD).map(|held| (held, outline));
        self.prepared.insert(xid, Prepared { start, held });
    }

    pub(super) fn xa_commit(
        &mut self,
        xid: &str,
        event: &RawEvent,
        start: u64,
        sink: &mut impl ChangeSink,
    ) -> Result<Step, StreamError> {
        let Some(prepared) = self.prepared.get_mut(xid) else {
            return Err(self.cannot_follow(
                event,
                start,
                None,
                &format!(
                    "XA transaction {xid} was prepared before the place where this stream began, so its rows are not known; if they are \
                     of captured tables, take a snapshot of those, then set the position behind this event"
                ),
            ));
        };
        self.commit_timestamp = Some(event.header.timestamp);
        if let Some((held, outline)) = prepared.held.take() {
            let file = prepared.start.file.clone();
            // its table maps belong to the file it was prepared in
            self.tables.forget();
            self.release(held, &outline, &file, sink)?;
            // after an error it is still undecided
            self.prepared.remove(xid);
            self.tables.forget();
            return self.finish();
        }
        let from = prepared.start.clone();
        self.replay = Some(Replay {
            xid: xid.to_owned(),
            start: from.clone(),
            end: BinlogPosition { file: self.file.clone(), pos: self.pos },
            gtid: self.gtid.clone(),
        });
        Ok(self.jump(from))
    }

    pub(super) fn xa_rollback(&mut self, xid: &str, sink: &mut impl ChangeSink) -> Result<Step, StreamError> {
        if let Some(prepared) = self.prepared.get_mut(xid)
            && let Some((held, mut outline)) = prepared.held.take()
        {
            let file = prepared.start.file.clone();
            outline.undo_all();
            self.tables.forget();
            self.release(held, &outline, &file, sink)?;
            self.tables.forget();
        }
        self.prepared.remove(xid);
        self.finish()
    }

    /// The prepared transaction was read again and is published: the stream goes on behind its XA COMMIT.
    pub(super) fn end_replay(&mut self, replay: Replay) -> Step {
        self.prepared.remove(&replay.xid);
        self.resume.position = replay.end.clone();
        self.jump(replay.end)
    }

    /// Goes on reading elsewhere.
    pub(super) fn jump(&mut self, to: BinlogPosition) -> Step {
        self.group = Group::Outside;
        self.tables.forget();
        self.pos = to.pos;
        self.file = to.file;
        Step::Jump
    }
}
