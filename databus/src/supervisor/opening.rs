//! Opens a session: asks whether the server continues the checkpoint, connects, and streams until that ends.

use super::Worker;
use crate::{
    presence::Leave,
    publish::{Inbox, Publisher},
    session::{Ended as SessionEnded, Halt, Session, SessionError},
    snapshot::{self, Snapshots},
    source::{Feed, Start, TransportError, answers_as, confirm, preflight, told_columns},
    status::State,
    stream::{Assembler, Resume},
};
use change_event::checkpoint::{BinlogPosition, Checkpoint};
use std::ops::ControlFlow::{Break, Continue};

impl Worker {
    pub(super) fn session(
        &self,
        term: u64,
        publisher: &mut Publisher,
        checkpoint: &mut Checkpoint,
        inbox: &mut Inbox,
    ) -> Result<SessionEnded, SessionError> {
        let connected = self.unless_leaving(term, async {
            let start = confirm(&self.source, &self.password, checkpoint).await?;
            if start.moved {
                // it has to be fit for it just as the first one
                let server = preflight(&self.source, &self.password).await?;
                tracing::warn!(source = %self.source.name, server_id = start.identity.server_id, version = %server.version,
                    gtids = checkpoint.gtids, "another server answers and has what was read: reading on by gtid");
            }
            let told = told_columns(&self.source, &self.password).await?;
            let feed = self.open(&start, &checkpoint.position).await?;
            Ok::<_, SessionError>((feed, start, told))
        });
        let (feed, start, told) = match connected {
            Continue(connected) => connected?,
            Break(Leave::Stopped) => return Ok(SessionEnded::Drained),
            Break(Leave::RoleLost) => return Ok(SessionEnded::GaveUp),
            Break(Leave::SourceLost) => {
                return Err(TransportError::Lost("it does not answer".to_owned()).into());
            }
        };
        let here = Start { by_gtid: false, ..start.clone() };
        let reopen = |position: &BinlogPosition| {
            let reopened = self.unless_leaving(term, async {
                // a position says nothing on another server
                answers_as(&self.source, &self.password, &here.identity).await?;
                self.open(&here, position).await
            });
            match reopened {
                Continue(feed) => feed,
                Break(_) => Err(TransportError::Lost("left while connecting again".to_owned())),
            }
        };
        if start.moved && !checkpoint.prepared_xa.is_empty() {
            tracing::warn!(source = %self.source.name, prepared = checkpoint.prepared_xa.len(),
                "XA transactions were prepared on the server before this one, and where they are in this one's binlog is not known: \
                 the XA COMMIT of one that changed captured tables will stop the source");
        }
        let tables = self
            .source
            .tables
            .iter()
            .map(|table| (table.database().to_owned(), table.table().to_owned()))
            .collect();
        let resume = Resume {
            position: checkpoint.position.clone(),
            // events are counted in one server's binlog
            events_done_in_next: if start.moved { 0 } else { checkpoint.events_done_in_next },
            inside: checkpoint.inside.clone(),
            seq: checkpoint.seq,
            gtid: checkpoint.gtid.clone(),
            gtids: start.gtids,
            arrived: !start.by_gtid,
            same_server: !start.moved,
            // their places are those of one server's binlog
            prepared_xa: if start.moved { Vec::new() } else { checkpoint.prepared_xa.clone() },
        };
        self.status.set(State::Active, "streaming");
        tracing::info!(source = %self.source.name, "streaming");
        let reading = snapshot::Context {
            source: self.source.clone(),
            password: self.password.clone(),
            server_id: self.server.identity.server_id,
            connections: self.config.databus.snapshot_connections,
            most_rows: self.config.databus.snapshot_chunk_rows,
            runtime: self.runtime.clone(),
            metrics: self.metrics.snapshots.clone(),
        };
        let session = Session {
            snapshots: Snapshots::new(reading, checkpoint.snapshots.clone()),
            inbox,
            feed,
            reopen: &reopen,
            assembler: Assembler::new(&self.source.name, tables, resume).told(told),
            publisher,
            checkpoint,
            identity: start.identity,
            horizon: self.horizon.clone(),
            limits: &self.config.databus,
            metrics: &self.metrics,
            status: &self.status,
        };
        let halt = || match () {
            () if self.presence.shutdown.is_requested() => Some(Halt::Drain),
            () if !self.presence.membership.holds(term) => Some(Halt::GiveUp),
            () => None,
        };
        match session.run(halt) {
            // the server's refusal reads alike in several cases: what it has tells them apart
            Err(SessionError::Transport(refused @ TransportError::PositionRefused(_))) => {
                self.runtime.block_on(confirm(&self.source, &self.password, checkpoint))?;
                Err(refused.into())
            }
            ended => ended,
        }
    }

    /// Connects and reads from there on. A server that takes the connection and says nothing holds a thread of its own, and nobody else.
    async fn open(&self, start: &Start, position: &BinlogPosition) -> Result<Feed, TransportError> {
        let (source, password, runtime) = (self.source.clone(), self.password.clone(), self.runtime.clone());
        let (start, position) = (start.clone(), position.clone());
        tokio::task::spawn_blocking(move || {
            crate::source::open(&source, &password, &start, &position, &runtime)
        })
        .await
        .map_err(|cause| TransportError::Lost(format!("the connecting thread ended: {cause}")))?
    }
}
