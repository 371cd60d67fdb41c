//! Why databus ends by itself. Everything transient is retried where it happens and never gets here.

use crate::{
    publish::PublishError,
    session::SessionError,
    source::{LostPosition, PreflightError, TransportError},
    stream::StreamError,
};

/// A definite error of one source.
#[derive(Debug, thiserror::Error)]
pub enum DatabusError {
    /// The source may not be read as it is set up.
    #[error(transparent)]
    Preflight(#[from] PreflightError),
    /// Kafka refuses.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The stream cannot go on.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// Stage 1 holds changes, but nobody knows up to where.
    #[error(
        "source {source_name}: stage 1 holds changes but there is no checkpoint beside them; \
         starting over would number changes twice: restore topic databus.checkpoints, or start a new numbering with a reset"
    )]
    CheckpointLost {
        /// The source.
        source_name: String,
    },
    /// A checkpoint, but none of the changes that it counts.
    #[error(
        "source {source_name}: the checkpoint counts changes up to {seq}, but stage 1 never held any: its topic was deleted and made anew; \
         changes that nobody had read are lost with it; begin a new numbering with a reset and take a snapshot"
    )]
    Stage1Lost {
        /// The source.
        source_name: String,
        /// The last change that was published.
        seq: change_event::Version,
    },
    /// The streaming thread ended without a result.
    #[error("the streaming thread ended: {0}")]
    Stopped(String),
}

impl DatabusError {
    /// The way in which the position is lost, where that is what happened.
    pub(crate) fn lost_position(&self) -> Option<&LostPosition> {
        match self {
            Self::Session(SessionError::Transport(TransportError::LostPosition(lost))) => Some(lost),
            _ => None,
        }
    }

    /// How the process ends: 1 for a definite error, 10 where another databus has taken over, 11 to 15 where the position is lost.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Session(SessionError::Transport(TransportError::LostPosition(lost))) => lost.exit_code(),
            Self::Session(SessionError::Stream(StreamError::NotContinued { .. })) => 15,
            Self::Publish(PublishError::Fenced { .. } | PublishError::Replaced { .. })
            | Self::Session(
                SessionError::Publish(PublishError::Fenced { .. })
                | SessionError::Stream(StreamError::Publish(PublishError::Fenced { .. })),
            ) => 10,
            _ => 1,
        }
    }
}
