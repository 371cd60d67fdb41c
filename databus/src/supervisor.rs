//! Keeps one source streaming: stands by until the group makes this process the active one, then takes over, checks, resumes, and goes
//! back to the last checkpoint after every transient failure.
//!
//! ```text
//! preflight ─► topics ─► stand by ──role──► take over (fence, then read the checkpoint) ─► session ─┐
//!                           ▲                            ▲      └── transient: back to the checkpoint ◄─┤
//!                           └── role lost, or the source away for 5 s (leaves the group) ◄──────────────┘
//! ```

use crate::{
    error::DatabusError,
    metrics::SourceMetrics,
    presence::{Leave, Presence},
    publish::{Inbox, Membership, PublishError, Publisher, Role, Stage1, instance_name},
    session::{Ended as SessionEnded, Halt, Session, SessionError},
    snapshot::{self, Snapshots},
    source::{
        Feed, LostPosition, Server, Start, TransportError, answers_as, confirm, preflight, told_columns,
        watch_horizon,
    },
    status::{State, Status},
    stream::{Assembler, Resume, StreamError},
};
use change_event::{
    Epoch, Version,
    checkpoint::{BinlogPosition, Checkpoint, SnapshotCause},
};
use pipeline_config::{Config, SnapshotMode, Source};
use secrecy::SecretString;
use service_kit::{
    Shutdown,
    retry::{Ended, until_stopped},
};
use std::{
    ops::ControlFlow::{self, Break, Continue},
    sync::Arc,
    time::Duration,
};
use tokio::sync::watch;

/// Longest pause between two attempts.
const RETRY_CAP: Duration = Duration::from_secs(5);
/// A session that lasted this long was healthy: the next failure starts with a short pause again.
const HEALTHY_AFTER: Duration = Duration::from_secs(10);

/// Streams one source until a stop is asked for or a definite error.
pub(crate) async fn supervise(
    config: Arc<Config>,
    source: Arc<Source>,
    password: SecretString,
    metrics: SourceMetrics,
    status: Status,
    shutdown: Shutdown,
) -> Result<(), DatabusError> {
    // it finds its broker while the source is asked
    let instance = instance_name(&config.databus);
    let membership = Membership::new(&config.kafka, &source.name, &instance)?;
    let asked = until_stopped(
        "ask the source",
        RETRY_CAP,
        &shutdown,
        crate::source::PreflightError::is_transient,
        async || preflight(&source, &password).await.inspect_err(|error| status.set(State::Starting, error)),
    );
    let server = match asked.await {
        Ok(server) => server,
        Err(Ended::Stopped) => return Ok(()),
        Err(Ended::Definite(error)) => return Err(error.into()),
    };
    tracing::info!(source = %source.name, version = %server.version, server_id = server.identity.server_id, "source passed preflight");
    let opened = until_stopped(
        "ask kafka",
        RETRY_CAP,
        &shutdown,
        |error| matches!(error, PublishError::Transient(_)),
        async || {
            let opened = Stage1::open(&config.kafka, &source.name).await;
            opened.inspect_err(|error| status.set(State::Starting, error))
        },
    );
    let stage1 = match opened.await {
        Ok(stage1) => stage1,
        Err(Ended::Stopped) => return Ok(()),
        Err(Ended::Definite(error)) => return Err(error.into()),
    };
    status.set(State::Starting, "waiting for the consumer group to say who is active");
    let horizon = watch_horizon(source.clone(), password.clone(), shutdown.clone());
    let presence = Presence::new(membership, horizon.clone(), shutdown);
    let runtime = tokio::runtime::Handle::current();
    let name = format!("source-{}", source.name);
    let worker = Worker {
        config,
        source,
        password,
        metrics,
        status,
        server,
        stage1,
        horizon,
        presence,
        instance,
        runtime,
        prepared: None,
    };
    // reading, decoding and Kafka's transaction calls all block: each source has a thread of its own
    let (done, result) = tokio::sync::oneshot::channel();
    std::thread::Builder::new()
        .name(name)
        // who waits for the result is there until the process ends
        .spawn(move || drop(done.send(worker.run())))
        .map_err(|cause| DatabusError::Stopped(cause.to_string()))?;
    result.await.map_err(|_| DatabusError::Stopped("it panicked; its message is in the log".to_owned()))?
}

/// What taking over gives: the producer that fenced all others, how far they got, and what operators ask for.
type Taken = (Publisher, Checkpoint, Inbox);

struct Worker {
    config: Arc<Config>,
    source: Arc<Source>,
    password: SecretString,
    metrics: SourceMetrics,
    status: Status,
    server: Server,
    stage1: Stage1,
    horizon: watch::Receiver<Option<crate::source::Horizon>>,
    presence: Presence,
    instance: String,
    runtime: tokio::runtime::Handle,
    /// For the first take-over.
    prepared: Option<Publisher>,
}

impl Worker {
    fn run(mut self) -> Result<(), DatabusError> {
        self.presence.membership.stand();
        // connects while the group makes up its mind
        self.prepared = Some(Publisher::prepare(&self.config.kafka, &self.source.name)?);
        while let Some(term) = self.stand_by()? {
            self.presence.membership.set_held(true);
            let ended = self.lead(term);
            self.presence.membership.set_held(false);
            match ended? {
                Leave::Stopped => break,
                Leave::RoleLost => {
                    tracing::warn!(source = %self.source.name, "no longer the active one: standing by");
                }
                Leave::SourceLost => {
                    tracing::warn!(source = %self.source.name, "the source does not answer: leaving it to a process that reaches it");
                    self.presence.membership.withdraw();
                    self.status.set(State::CutOff, "the source does not answer");
                    if self.runtime.block_on(self.presence.source_is_back()).is_break() {
                        break;
                    }
                    self.presence.membership.stand();
                }
            }
        }
        Ok(())
    }

    /// Waits for the role; answers its term, or `None` when a stop is asked for.
    fn stand_by(&mut self) -> Result<Option<u64>, DatabusError> {
        let mut roles = self.presence.membership.role();
        loop {
            let role = roles.borrow_and_update().clone();
            match role {
                Role::Active(term) => return Ok(Some(term)),
                Role::Standby => {
                    tracing::info!(source = %self.source.name, "standing by: another process is active");
                    self.status.set(State::Standby, "another process is active");
                }
                Role::Joining => {
                    self.status.set(State::Starting, "waiting for the consumer group to say who is active")
                }
                Role::Replaced => {
                    self.status.set(
                        State::Standby,
                        "something has joined under this process's name: looking whether it lives",
                    );
                    let place =
                        self.presence.place_again(&self.config.kafka, &self.source.name, &self.instance);
                    if self.runtime.block_on(place)?.is_break() {
                        return Ok(None);
                    }
                    roles = self.presence.membership.role();
                    continue;
                }
                Role::Refused(reason) => return Err(PublishError::Definite(reason).into()),
            }
            let stopped = self.runtime.block_on(async {
                tokio::select! {
                    () = self.presence.shutdown.requested() => true,
                    changed = roles.changed() => changed.is_err(),
                }
            });
            if stopped {
                return Ok(None);
            }
        }
    }

    /// Streams for as long as this process has the role, the source, and no definite error.
    fn lead(&mut self, term: u64) -> Result<Leave, DatabusError> {
        // fence whoever had the source before, only then look how far they got
        let (mut publisher, mut checkpoint, mut inbox) = match self.take_over(term)? {
            Continue(taken) => taken,
            Break(leave) => return Ok(leave),
        };
        self.metrics.at(&checkpoint);
        let mut pause = Duration::from_millis(50);
        let mut damage = None;
        loop {
            let started = std::time::Instant::now();
            let error = match self.session(term, &mut publisher, &mut checkpoint, &mut inbox) {
                Ok(SessionEnded::Drained) => return Ok(Leave::Stopped),
                Ok(SessionEnded::GaveUp) => {
                    publisher.retire();
                    return Ok(Leave::RoleLost);
                }
                Err(error) => error,
            };
            // damaged on the wire once in a while, but twice at the same place it is so on the source's disk
            let found = match &error {
                SessionError::Transport(TransportError::Damaged { after, .. }) => Some(after.clone()),
                _ => None,
            };
            if found.is_some() && found == damage {
                return Err(error.into());
            }
            damage = found;
            self.status.set(State::Interrupted, &error);
            match &error {
                // what the next one's take-over did to a role that was taken away is no fencing
                _ if !self.presence.membership.holds(term) => {
                    publisher.retire();
                    return Ok(Leave::RoleLost);
                }
                SessionError::Transport(cause) if cause.is_transient() => {}
                SessionError::Preflight(cause) if cause.is_transient() => {}
                SessionError::Publish(PublishError::Transient(_))
                | SessionError::Stream(StreamError::Publish(PublishError::Transient(_))) => {}
                SessionError::Publish(PublishError::Unknown(_))
                | SessionError::Stream(StreamError::Publish(PublishError::Unknown(_))) => {
                    tracing::warn!(source = %self.source.name, %error, "starting over with a new producer");
                    publisher.retire();
                    (publisher, checkpoint, inbox) = match self.take_over_again(term)? {
                        Continue(taken) => taken,
                        Break(leave) => return Ok(leave),
                    };
                }
                SessionError::Transport(TransportError::LostPosition(LostPosition::Purged { .. }))
                    if self.source.snapshot == SnapshotMode::WhenNeeded =>
                {
                    checkpoint = match self.at_the_end(term, Some(&checkpoint), SnapshotCause::Gap) {
                        Continue(bridged) => bridged,
                        Break(leave) => {
                            publisher.retire();
                            return Ok(leave);
                        }
                    };
                }
                _ => return Err(error.into()),
            }
            self.metrics.restarted(&error);
            self.metrics.observe_lag(checkpoint.as_of);
            if started.elapsed() > HEALTHY_AFTER {
                pause = Duration::from_millis(50);
            }
            tracing::warn!(source = %self.source.name, %error, position = %format!("{}:{}", checkpoint.position.file, checkpoint.position.pos),
                "stream interrupted, going back to the checkpoint");
            if let Break(leave) = self.unless_leaving(term, async { tokio::time::sleep(pause).await }) {
                publisher.retire();
                return Ok(leave);
            }
            pause = (pause * 2).min(RETRY_CAP);
        }
    }

    /// Fences whoever had the source before and only then looks how far they got; tries until Kafka answers.
    fn take_over(&mut self, term: u64) -> Result<ControlFlow<Leave, Taken>, DatabusError> {
        loop {
            if let Some(leave) = self.presence.leaving_now(term) {
                return Ok(Break(leave));
            }
            let prepared = self
                .prepared
                .take()
                .map_or_else(|| Publisher::prepare(&self.config.kafka, &self.source.name), Ok);
            let taken =
                prepared.and_then(Publisher::take_over).map_err(DatabusError::from).and_then(|publisher| {
                    let checkpoint = match self.starting_point(term)? {
                        Continue(checkpoint) => checkpoint,
                        Break(leave) => return Ok(Break(leave)),
                    };
                    let inbox = Inbox::open(&self.config.kafka, &self.source.name)?;
                    Ok(Continue((publisher, checkpoint, inbox)))
                });
            match taken {
                Ok(taken) => return Ok(taken),
                Err(DatabusError::Publish(
                    error @ (PublishError::Transient(_) | PublishError::Unknown(_)),
                )) => {
                    tracing::warn!(source = %self.source.name, %error, "cannot take the source over yet, trying again");
                    self.status.set(State::Interrupted, &error);
                    if let Break(leave) =
                        self.unless_leaving(term, async { tokio::time::sleep(RETRY_CAP).await })
                    {
                        return Ok(Break(leave));
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// A producer whose transaction outlived its timeout says the same after an outage of the broker and after a sleep in which another
    /// process took over (docs/adr/0002). The group knows which it was; so nobody who was replaced fences the one after.
    fn take_over_again(&mut self, term: u64) -> Result<ControlFlow<Leave, Taken>, DatabusError> {
        loop {
            match self.presence.membership.confirm(term) {
                Ok(true) => return self.take_over(term),
                Ok(false) => return Ok(Break(Leave::RoleLost)),
                Err(error) => {
                    tracing::warn!(source = %self.source.name, %error, "cannot tell yet whether this process is still the active one");
                    if let Break(leave) =
                        self.unless_leaving(term, async { tokio::time::sleep(Duration::from_secs(1)).await })
                    {
                        return Ok(Break(leave));
                    }
                }
            }
        }
    }

    fn unless_leaving<T>(&self, term: u64, attempt: impl Future<Output = T>) -> ControlFlow<Leave, T> {
        self.runtime.block_on(self.presence.unless_leaving(term, attempt))
    }

    /// The source as it is now: the stream goes on from the binlog's end, and a snapshot of every table brings what was before.
    fn at_the_end(
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

    /// Where to begin.
    fn starting_point(&self, term: u64) -> Result<ControlFlow<Leave, Checkpoint>, DatabusError> {
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

    fn session(
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
}
