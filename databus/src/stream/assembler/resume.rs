//! The place where a stream goes on, and what it must know there.

use super::Assembler;
use crate::binlog::gtid_state::GtidState;
use change_event::{
    Version,
    checkpoint::{BinlogPosition, Inside, PreparedXa},
};

/// Where to go on: the checkpoint's content as the stream needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Resume {
    /// End of the last completed transaction.
    pub position: BinlogPosition,
    /// Rows events of the transaction after it that are published already.
    pub events_done_in_next: u64,
    /// The last change's version.
    pub seq: Version,
    /// GTID of the last completed transaction.
    pub gtid: Option<String>,
    /// GTIDs of all transactions up to there, where they are known.
    pub gtids: Option<GtidState>,
    /// What of the next transaction is published, told so that a server that wrote it in other events can be read on.
    pub inside: Option<Inside>,
    /// Whether the position is one of the server that is being read; after a start by GTID only from the first transaction on.
    pub arrived: bool,
    /// Whether the position is at least one of the server that is being read: nothing then comes from in front of it in its file.
    pub same_server: bool,
    /// XA transactions that are prepared and undecided.
    pub prepared_xa: Vec<PreparedXa>,
}

impl Resume {
    /// At a position of the server that is being read, between two transactions, with nothing published before.
    pub(crate) fn at(position: BinlogPosition) -> Self {
        Self {
            position,
            events_done_in_next: 0,
            seq: Version::START,
            gtid: None,
            gtids: None,
            inside: None,
            arrived: true,
            same_server: true,
            prepared_xa: Vec::new(),
        }
    }
}

/// How much was handed out: changes and truncates by the version, marks by their number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HandedOut {
    seq: Version,
    snapshots_needed: u64,
}

impl HandedOut {
    pub(super) fn before(resume: &Resume) -> Self {
        Self { seq: resume.seq, snapshots_needed: 0 }
    }
}

impl Assembler {
    pub(super) fn handed_out(&self) -> HandedOut {
        HandedOut { seq: self.resume.seq, snapshots_needed: self.counts.snapshots_needed }
    }

    /// Whether only whole transactions were handed out since the last place between two, and [`resume`](Self::resume) stands right behind
    /// them: asked after an error, which may have come in the middle of handing one out.
    pub(crate) fn is_whole(&self) -> bool {
        self.publishing().is_none() && self.whole == self.handed_out()
    }

    /// Where a restart would go on if everything handed out so far were durable.
    pub(crate) fn resume(&self) -> Resume {
        let resume = Resume { prepared_xa: self.undecided(), ..self.resume.clone() };
        let Some(outline) = self.publishing() else {
            return Resume {
                events_done_in_next: self.skip_events,
                inside: self.skip_changes.clone().or_else(|| self.resume.inside.clone()),
                ..resume
            };
        };
        let mut changes = self.tables.orders();
        for (table, done) in self.skip_changes.iter().flat_map(|skip| &skip.changes) {
            let reached = changes.entry(table.clone()).or_default();
            *reached = (*reached).max(*done);
        }
        Resume {
            events_done_in_next: if self.resume.arrived { outline.events().max(self.skip_events) } else { 0 },
            inside: Some(Inside { gtid: self.gtid.clone(), changes }),
            ..resume
        }
    }
}
