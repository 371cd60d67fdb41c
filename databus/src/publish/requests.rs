//! What operators ask a running databus for: topic `databus.requests`, compacted, key `source/id`. A request stands there until it is
//! answered; the answer is a record with a null value and header `databus.outcome`, written in the Kafka transaction that ends the work.

use super::{PublishError, quiet::Quiet};
use change_event::checkpoint::{self, Checkpoint, TableSnapshot};
use pipeline_config::Kafka;
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
    message::{BorrowedMessage, Headers},
    producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, HashSet},
    time::{Duration, Instant},
};

/// The topic of requests.
pub(crate) const TOPIC: &str = "databus.requests";
/// The answer's header.
pub(super) const OUTCOME: &str = "databus.outcome";
/// How often a running databus looks.
const LOOK: Duration = Duration::from_millis(200);
/// Most records of one look.
const AT_ONCE: usize = 100;
const ASK_TIMEOUT: Duration = Duration::from_secs(10);

/// One request: a snapshot of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Request {
    /// `database.table`.
    pub table: String,
    /// The operator's SQL predicate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
}

/// The record key of a source's request.
pub(super) fn key(source: &str, id: &str) -> String {
    format!("{source}/{id}")
}

/// Reads requests beside the stream, without ever waiting.
pub(crate) struct Inbox {
    consumer: BaseConsumer<Quiet>,
    /// `source/`.
    prefix: String,
    /// Requests without an answer, oldest first within a key's order.
    open: BTreeMap<String, Request>,
    /// Answered by this process: the answer may not have come back yet.
    settled: HashSet<String>,
    /// Whether the topic's end was reached: before it a request may have its answer still ahead.
    complete: bool,
    looked: Option<Instant>,
}

impl std::fmt::Debug for Inbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inbox")
            .field("open", &self.open)
            .field("complete", &self.complete)
            .finish_non_exhaustive()
    }
}

impl Inbox {
    /// From the topic's beginning. Call only after the producer has fenced every older one, whose answers are then all there.
    pub(crate) fn open(kafka: &Kafka, source: &str) -> Result<Self, PublishError> {
        Ok(Self {
            consumer: reader(kafka, &[(TOPIC, Offset::Beginning)])?,
            prefix: key(source, ""),
            open: BTreeMap::new(),
            settled: HashSet::new(),
            complete: false,
            looked: None,
        })
    }

    /// Takes in what has come, at most five times a second.
    pub(crate) fn look(&mut self) {
        if self.looked.is_some_and(|looked| looked.elapsed() < LOOK) {
            return;
        }
        for _ in 0..AT_ONCE {
            match self.consumer.poll(Duration::ZERO) {
                None => break,
                Some(Ok(record)) => {
                    let Some(id) = id_of(&record, &self.prefix) else { continue };
                    match record.payload().map(serde_json::from_slice) {
                        None => {
                            self.open.remove(&id);
                            self.settled.remove(&id);
                        }
                        Some(Ok(request)) => drop(self.open.insert(id, request)),
                        Some(Err(cause)) => {
                            tracing::warn!(id, %cause, "a request that is none is passed over")
                        }
                    }
                }
                Some(Err(KafkaError::PartitionEOF(_))) => self.complete = true,
                Some(Err(cause)) => tracing::debug!(%cause, "requests cannot be read now"),
            }
        }
        self.looked = Some(Instant::now());
    }

    /// A request that is neither answered nor `known`.
    pub(crate) fn next(&self, known: impl Fn(&str) -> bool) -> Option<(String, Request)> {
        let (id, request) =
            self.open.iter().find(|(id, _)| self.complete && !self.settled.contains(*id) && !known(id))?;
        Some((id.clone(), request.clone()))
    }

    /// The request is answered.
    pub(crate) fn settle(&mut self, id: String) {
        self.settled.insert(id);
    }
}

fn id_of(record: &BorrowedMessage<'_>, prefix: &str) -> Option<String> {
    let key = std::str::from_utf8(record.key()?).ok()?;
    key.strip_prefix(prefix).filter(|id| !id.is_empty()).map(str::to_owned)
}

fn reader(kafka: &Kafka, from: &[(&str, Offset)]) -> Result<BaseConsumer<Quiet>, PublishError> {
    let transient = |cause: KafkaError| PublishError::Transient(format!("read {TOPIC}: {cause}"));
    let consumer: BaseConsumer<Quiet> = ClientConfig::new()
        .set("bootstrap.servers", &kafka.brokers)
        .set("group.id", "databus.request-reader")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("enable.partition.eof", "true")
        .set("isolation.level", "read_committed")
        .create_with_context(Quiet)
        .map_err(transient)?;
    let mut partitions = TopicPartitionList::new();
    for (topic, offset) in from {
        partitions.add_partition_offset(topic, 0, *offset).map_err(transient)?;
    }
    consumer.assign(&partitions).map_err(transient)?;
    Ok(consumer)
}

/// A request on its way, as the operator's command sees it.
pub(crate) struct Followed {
    consumer: BaseConsumer<Quiet>,
    source: String,
    id: String,
}

/// What was heard of a request.
#[derive(Debug)]
pub(crate) enum Heard {
    /// Waiting or being worked on.
    Progress(TableSnapshot),
    /// Answered, in the daemon's words.
    Answered(String),
    /// Nothing for a while.
    Nothing,
}

/// Puts a request on the topic; it is durable once this returns.
pub(crate) fn send(
    kafka: &Kafka,
    source: &str,
    id: &str,
    request: &Request,
) -> Result<Followed, PublishError> {
    let definite = |cause: String| {
        PublishError::Definite(format!("cannot ask over kafka at {}: {cause}", kafka.brokers))
    };
    let consumer = reader(kafka, &[(TOPIC, Offset::End), (checkpoint::TOPIC, Offset::Beginning)])?;
    // before the request, so that its answer cannot be missed
    for topic in [TOPIC, checkpoint::TOPIC] {
        let (_, end) = consumer.fetch_watermarks(topic, 0, ASK_TIMEOUT).map_err(|cause| {
            definite(format!("{cause}; topic {topic} is made by the first `databus run`"))
        })?;
        if topic == TOPIC {
            let mut partitions = TopicPartitionList::new();
            let placed = partitions
                .add_partition_offset(TOPIC, 0, Offset::Offset(end))
                .and_then(|()| partitions.add_partition_offset(checkpoint::TOPIC, 0, Offset::Beginning))
                .and_then(|()| consumer.assign(&partitions));
            placed.map_err(|cause| definite(cause.to_string()))?;
        }
    }
    let producer: ThreadedProducer<DefaultProducerContext> = ClientConfig::new()
        .set("bootstrap.servers", &kafka.brokers)
        .set("enable.idempotence", "true")
        .set("message.timeout.ms", ASK_TIMEOUT.as_millis().to_string())
        .create()
        .map_err(|cause| definite(cause.to_string()))?;
    let value = serde_json::to_vec(request).map_err(|cause| definite(cause.to_string()))?;
    let key = key(source, id);
    producer
        .send(BaseRecord::to(TOPIC).partition(0).key(key.as_bytes()).payload(&value))
        .map_err(|(cause, _)| definite(cause.to_string()))?;
    producer.flush(ASK_TIMEOUT * 2).map_err(|cause| definite(cause.to_string()))?;
    Ok(Followed { consumer, source: source.to_owned(), id: id.to_owned() })
}

impl Followed {
    /// Waits up to a second for news.
    pub(crate) fn next(&self) -> Result<Heard, PublishError> {
        match self.consumer.poll(Duration::from_secs(1)) {
            None | Some(Err(KafkaError::PartitionEOF(_))) => Ok(Heard::Nothing),
            Some(Err(cause)) => Err(PublishError::Transient(cause.to_string())),
            Some(Ok(record)) if record.topic() == TOPIC => {
                let ours = record.key() == Some(key(&self.source, &self.id).as_bytes());
                if !ours || record.payload().is_some() {
                    return Ok(Heard::Nothing);
                }
                let outcome = record.headers().and_then(|headers| {
                    let found = headers.iter().find(|header| header.key == OUTCOME)?;
                    found.value.map(|value| String::from_utf8_lossy(value).into_owned())
                });
                Ok(Heard::Answered(outcome.unwrap_or_else(|| "taken back".to_owned())))
            }
            Some(Ok(record)) => {
                let progress = (record.key() == Some(self.source.as_bytes()))
                    .then(|| serde_json::from_slice::<Checkpoint>(record.payload()?).ok())
                    .flatten()
                    .and_then(|checkpoint| {
                        checkpoint.snapshots.into_iter().find(|known| known.id == self.id)
                    });
                Ok(progress.map_or(Heard::Nothing, Heard::Progress))
            }
        }
    }
}
