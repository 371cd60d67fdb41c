//! The event group that is open: what it is, and how its rows are treated until its end is known.

use super::outline::Outline;
use crate::binlog::event::RawEvent;
use change_event::checkpoint::BinlogPosition;

/// Bytes of captured rows that are kept of a transaction until its end is known: 4 MiB. A larger one is read twice, first only to its end.
pub(super) const MOST_HELD: usize = 4 << 20;

/// What kind of group is open.
#[derive(Debug)]
pub(super) enum Group {
    Outside,
    /// MySQL's GTID came; the next event says what it begins.
    Announced {
        start: BinlogPosition,
    },
    /// One statement.
    Standalone,
    Transaction(Box<Open>),
}

/// A transaction.
#[derive(Debug)]
pub(super) struct Open {
    /// Where its GTID event starts.
    pub(super) start: BinlogPosition,
    /// What this pass has seen of it.
    pub(super) outline: Outline,
    pub(super) mode: Mode,
}

/// What happens to rows as they come.
#[derive(Debug)]
pub(super) enum Mode {
    /// They wait for the end.
    Hold(Held),
    /// They are passed over: there are too many to keep, and their end is not known yet.
    Scan,
    /// They go out as they come: the pass before showed which of them last.
    Publish(Outline),
}

/// Captured rows events, their table maps, and statements among them, in order.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) events: Vec<HeldEvent>,
    bytes: usize,
}

#[derive(Debug)]
pub(super) struct HeldEvent {
    pub(super) event: RawEvent,
    /// Where it starts in its file.
    pub(super) start: u64,
    /// Its number in the outline; 0 for a table map.
    pub(super) number: u64,
}

impl Held {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Open {
    /// Keeps an event for the end, or gives up keeping.
    pub(super) fn keep(&mut self, event: RawEvent, start: u64, number: u64) {
        let Mode::Hold(held) = &mut self.mode else { return };
        held.bytes += event.size() + size_of::<HeldEvent>();
        // one large row is no reason to read twice
        let has_rows = held.events.iter().any(|held| held.number > 0);
        if held.bytes > MOST_HELD && has_rows {
            self.mode = Mode::Scan;
        } else {
            held.events.push(HeldEvent { event, start, number });
        }
    }
}

/// How a transaction ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    Committed,
    RolledBack,
    /// The source died while it wrote it.
    Cut,
    /// It takes effect at XA COMMIT, or never.
    Prepared(String),
}
