//! Keeps one source streaming: takes over, checks, resumes, and goes back to the last checkpoint after every transient failure.

use crate::{
    error::DatabusError,
    metrics::SourceMetrics,
    publish::{Inbox, PublishError, Publisher, Stage1},
    session::{Session, SessionError},
    snapshot::{self, Snapshots},
    source::{
        Feed, LostPosition, MysqlCdcTransport, Server, TransportError, confirm, preflight, told_columns,
        watch_horizon,
    },
    stream::{Assembler, Resume, StreamError},
};
use change_event::{
    Epoch, Version,
    checkpoint::{Checkpoint, SnapshotCause},
};
use pipeline_config::{Config, SnapshotMode, Source};
use secrecy::SecretString;
use service_kit::{
    Shutdown,
    retry::{Ended, until_stopped},
};
use std::{sync::Arc, time::Duration};
use tokio::sync::watch;

/// Longest pause between two attempts.
const RETRY_CAP: Duration = Duration::from_secs(5);
/// A session that lasted this long was healthy: the next failure starts with a short pause again.
const HEALTHY_AFTER: Duration = Duration::from_secs(10);

/// Streams one source until a stop is asked for or a definite error. `ready` turns true with the first session.
pub(crate) async fn supervise(
    config: Arc<Config>,
    source: Arc<Source>,
    password: SecretString,
    metrics: SourceMetrics,
    ready: watch::Sender<bool>,
    shutdown: Shutdown,
) -> Result<(), DatabusError> {
    let server = match until_stopped(
        "ask the source",
        RETRY_CAP,
        &shutdown,
        crate::source::PreflightError::is_transient,
        || preflight(&source, &password),
    )
    .await
    {
        Ok(server) => server,
        Err(Ended::Stopped) => return Ok(()),
        Err(Ended::Definite(error)) => return Err(error.into()),
    };
    tracing::info!(source = %source.name, version = %server.version, server_id = server.identity.server_id, "source passed preflight");
    let stage1 = Stage1::open(&config.kafka, &source.name).await?;
    let horizon = watch_horizon(source.clone(), password.clone(), shutdown.clone());
    let runtime = tokio::runtime::Handle::current();
    let worker =
        Worker { config, source, password, metrics, ready, shutdown, server, stage1, horizon, runtime };
    // reading, decoding and Kafka's transaction calls all block
    tokio::task::spawn_blocking(move || worker.run())
        .await
        .map_err(|cause| DatabusError::Stopped(cause.to_string()))?
}

struct Worker {
    config: Arc<Config>,
    source: Arc<Source>,
    password: SecretString,
    metrics: SourceMetrics,
    ready: watch::Sender<bool>,
    shutdown: Shutdown,
    server: Server,
    stage1: Stage1,
    horizon: watch::Receiver<Option<crate::source::Horizon>>,
    runtime: tokio::runtime::Handle,
}

impl Worker {
    fn run(self) -> Result<(), DatabusError> {
        // fence whoever had the source before, only then look how far they got
        let Some((mut publisher, mut checkpoint, mut inbox)) = self.take_over()? else { return Ok(()) };
        let mut pause = Duration::from_millis(50);
        let mut damage = None;
        while !self.shutdown.is_requested() {
            let started = std::time::Instant::now();
            let Err(error) = self.session(&mut publisher, &mut checkpoint, &mut inbox) else { return Ok(()) };
            // damaged on the wire once in a while, but twice at the same place it is so on the source's disk
            let found = match &error {
                SessionError::Transport(TransportError::Damaged { after, .. }) => Some(after.clone()),
                _ => None,
            };
            if found.is_some() && found == damage {
                return Err(error.into());
            }
            damage = found;
            match &error {
                SessionError::Transport(cause) if cause.is_transient() => {}
                SessionError::Publish(PublishError::Transient(_))
                | SessionError::Stream(StreamError::Publish(PublishError::Transient(_))) => {}
                SessionError::Publish(PublishError::Unknown(_))
                | SessionError::Stream(StreamError::Publish(PublishError::Unknown(_))) => {
                    tracing::warn!(source = %self.source.name, %error, "starting over with a new producer");
                    publisher.retire();
                    let Some(taken) = self.take_over()? else { return Ok(()) };
                    (publisher, checkpoint, inbox) = taken;
                }
                SessionError::Transport(TransportError::LostPosition(LostPosition::Purged { .. }))
                    if self.source.snapshot == SnapshotMode::WhenNeeded =>
                {
                    let Some(bridged) = self.at_the_end(Some(&checkpoint), SnapshotCause::Gap) else {
                        return Ok(());
                    };
                    checkpoint = bridged;
                }
                _ => return Err(error.into()),
            }
            self.metrics.restarts.inc();
            self.metrics.observe_lag(checkpoint.as_of);
            if started.elapsed() > HEALTHY_AFTER {
                pause = Duration::from_millis(50);
            }
            tracing::warn!(source = %self.source.name, %error, position = %format!("{}:{}", checkpoint.position.file, checkpoint.position.pos),
                "stream interrupted, going back to the checkpoint");
            self.wait(pause);
            pause = (pause * 2).min(RETRY_CAP);
        }
        Ok(())
    }

    /// Fences whoever had the source before and only then looks how far they got; tries until Kafka answers. `None`: a stop was asked for.
    fn take_over(&self) -> Result<Option<(Publisher, Checkpoint, Inbox)>, DatabusError> {
        while !self.shutdown.is_requested() {
            let taken = Publisher::take_over(&self.config.kafka, &self.source.name)
                .map_err(DatabusError::from)
                .and_then(|publisher| {
                    let Some(checkpoint) = self.starting_point()? else { return Ok(None) };
                    Ok(Some((publisher, checkpoint, Inbox::open(&self.config.kafka, &self.source.name)?)))
                });
            match taken {
                Ok(taken) => return Ok(taken),
                Err(DatabusError::Publish(
                    error @ (PublishError::Transient(_) | PublishError::Unknown(_)),
                )) => {
                    tracing::warn!(source = %self.source.name, %error, "cannot take the source over yet, trying again");
                    self.wait(RETRY_CAP);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Sleeps, but not past a stop request.
    fn wait(&self, pause: Duration) {
        let stopped = self.shutdown.requested();
        self.runtime.block_on(async {
            tokio::select! {
                () = stopped => {}
                () = tokio::time::sleep(pause) => {}
            }
        });
    }

    /// The source as it is now: the stream goes on from the binlog's end, and a snapshot of every table brings what was before. `None`: a
    /// stop was asked for.
    fn at_the_end(&self, before: Option<&Checkpoint>, cause: SnapshotCause) -> Option<Checkpoint> {
        let end = loop {
            if self.shutdown.is_requested() {
                return None;
            }
            if let Some(horizon) = self.horizon.borrow().as_ref() {
                break horizon.end.clone();
            }
            self.wait(Duration::from_millis(20));
        };
        tracing::info!(source = %self.source.name, file = end.file, pos = end.pos, cause = cause.as_str(),
            "streaming from the binlog's end, with a snapshot of every table");
        Some(Checkpoint {
            source_identity: self.server.identity.clone(),
            epoch: before.map_or(Epoch::FIRST, |before| before.epoch),
            seq: before.map_or(Version::START, |before| before.seq),
            gtid: None,
            position: end,
            events_done_in_next: 0,
            as_of: before.and_then(|before| before.as_of),
            snapshots: snapshot::of_all(&self.source, cause),
        })
    }

    /// Where to begin; `None`: a stop was asked for.
    fn starting_point(&self) -> Result<Option<Checkpoint>, DatabusError> {
        let source = self.source.name.to_string();
        match self.stage1.last_checkpoint()? {
            Some(checkpoint) if checkpoint.source_identity != self.server.identity => {
                Err(DatabusError::LostPosition {
                    source_name: source,
                    lost: LostPosition::OtherServer {
                        expected: format!("server_id {}", checkpoint.source_identity.server_id),
                        found: self.server.identity.server_id.to_string(),
                    },
                })
            }
            Some(checkpoint) => {
                tracing::info!(source, seq = %checkpoint.seq, file = checkpoint.position.file, pos = checkpoint.position.pos,
                    gtid = checkpoint.gtid, "resuming from the checkpoint");
                Ok(Some(checkpoint))
            }
            None if self.stage1.has_changes()? => Err(DatabusError::CheckpointLost { source_name: source }),
            None if self.source.snapshot != SnapshotMode::Never => {
                Ok(self.at_the_end(None, SnapshotCause::Initial))
            }
            None => {
                tracing::info!(
                    source,
                    file = self.server.oldest.file,
                    "no checkpoint yet: starting at the oldest binlog the source has"
                );
                Ok(Some(Checkpoint {
                    source_identity: self.server.identity.clone(),
                    epoch: Epoch::FIRST,
                    seq: Version::START,
                    gtid: None,
                    position: self.server.oldest.clone(),
                    events_done_in_next: 0,
                    as_of: None,
                    snapshots: Vec::new(),
                }))
            }
        }
    }

    fn session(
        &self,
        publisher: &mut Publisher,
        checkpoint: &mut Checkpoint,
        inbox: &mut Inbox,
    ) -> Result<(), SessionError> {
        let told = self.runtime.block_on(async {
            let asked = async {
                confirm(&self.source, &self.password, checkpoint).await?;
                told_columns(&self.source, &self.password).await
            };
            tokio::select! {
                () = self.shutdown.requested() => Ok(Vec::new()),
                asked = asked => asked,
            }
        })?;
        if self.shutdown.is_requested() {
            return Ok(());
        }
        let transport = MysqlCdcTransport::connect(&self.source, &self.password, &checkpoint.position)?;
        let feed = Feed::start(transport)
            .map_err(|cause| TransportError::Lost(format!("cannot start the reading thread: {cause}")))?;
        let tables = self
            .source
            .tables
            .iter()
            .map(|table| (table.database().to_owned(), table.table().to_owned()))
            .collect();
        let resume = Resume {
            position: checkpoint.position.clone(),
            events_done_in_next: checkpoint.events_done_in_next,
            seq: checkpoint.seq,
            gtid: checkpoint.gtid.clone(),
        };
        if !self.ready.send_replace(true) {
            tracing::info!(source = %self.source.name, "ready");
        }
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
            assembler: Assembler::new(&self.source.name, tables, resume).told(told),
            publisher,
            checkpoint,
            identity: self.server.identity.clone(),
            horizon: self.horizon.clone(),
            limits: &self.config.databus,
            metrics: &self.metrics,
        };
        match session.run(|| self.shutdown.is_requested()) {
            // the server's refusal reads alike in several cases: what it has tells them apart
            Err(SessionError::Transport(refused @ TransportError::PositionRefused(_))) => {
                self.runtime.block_on(confirm(&self.source, &self.password, checkpoint))?;
                Err(refused.into())
            }
            ended => ended,
        }
    }
}
