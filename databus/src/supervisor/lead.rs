//! One term as the active process: after each session, whether to go back to the checkpoint, to start over with a new producer, to leave or to end.

use super::{RETRY_CAP, Worker};
use crate::{
    binlog::DecodeError,
    error::DatabusError,
    presence::Leave,
    publish::PublishError,
    session::{Ended as SessionEnded, SessionError},
    source::{LostPosition, TransportError},
    status::State,
    stream::StreamError,
};
use change_event::checkpoint::SnapshotCause;
use pipeline_config::SnapshotMode;
use std::{
    ops::ControlFlow::{Break, Continue},
    time::Duration,
};

/// A session that lasted this long was healthy: the next failure starts with a short pause again.
const HEALTHY_AFTER: Duration = Duration::from_secs(10);

/// Where a fault lies that may be gone when the place is read anew; met there again it is definite.
fn worth_another_look(error: &SessionError) -> Option<String> {
    match error {
        // damaged on the wire once in a while, but twice it is so on the source's disk
        SessionError::Transport(TransportError::Damaged { after, .. }) => Some(after.clone()),
        // the missing column may be a generated one that came after this session asked which are
        SessionError::Stream(StreamError::Undecodable { place, reason: DecodeError::PartialImage }) => {
            Some(place.to_string())
        }
        _ => None,
    }
}

impl Worker {
    /// Streams for as long as this process has the role, the source, and no definite error.
    pub(super) fn lead(&mut self, term: u64) -> Result<Leave, DatabusError> {
        // fence whoever had the source before, only then look how far they got
        let (mut publisher, mut checkpoint, mut inbox) = match self.take_over(term)? {
            Continue(taken) => taken,
            Break(leave) => return Ok(leave),
        };
        self.metrics.at(&checkpoint);
        let mut pause = Duration::from_millis(50);
        let mut fault = None;
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
            let found = worth_another_look(&error);
            if found.is_some() && found == fault {
                return Err(error.into());
            }
            let again = found.is_some();
            fault = found;
            self.status.set(State::Interrupted, &error);
            match &error {
                // what the next one's take-over did to a role that was taken away is no fencing
                _ if !self.presence.membership.holds(term) => {
                    publisher.retire();
                    return Ok(Leave::RoleLost);
                }
                _ if again => {}
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
                SessionError::Transport(TransportError::LostPosition(LostPosition::ServerIdClash {
                    ..
                })) => {
                    // all processes of one source read with one server_id: the other may be the next one, and this one not know it yet
                    if let Break(leave) = self.still_active(term) {
                        publisher.retire();
                        return Ok(leave);
                    }
                    return Err(error.into());
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
}
