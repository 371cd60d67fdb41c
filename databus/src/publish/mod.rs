//! Kafka: where changes and checkpoints become durable, in one transaction (G4).

mod inspect;
mod kafka;
mod reader;
mod requests;

pub(crate) use inspect::{KafkaExamination, inspect};
pub(crate) use kafka::{Mark, Publisher, Stage1};
pub(crate) use requests::{Heard, Inbox, Request, send};

pub(crate) use reader::{Next, Reader, Record};

/// Why a change or a commit did not get through.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// Transient: the transaction is to be aborted and the source read again from the last checkpoint.
    #[error("kafka did not take the changes: {0}")]
    Transient(String),
    /// Definite: another databus has taken this source over; this one must end and never start again by itself.
    #[error(
        "another databus has taken over source {source_name}: this one was fenced and stops (transactional id {transactional_id})"
    )]
    Fenced {
        /// The source.
        source_name: String,
        /// The id that both use.
        transactional_id: String,
    },
    /// The state of the transaction is not known; only a new producer can find out.
    #[error("the outcome of a kafka transaction is unknown: {0}")]
    Unknown(String),
    /// Definite: a retry would fail the same way.
    #[error("{0}")]
    Definite(String),
}
