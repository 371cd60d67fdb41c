//! Membership of the router's consumer group: who gets the source's one partition is the active router, everybody else stands by.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use change_event::{
    checkpoint::{self, LARGEST_RECORD},
    quarantine,
};
use pipeline_config::Kafka;
use rdkafka::{
    ClientContext, Offset, Statistics, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer, ConsumerContext},
    error::KafkaError,
    producer::{Producer, ThreadedProducer},
    types::RDKafkaRespErr,
};

use super::{
    super::{RouterError, marks::Marks, position::Position},
    ASK_TIMEOUT, Active, Stage, TRANSACTION_TIMEOUT, lock,
};
use crate::{
    kafka::{self, StartError},
    lag::lag,
    metrics::Metrics,
    quarantine::{LoadError, Open, load},
};

/// What the consumer's callbacks work with.
pub(super) struct Context {
    pub(super) group: String,
    pub(super) topic: String,
    pub(super) source: String,
    pub(super) kafka: Kafka,
    pub(super) active: Arc<Mutex<Active>>,
    pub(super) metrics: Metrics,
    pub(super) away: kafka::Away,
}

impl ClientContext for Context {
    fn stats(&self, statistics: Statistics) {
        self.metrics.lag.with_label_values(&[&self.group]).set(lag(&statistics, false));
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        kafka::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(group = self.group, %error, reason, "kafka client");
    }
}

impl ConsumerContext for Context {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        event: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let routing = self.metrics.partitions.with_label_values(&[&self.group]);
        let active = match event {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS if partitions.count() > 0 => {
                self.take_over(consumer, partitions)
            }
            // others come and go: what this one has stays with it
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => match self.answer(consumer, partitions) {
                Ok(()) => return routing.set(i64::from(matches!(*lock(&self.active), Active::Routing(_)))),
                Err(error) => Active::Failed(error),
            },
            _ => self.give_up(consumer, partitions),
        };
        routing.set(i64::from(matches!(active, Active::Routing(_))));
        *lock(&self.active) = active;
    }
}

impl Context {
    /// Answers an empty assignment like any other: a member that does not is left out of every later one.
    fn answer(&self, consumer: &BaseConsumer<Self>, nothing: &TopicPartitionList) -> Result<(), RouterError> {
        let answered = consumer.incremental_assign(nothing);
        answered.map_err(|error| RouterError::Kafka { topic: self.topic.clone(), cause: error.to_string() })
    }

    /// The order matters: `init_transactions` ends whatever the one before left open, only then its offset is final.
    fn take_over(&self, consumer: &BaseConsumer<Self>, partitions: &TopicPartitionList) -> Active {
        match self.try_take_over(consumer, partitions) {
            Ok(stage) => {
                tracing::info!(topic = self.topic, offset = stage.read.offset, seq = %stage.read.last_seq, "routing");
                Active::Routing(Box::new(stage))
            }
            Err(TakeOverError::Definite(error)) => Active::Failed(error),
            Err(TakeOverError::Transient(cause)) => {
                Active::Failed(RouterError::Interrupted { topic: self.topic.clone(), cause })
            }
        }
    }

    fn try_take_over(
        &self,
        consumer: &BaseConsumer<Self>,
        partitions: &TopicPartitionList,
    ) -> Result<Stage, TakeOverError> {
        let producer: ThreadedProducer<kafka::Quiet> =
            self.producer_settings().create_with_context(kafka::Quiet)?;
        producer.init_transactions(Duration::from_secs(20))?;
        let start = match kafka::starts(consumer, &self.group, partitions) {
            Ok(starts) => starts.into_iter().find(|start| start.partition == 0),
            Err(StartError::Definite(error)) => return Err(TakeOverError::Definite(error.into())),
            Err(error @ StartError::Transient { .. }) => {
                return Err(TakeOverError::Transient(error.to_string()));
            }
        };
        let start =
            start.ok_or_else(|| TakeOverError::Transient("partition 0 is not assigned".to_owned()))?;
        let read = match start.metadata {
            None => Position::BEGINNING,
            Some(metadata) => Position::stored(start.offset, &metadata).ok_or_else(|| {
                let (topic, offset) = (self.topic.clone(), start.offset);
                TakeOverError::Definite(RouterError::LastSeqUnknown { topic, offset, metadata })
            })?,
        };
        let aside = self.set_aside()?;
        let checkpoints = self.checkpoints()?;
        let mut assignment = TopicPartitionList::new();
        assignment.add_partition_offset(&self.topic, 0, Offset::Offset(read.offset))?;
        consumer.incremental_assign(&assignment)?;
        Ok(Stage {
            producer,
            read,
            open: None,
            committed: read,
            aborted: false,
            aside,
            checkpoints,
            marks: Marks::default(),
        })
    }

    /// A reader of the checkpoints from their start: the topic is compacted, and those of old are passed at once.
    fn checkpoints(&self) -> Result<BaseConsumer<kafka::Quiet>, KafkaError> {
        // the client wants a group's name, and nothing is ever committed under it
        let settings = kafka::consumer(&self.kafka, &format!("{}.checkpoints", self.group));
        let consumer: BaseConsumer<kafka::Quiet> = settings.create_with_context(kafka::Quiet)?;
        let mut partition = TopicPartitionList::new();
        partition.add_partition_offset(checkpoint::TOPIC, 0, Offset::Beginning)?;
        consumer.assign(&partition)?;
        Ok(consumer)
    }

    /// What of this source is set aside: final for the same reason.
    fn set_aside(&self) -> Result<Open, TakeOverError> {
        let stage = quarantine::Stage::Router;
        let loaded = load(&self.kafka, |key| key.stage == stage && key.source == self.source);
        loaded.map_err(|error| match error {
            LoadError::Kafka(error) => error.into(),
            LoadError::Foreign { topic, offset, cause } => {
                TakeOverError::Definite(RouterError::NotSetAside { topic, offset, cause })
            }
        })
    }

    fn producer_settings(&self) -> rdkafka::ClientConfig {
        let mut settings = kafka::client(&self.kafka);
        settings
            .set("transactional.id", &self.group)
            .set("transaction.timeout.ms", TRANSACTION_TIMEOUT.as_millis().to_string())
            .set("partitioner", "murmur2_random")
            .set("compression.type", "lz4")
            .set("message.max.bytes", LARGEST_RECORD)
            .set("linger.ms", "1")
            .set("batch.size", "524288")
            .set("queue.buffering.max.messages", "200000")
            .set("queue.buffering.max.kbytes", "131072");
        settings
    }

    /// Ends the open transaction without effect: its input is read again by the next owner.
    fn give_up(&self, consumer: &BaseConsumer<Self>, partitions: &TopicPartitionList) -> Active {
        let was = std::mem::replace(&mut *lock(&self.active), Active::Standby);
        if let Active::Routing(stage) = &was
            && stage.open.is_some()
            && let Err(error) = stage.producer.abort_transaction(ASK_TIMEOUT)
        {
            // the next owner's init_transactions ends it
            tracing::warn!(topic = self.topic, %error, "open transaction left to the next owner");
        }
        if let Err(error) = consumer.incremental_unassign(partitions) {
            tracing::warn!(topic = self.topic, %error, "unassign");
        }
        match was {
            Active::Routing(_) => tracing::info!(topic = self.topic, "handed over"),
            Active::Standby => {}
            Active::Failed(error) => return Active::Failed(error),
        }
        Active::Standby
    }
}

enum TakeOverError {
    Transient(String),
    Definite(RouterError),
}

impl From<KafkaError> for TakeOverError {
    fn from(error: KafkaError) -> Self {
        Self::Transient(error.to_string())
    }
}
