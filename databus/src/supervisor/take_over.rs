//! Takes a source over in Kafka: fences whoever had it before, and only then looks how far they got.

use super::{RETRY_CAP, Worker};
use crate::{
    error::DatabusError,
    presence::Leave,
    publish::{Inbox, PublishError, Publisher},
    status::State,
};
use change_event::checkpoint::Checkpoint;
use std::{
    ops::ControlFlow::{self, Break, Continue},
    time::Duration,
};

/// What taking over gives: the producer that fenced all others, how far they got, and what operators ask for.
pub(super) type Taken = (Publisher, Checkpoint, Inbox);

impl Worker {
    /// Fences whoever had the source before and only then looks how far they got; tries until Kafka answers.
    pub(super) fn take_over(&mut self, term: u64) -> Result<ControlFlow<Leave, Taken>, DatabusError> {
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
    pub(super) fn take_over_again(&mut self, term: u64) -> Result<ControlFlow<Leave, Taken>, DatabusError> {
        match self.still_active(term) {
            Continue(()) => self.take_over(term),
            Break(leave) => Ok(Break(leave)),
        }
    }

    /// Asks the group whether this process is still the active one, until it answers.
    pub(super) fn still_active(&self, term: u64) -> ControlFlow<Leave> {
        loop {
            match self.presence.membership.confirm(term) {
                Ok(true) => return Continue(()),
                Ok(false) => return Break(Leave::RoleLost),
                Err(error) => {
                    tracing::warn!(source = %self.source.name, %error, "cannot tell yet whether this process is still the active one");
                    self.unless_leaving(term, async { tokio::time::sleep(Duration::from_secs(1)).await })?;
                }
            }
        }
    }
}
