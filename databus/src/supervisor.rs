//! Keeps one source streaming: stands by until the group makes this process the active one, then takes over, checks, resumes, and goes
//! back to the last checkpoint after every transient failure.
//!
//! ```text
//! preflight ─► topics ─► stand by ──role──► take over (fence, then read the checkpoint) ─► session ─┐
//!                           ▲                            ▲      └── transient: back to the checkpoint ◄─┤
//!                           └── role lost, or the source away for 5 s (leaves the group) ◄──────────────┘
//! ```

mod beginning;
mod lead;
mod opening;
mod take_over;

use crate::{
    error::DatabusError,
    metrics::SourceMetrics,
    presence::{Leave, Presence},
    publish::{Membership, PublishError, Publisher, Role, Stage1, instance_name},
    source::{Server, preflight, watch_horizon},
    status::{State, Status},
};
use pipeline_config::{Config, Source};
use secrecy::SecretString;
use service_kit::{
    Shutdown,
    retry::{Ended, until_stopped},
};
use std::{ops::ControlFlow, sync::Arc, time::Duration};
use tokio::sync::watch;

/// Longest pause between two attempts.
const RETRY_CAP: Duration = Duration::from_secs(5);
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
        let mut lost = None;
        while let Some(term) = self.stand_by(lost)? {
            self.presence.membership.set_held(true);
            let ended = self.lead(term);
            self.presence.membership.set_held(false);
            lost = None;
            match ended? {
                Leave::Stopped => break,
                Leave::RoleLost => {
                    lost = Some(term);
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

    /// Waits for the role; answers its term, or `None` when a stop is asked for. The term that was `lost` does not count again: the group
    /// may have said so before this process's place in it heard.
    fn stand_by(&mut self, mut lost: Option<u64>) -> Result<Option<u64>, DatabusError> {
        let mut roles = self.presence.membership.role();
        loop {
            let role = roles.borrow_and_update().clone();
            match role {
                Role::Active(term) if lost != Some(term) => return Ok(Some(term)),
                Role::Active(_) => {}
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
                    (roles, lost) = (self.presence.membership.role(), None);
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

    fn unless_leaving<T>(&self, term: u64, attempt: impl Future<Output = T>) -> ControlFlow<Leave, T> {
        self.runtime.block_on(self.presence.unless_leaving(term, attempt))
    }
}
