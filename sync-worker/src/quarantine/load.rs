//! What is set aside now, as the topic tells whoever takes a partition over.

use change_event::quarantine::{self, Key};
use pipeline_config::Kafka;
use rdkafka::{Message as _, error::KafkaError};

use super::{Open, Recorded};
use crate::kafka;

/// Why it is not known what is set aside.
pub(crate) enum LoadError {
    /// The broker did not answer; may be tried again.
    Kafka(KafkaError),
    /// Something in the topic is not ours.
    Foreign {
        /// The topic.
        topic: String,
        /// Where in it.
        offset: i64,
        /// Why.
        cause: String,
    },
}

/// Reads the topic to its end: what is open of those that are `mine`.
pub(crate) fn load(kafka: &Kafka, mine: impl Fn(&Key) -> bool) -> Result<Open, LoadError> {
    let topic = quarantine::topic(&kafka.bills_topic);
    let (mut open, mut foreign) = (Open::default(), None);
    kafka::read_to_end(kafka, &topic, |message| match Recorded::read(message) {
        Ok(record) if mine(&record.key) => {
            open.load(record.key, record.set_aside.as_ref().map(|(facts, _)| facts));
        }
        Ok(_) => {}
        Err(cause) => foreign = Some((message.offset(), cause)),
    })
    .map_err(LoadError::Kafka)?;
    match foreign {
        None => Ok(open),
        Some((offset, cause)) => Err(LoadError::Foreign { topic, offset, cause }),
    }
}
