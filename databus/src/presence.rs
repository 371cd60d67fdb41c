//! What an active process must have to go on: the role, the source, and nobody who asks it to stop.

use crate::{
    publish::{Membership, Namesake, PublishError, Verdict},
    source::Horizon,
};
use pipeline_config::Kafka;
use service_kit::Shutdown;
use std::{
    ops::ControlFlow::{self, Break, Continue},
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// An active process that has not heard from the source for this long, by the stream or otherwise, gives its role up.
const SOURCE_LOST: Duration = Duration::from_secs(5);
/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// How often a process that was replaced looks who has its place.
const LOOK_AT_NAMESAKE: Duration = Duration::from_millis(250);

/// Why an active process stops being it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leave {
    /// A stop was asked for.
    Stopped,
    /// The group has given the role to another one, or may have.
    RoleLost,
    /// The source does not answer this process; it may well answer another one.
    SourceLost,
}

/// The three at once.
#[derive(Debug)]
pub(crate) struct Presence {
    /// The place in the group.
    pub membership: Membership,
    /// The request to stop.
    pub shutdown: Shutdown,
    horizon: watch::Receiver<Option<Horizon>>,
    since: Instant,
}

impl Presence {
    /// From now on.
    pub(crate) fn new(
        membership: Membership,
        horizon: watch::Receiver<Option<Horizon>>,
        shutdown: Shutdown,
    ) -> Self {
        Self { membership, shutdown, horizon, since: Instant::now() }
    }

    /// Why to leave, if there is a reason now. For a time in which nothing is streamed: a stream hears the source for itself.
    pub(crate) fn leaving_now(&self, term: u64) -> Option<Leave> {
        if self.shutdown.is_requested() {
            Some(Leave::Stopped)
        } else if !self.membership.holds(term) {
            Some(Leave::RoleLost)
        } else if self.heard().elapsed() >= SOURCE_LOST {
            Some(Leave::SourceLost)
        } else {
            None
        }
    }

    /// When the source last answered a question.
    fn heard(&self) -> Instant {
        self.horizon.borrow().as_ref().map_or(self.since, |horizon| horizon.heard)
    }

    /// Runs `attempt` to its end, unless there comes a reason to leave first.
    pub(crate) async fn unless_leaving<T>(
        &self,
        term: u64,
        attempt: impl Future<Output = T>,
    ) -> ControlFlow<Leave, T> {
        let mut roles = self.membership.role();
        let leaving = async {
            loop {
                if let Some(leave) = self.leaving_now(term) {
                    return leave;
                }
                tokio::select! {
                    () = self.shutdown.requested() => {}
                    // the sender lives as long as the membership
                    _ = roles.changed() => {}
                    () = tokio::time::sleep(LOOK) => {}
                }
            }
        };
        tokio::select! {
            biased;
            leave = leaving => Break(leave),
            value = attempt => Continue(value),
        }
    }

    /// Waits until the source answers again; `Break`: a stop was asked for.
    pub(crate) async fn source_is_back(&self) -> ControlFlow<()> {
        while self.heard().elapsed() >= SOURCE_LOST {
            tokio::select! {
                () = self.shutdown.requested() => return Break(()),
                () = tokio::time::sleep(LOOK) => {}
            }
        }
        Continue(())
    }

    /// Somebody joined under this process's name and has its place: joins anew once nobody has it any more. An error if another process
    /// has it; `Break`: a stop was asked for.
    pub(crate) async fn place_again(
        &mut self,
        kafka: &Kafka,
        source: &str,
        instance: &str,
    ) -> Result<ControlFlow<()>, PublishError> {
        tracing::warn!(
            source,
            instance,
            "something has joined under this process's name: looking whether it is a process or a late request of this one"
        );
        let replaced = std::mem::replace(&mut self.membership, Membership::new(kafka, source, instance)?);
        // it can do nothing any more, and may take its time to end
        std::thread::spawn(move || drop(replaced));
        let mut namesake = Namesake::default();
        loop {
            match self.membership.has_namesake().map(|there| namesake.seen(there, Instant::now())) {
                Ok(Verdict::Open) => {}
                Ok(Verdict::Gone) => {
                    tracing::info!(source, "nobody has this process's place any more: joining anew");
                    self.membership.stand();
                    return Ok(Continue(()));
                }
                Ok(Verdict::Stays) => {
                    let (source_name, instance) = (source.to_owned(), instance.to_owned());
                    return Err(PublishError::Replaced { source_name, instance });
                }
                Err(error) => tracing::debug!(source, %error, "the group does not answer"),
            }
            tokio::select! {
                () = self.shutdown.requested() => return Ok(Break(())),
                () = tokio::time::sleep(LOOK_AT_NAMESAKE) => {}
            }
        }
    }
}
