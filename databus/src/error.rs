//! Why databus ends by itself. Everything transient is retried where it happens and never gets here.

use crate::{publish::PublishError, session::SessionError, source::PreflightError};

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
    /// The address answers, but it is not the server that the checkpoint belongs to.
    #[error(
        "source {source_name}: the checkpoint belongs to the server with server_id {expected}, but {found} answers; \
         positions of one server mean nothing on another: point the source back, or start a new numbering with a reset"
    )]
    OtherServer {
        /// The source.
        source_name: String,
        /// What the checkpoint says.
        expected: u32,
        /// What the server says.
        found: u32,
    },
    /// Stage 1 holds changes, but nobody knows up to where.
    #[error(
        "source {source_name}: stage 1 holds changes but there is no checkpoint beside them; \
         starting over would number changes twice: restore topic databus.checkpoints, or start a new numbering with a reset"
    )]
    CheckpointLost {
        /// The source.
        source_name: String,
    },
    /// The streaming thread ended without a result.
    #[error("the streaming thread ended: {0}")]
    Stopped(String),
}
