//! Kafka: where changes and checkpoints become durable, in one transaction (G4).

mod inspect;
mod kafka;
mod membership;
mod namesake;
mod offsets;
mod pause;
mod quiet;
mod reader;
mod requests;
mod stage1;
mod tally;

pub(crate) use inspect::{KafkaExamination, inspect};
pub(crate) use kafka::{Mark, Publisher};
pub(crate) use membership::{Membership, Role, instance_name};
pub(crate) use namesake::{Namesake, Verdict};
pub(crate) use reader::{Next, Reader, Record};
pub(crate) use requests::{Heard, Inbox, Request, send};
pub(crate) use stage1::Stage1;

fn topic_gone(topic: &str) -> String {
    format!(
        "topic {topic} was deleted while it was in use: changes that nobody had read are lost with it, and their numbers are used up; \
         begin a new numbering with a reset and take a snapshot"
    )
}

fn too_many_partitions(topic: &str, found: usize) -> String {
    format!(
        "topic {topic} has {found} partitions but must have 1: its order is the source's commit order; \
         use another source name or recreate the topic"
    )
}

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
    /// Definite: another databus has joined under this one's name; this one must end.
    #[error(
        "another databus has started under the instance name {instance} and takes this one's place for source {source_name}; \
         if both are to run, give each its own databus.instance"
    )]
    Replaced {
        /// The source.
        source_name: String,
        /// The name.
        instance: String,
    },
    /// The state of the transaction is not known; only a new producer can find out.
    #[error("the outcome of a kafka transaction is unknown: {0}")]
    Unknown(String),
    /// Definite: a retry would fail the same way.
    #[error("{0}")]
    Definite(String),
}
