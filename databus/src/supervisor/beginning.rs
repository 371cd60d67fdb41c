//! Where to begin: at the checkpoint, at the oldest binlog, or at the end of it with a snapshot.

use super::Worker;
use crate::{error::DatabusError, presence::Leave, snapshot};
use change_event::{
    Epoch, Version,
    checkpoint::{Checkpoint, SnapshotCause},
};
use pipeline_config::SnapshotMode;
use std::ops::ControlFlow::{self, Continue};

impl Worker {
    /// Where to begin.
    pub(super) fn starting_point(&self, term: u64) -> Result<ControlFlow<Leave, Checkpoint>, DatabusError> {
        let source = self.source.name.to_string();
        match self.stage1.last_checkpoint()? {
            Some(checkpoint) if checkpoint.seq.counter() > 0 && self.stage1.is_untouched()? => {
                Err(DatabusError::Stage1Lost { source_name: source, seq: checkpoint.seq })
            }
            Some(checkpoint) => {
                tracing::info!(source, seq = %checkpoint.seq, file = checkpoint.position.file, pos = checkpoint.position.pos,
                    gtid = checkpoint.gtid, "resuming from the checkpoint");
                Ok(Continue(checkpoint))
            }
            None if self.stage1.has_changes()? => Err(DatabusError::CheckpointLost { source_name: source }),
            None if self.source.snapshot != SnapshotMode::Never => {
                Ok(self.at_the_end(term, None, SnapshotCause::Initial))
            }
            None => {
                tracing::info!(
                    source,
                    file = self.server.oldest.file,
                    "no checkpoint yet: starting at the oldest binlog the source has"
                );
                Ok(Continue(Checkpoint {
                    source_identity: self.server.identity.clone(),
                    epoch: Epoch::FIRST,
                    seq: Version::START,
                    gtid: None,
                    position: self.server.oldest.clone(),
                    events_done_in_next: 0,
                    inside: None,
                    gtids: None,
                    as_of: None,
                    prepared_xa: Vec::new(),
                    snapshots: Vec::new(),
                }))
            }
        }
    }

    /// The source as it is now: the stream goes on from the binlog's end, and a snapshot of every table brings what was before.
    pub(super) fn at_the_end(
        &self,
        term: u64,
        before: Option<&Checkpoint>,
        cause: SnapshotCause,
    ) -> ControlFlow<Leave, Checkpoint> {
        let mut horizon = self.horizon.clone();
        let end = self.unless_leaving(term, async {
            loop {
                if let Some(horizon) = horizon.borrow_and_update().as_ref() {
                    return horizon.end.clone();
                }
                if horizon.changed().await.is_err() {
                    // a stop was asked for, and who leaves says so
                    std::future::pending::<()>().await;
                }
            }
        })?;
        tracing::info!(source = %self.source.name, file = end.file, pos = end.pos, cause = cause.as_str(),
            "streaming from the binlog's end, with a snapshot of every table");
        Continue(Checkpoint {
            source_identity: before
                .map_or_else(|| self.server.identity.clone(), |before| before.source_identity.clone()),
            epoch: before.map_or(Epoch::FIRST, |before| before.epoch),
            seq: before.map_or(Version::START, |before| before.seq),
            gtid: None,
            position: end,
            events_done_in_next: 0,
            inside: None,
            gtids: None,
            as_of: before.and_then(|before| before.as_of),
            // no snapshot shows their rows: they come at their XA COMMIT
            prepared_xa: before.map_or_else(Vec::new, |before| before.prepared_xa.clone()),
            snapshots: snapshot::of_all(&self.source, cause),
        })
    }
}
