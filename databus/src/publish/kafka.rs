//! The transactional producer: changes and the checkpoint that covers them become durable in one Kafka transaction.
//!
//! Transactions: <https://kafka.apache.org/documentation/#semantics>, KIP-98 and KIP-447; client behaviour:
//! <https://github.com/confluentinc/librdkafka/blob/master/INTRODUCTION.md#transactional-producer>.

use super::{PublishError, offsets::Offsets, pause::Pause, quiet::Quiet, requests, tally::Tally};
use crate::stream::{ChangeSink, Mark as TableMark};
use change_event::{
    checkpoint::{self, Checkpoint, LARGEST_RECORD, changes_topic},
    envelope::Op,
};
use pipeline_config::Kafka;
use rdkafka::{
    ClientConfig, Message,
    client::ClientContext,
    config::RDKafkaLogLevel,
    error::{KafkaError, RDKafkaErrorCode},
    message::{DeliveryResult, Header, OwnedHeaders},
    producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer},
};
use std::time::{Duration, Instant};

/// How long a commit or abort is tried before its outcome counts as unknown. The coordinator gives a transaction up after its own
/// timeout, so waiting much longer than that is in vain; a new producer finds out what became of it.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(15);
/// How long the client's own wait lasts before it is looked at what the broker's answers say.
const COMMIT_SLICE: Duration = Duration::from_secs(1);
/// How long a new producer asks for its id; the coordinator first ends what the one before left open.
const TAKE_OVER_TIMEOUT: Duration = Duration::from_secs(20);
/// Within this time the broker has acknowledged everything, mostly.
const ACKNOWLEDGED_SOON: Duration = Duration::from_millis(250);
/// Pause between two looks at whether all records are acknowledged, or a full queue has room.
const LOOK: Duration = Duration::from_micros(200);
/// The coordinator aborts a transaction that is open for longer.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(10);

/// The transactional producer of one source.
pub(crate) struct Publisher {
    /// With a thread of its own for delivery reports: commit and abort wait for the last of them.
    producer: ThreadedProducer<Deliveries>,
    source: String,
    topic: String,
    transactional_id: String,
    open: Option<OpenTransaction>,
    pause: Pause,
    tally: Tally,
}

impl std::fmt::Debug for Publisher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Publisher")
            .field("topic", &self.topic)
            .field("open", &self.open)
            .finish_non_exhaustive()
    }
}

/// Which topic a record is for.
#[derive(Clone, Copy)]
enum Place {
    Checkpoints,
    Requests,
    Stage1,
}

/// Hears of every record that the broker has taken.
struct Deliveries {
    quiet: Quiet,
    /// Those of stage 1's records.
    offsets: Offsets,
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.quiet.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.quiet.error(error, reason);
    }
}

impl ProducerContext for Deliveries {
    /// A [`Place`].
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, place: usize) {
        // a failed delivery dooms its transaction, and the commit says so
        let Ok(record) = result else { return };
        if place == Place::Stage1 as usize {
            self.offsets.delivered(record.offset());
        }
    }
}

/// A Kafka transaction that is not committed yet.
#[derive(Debug, Clone, Copy)]
struct OpenTransaction {
    since: Instant,
    changes: u64,
}

impl Publisher {
    /// A producer for the source that has found its broker, if that answers at once. It fences nobody yet.
    pub(crate) fn prepare(kafka: &Kafka, source: &str) -> Result<Self, PublishError> {
        let transactional_id = format!("databus.{source}");
        let producer: ThreadedProducer<Deliveries> = ClientConfig::new()
            .set("bootstrap.servers", &kafka.brokers)
            .set("transactional.id", &transactional_id)
            .set("transaction.timeout.ms", TRANSACTION_TIMEOUT.as_millis().to_string())
            .set("enable.idempotence", "true")
            .set("compression.type", "lz4")
            // a commit waits for this, and so do its readers
            .set("linger.ms", "1")
            .set("socket.nagle.disable", "true")
            .set("batch.size", "524288")
            .set("batch.num.messages", "10000")
            // bounds what is queued: a publisher that gets ahead waits. Little more than what may be on its way at once (5 requests): the
            // client goes round and round without a pause where records are older than its linger and no request may be sent
            .set("queue.buffering.max.messages", "4000")
            .set("queue.buffering.max.kbytes", "65536")
            .set("message.max.bytes", LARGEST_RECORD)
            // a broker that comes back is found at once, not after ten seconds
            .set("reconnect.backoff.max.ms", "1000")
            .create_with_context(Deliveries { quiet: Quiet, offsets: Offsets::default() })
            .map_err(|cause| PublishError::Definite(format!("kafka client: {cause}")))?;
        let prepared = Self {
            producer,
            source: source.to_owned(),
            topic: changes_topic(source),
            transactional_id,
            open: None,
            pause: Pause::default(),
            tally: Tally::default(),
        };
        // without a connection the client would look for the coordinator only half a second later
        drop(prepared.producer.client().fetch_metadata(Some(&prepared.topic), Duration::from_secs(1)));
        Ok(prepared)
    }

    /// Fences every older producer of the source and ends what they left open.
    pub(crate) fn take_over(self) -> Result<Self, PublishError> {
        let taken = self.producer.init_transactions(TAKE_OVER_TIMEOUT);
        taken.map_err(|cause| self.classify("init_transactions", cause))?;
        Ok(self)
    }

    /// Hands out what was published since the last time, by table and op: call it after a commit.
    pub(crate) fn take_tally(&mut self, mut each: impl FnMut(&str, &str, u64)) {
        self.tally.take(&mut each);
    }

    /// Changes in the open transaction; 0 when none is open.
    pub(crate) fn open_changes(&self) -> u64 {
        self.open.map_or(0, |open| open.changes)
    }

    /// Since when the open transaction is open.
    pub(crate) fn open_since(&self) -> Option<Instant> {
        self.open.map(|open| open.since)
    }

    /// Commits the open changes together with the checkpoint that covers them. Once this returns, both are durable.
    pub(crate) fn commit(&mut self, checkpoint: &Checkpoint) -> Result<(), PublishError> {
        let json = serde_json::to_vec(checkpoint)
            .map_err(|cause| PublishError::Definite(format!("checkpoint: {cause}")))?;
        self.ensure_open()?;
        let source = self.source.clone();
        self.send(Place::Checkpoints, source.as_bytes(), &json)?;
        let deadline = Instant::now() + COMMIT_TIMEOUT;
        // the client's own wait for acknowledgements looks only every 100 ms; the producer's thread fetches them as they come. But only
        // the client's own wait ends at once when the transaction has failed, so a slow broker is left to that
        let soon = Instant::now() + ACKNOWLEDGED_SOON;
        while self.producer.in_flight_count() > 0 && Instant::now() < soon {
            std::thread::sleep(LOOK);
        }
        let acknowledged = Instant::now();
        loop {
            // ends the transaction only when all of it is acknowledged and reported
            let outcome = self.producer.commit_transaction(COMMIT_SLICE);
            if self.producer.context().offsets.began_anew() {
                // the broker, or the next start, ends what is open
                self.open = None;
                self.producer.context().offsets.give_up();
                return Err(PublishError::Definite(super::topic_gone(&self.topic)));
            }
            match outcome {
                Ok(()) => {
                    self.producer.context().offsets.committed();
                    if let Some(open) = self.open.take() {
                        self.pause.committed(open.changes, acknowledged.duration_since(open.since));
                    }
                    return Ok(());
                }
                Err(KafkaError::Transaction(cause)) if cause.is_retriable() && Instant::now() < deadline => {
                    tracing::warn!(%cause, "kafka commit is retried");
                }
                Err(cause) => return Err(self.classify("commit_transaction", cause)),
            }
        }
    }

    /// Throws the open changes away; readers never see them.
    pub(crate) fn abort(&mut self) -> Result<(), PublishError> {
        if self.open.is_none() {
            return Ok(());
        }
        let aborted = self.producer.abort_transaction(COMMIT_TIMEOUT).map_err(|cause| {
            match self.classify("abort_transaction", cause) {
                fenced @ PublishError::Fenced { .. } => fenced,
                other => PublishError::Unknown(other.to_string()),
            }
        });
        self.open = None;
        self.tally.forget();
        aborted
    }

    /// Lets go of a producer that can do nothing any more, without waiting for it: the client may take long to give up its threads
    /// while the broker is away, and the next producer fences this one anyway.
    pub(crate) fn retire(self) {
        self.producer.context().offsets.give_up();
        std::thread::spawn(move || drop(self));
    }

    fn ensure_open(&mut self) -> Result<(), PublishError> {
        if self.open.is_none() {
            self.pause.wait();
            self.producer.begin_transaction().map_err(|cause| self.classify("begin_transaction", cause))?;
            self.open = Some(OpenTransaction { since: Instant::now(), changes: 0 });
        }
        Ok(())
    }

    /// Adds a mark to the open Kafka transaction: a record with a null value, which readers of changes skip.
    pub(crate) fn mark(&mut self, mark: &Mark<'_>) -> Result<(), PublishError> {
        self.ensure_open()?;
        self.send_record(self.record(Place::Stage1).headers(mark.headers()))?;
        if let Some(open) = &mut self.open {
            open.changes += 1;
        }
        Ok(())
    }

    /// Answers an operator's request in the open Kafka transaction.
    pub(crate) fn answer(&mut self, id: &str, outcome: &str) -> Result<(), PublishError> {
        self.ensure_open()?;
        let key = requests::key(&self.source, id);
        let headers = Mark(vec![(requests::OUTCOME, outcome)]).headers();
        self.send_record(self.record(Place::Requests).key(key.as_bytes()).headers(headers))?;
        if let Some(open) = &mut self.open {
            open.changes += 1;
        }
        Ok(())
    }

    fn send(&self, place: Place, key: &[u8], value: &[u8]) -> Result<(), PublishError> {
        self.send_record(self.record(place).key(key).payload(value))
    }

    fn record<'a>(&'a self, place: Place) -> BaseRecord<'a, [u8], [u8], usize> {
        let topic = match place {
            Place::Stage1 => &self.topic,
            Place::Checkpoints => checkpoint::TOPIC,
            Place::Requests => requests::TOPIC,
        };
        BaseRecord::with_opaque_to(topic, place as usize).partition(0)
    }

    fn send_record(&self, mut record: BaseRecord<'_, [u8], [u8], usize>) -> Result<(), PublishError> {
        let deadline = Instant::now() + COMMIT_TIMEOUT;
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back))
                    if Instant::now() < deadline =>
                {
                    record = back;
                    // the producer's thread makes room
                    std::thread::sleep(LOOK);
                }
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::MessageSizeTooLarge), refused)) => {
                    return Err(PublishError::Definite(format!(
                        "a change of {} bytes is above 64 MiB, the largest record; it cannot be published",
                        refused.payload.map_or(0, <[u8]>::len)
                    )));
                }
                Err((cause, _)) => return Err(self.classify("produce", cause)),
            }
        }
    }

    fn classify(&self, doing: &str, cause: KafkaError) -> PublishError {
        let fenced = || PublishError::Fenced {
            source_name: self.source.clone(),
            transactional_id: self.transactional_id.clone(),
        };
        let code = match &cause {
            // the producer's first fatal error says why it died; later calls only say that it did
            _ if cause.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) => {
                self.producer.client().fatal_error().map(|(code, _)| code)
            }
            _ => cause.rdkafka_error_code(),
        };
        let outlived = self.open.is_some_and(|open| open.since.elapsed() >= TRANSACTION_TIMEOUT);
        match (&cause, code) {
            // the coordinator gives up a transaction that outlives its timeout (a broker outage, mostly), and says so in the
            // same words as a take-over
            (_, Some(RDKafkaErrorCode::Fenced | RDKafkaErrorCode::ProducerFenced)) if outlived => {
                PublishError::Unknown(format!(
                    "{doing}: the transaction was open for more than {TRANSACTION_TIMEOUT:?} and the broker gave it up"
                ))
            }
            (_, Some(RDKafkaErrorCode::Fenced | RDKafkaErrorCode::ProducerFenced)) => fenced(),
            // after a long idle time; the group says whether this process may ask for a new id
            (_, Some(RDKafkaErrorCode::InvalidProducerIdMapping | RDKafkaErrorCode::UnknownProducerId)) => {
                PublishError::Unknown(format!("{doing}: {cause}"))
            }
            // also where it is the reason why the whole transaction must be aborted: the next attempt would end the same way
            (_, Some(RDKafkaErrorCode::MessageSizeTooLarge)) => PublishError::Definite(format!(
                "{doing}: the broker refuses a record of this size; set max.message.bytes of topic {} to {LARGEST_RECORD}",
                self.topic
            )),
            (KafkaError::Transaction(error), _) if error.txn_requires_abort() => {
                PublishError::Transient(format!("{doing}: {cause}"))
            }
            (KafkaError::Transaction(error), _) if error.is_fatal() => {
                PublishError::Unknown(format!("{doing}: {cause}"))
            }
            (KafkaError::Transaction(_), _) if doing == "commit_transaction" => {
                PublishError::Unknown(format!("{doing}: {cause}"))
            }
            _ => PublishError::Transient(format!("{doing}: {cause}")),
        }
    }
}

/// A record with a null value: its headers, name and value.
#[derive(Debug)]
pub(crate) struct Mark<'a>(pub Vec<(&'a str, &'a str)>);

impl Mark<'_> {
    fn headers(&self) -> OwnedHeaders {
        let empty = OwnedHeaders::new_with_capacity(self.0.len());
        self.0.iter().fold(empty, |headers, (key, value)| headers.insert(Header { key, value: Some(*value) }))
    }
}

impl ChangeSink for Publisher {
    fn tally(&mut self, table: &str, op: Op, changes: u64) {
        self.tally.add(table, op, changes);
    }

    fn mark(&mut self, mark: &TableMark<'_>) -> Result<(), PublishError> {
        let headers = mark.headers();
        let texts = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        Self::mark(self, &Mark(texts))
    }

    fn publish(&mut self, _table: &str, key: &[u8], value: &[u8]) -> Result<(), PublishError> {
        self.ensure_open()?;
        self.send(Place::Stage1, key, value)?;
        if let Some(open) = &mut self.open {
            open.changes += 1;
        }
        Ok(())
    }
}
