//! The topics of one source: made where they are missing, checked, and read for what is in them already.

use super::{PublishError, quiet::Quiet, requests};
use change_event::checkpoint::{self, Checkpoint, LARGEST_RECORD, changes_topic};
use pipeline_config::Kafka;
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    config::FromClientConfigAndContext as _,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
};
use std::time::{Duration, Instant};

/// How long a broker may take to answer a question before it counts as unreachable.
pub(super) const ASK_TIMEOUT: Duration = Duration::from_secs(10);
/// How long reading a topic of ours may take.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// The topics of one source and what is already in them.
pub(crate) struct Stage1 {
    source: String,
    topic: String,
    /// Both stay connected: taking over waits for them.
    all: BaseConsumer<Quiet>,
    committed: BaseConsumer<Quiet>,
}

impl std::fmt::Debug for Stage1 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stage1").field("topic", &self.topic).finish_non_exhaustive()
    }
}

fn reader(brokers: &str, isolation: &str) -> Result<BaseConsumer<Quiet>, KafkaError> {
    ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "databus.checkpoint-reader")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "error")
        .set("enable.partition.eof", "true")
        // the broker keeps the answer that says "no more" for so long
        .set("fetch.wait.max.ms", "10")
        .set("reconnect.backoff.max.ms", "1000")
        .set("isolation.level", isolation)
        .create_with_context(Quiet)
}

/// What to check when no broker answers.
fn connect_hint(kafka: &Kafka, cause: &impl std::fmt::Display) -> String {
    format!(
        "{}: no kafka broker answers at {} ({cause}); check kafka.brokers and that the broker runs",
        kafka.brokers_place, kafka.brokers
    )
}

impl Stage1 {
    /// Creates the source's topics where they are missing and checks their shape.
    pub(crate) async fn open(kafka: &Kafka, source: &str) -> Result<Self, PublishError> {
        let unreachable = |cause: KafkaError| PublishError::Transient(connect_hint(kafka, &cause));
        let refused = |cause: KafkaError| PublishError::Definite(connect_hint(kafka, &cause));
        let stage1 = Self::new(kafka, source).map_err(refused)?;
        // librdkafka would wait for ever for a broker that is not there
        let (stage1, there) = tokio::task::spawn_blocking(move || {
            let there = stage1.topics_there();
            (stage1, there)
        })
        .await
        .map_err(|cause| PublishError::Definite(cause.to_string()))?;
        if there.map_err(unreachable)? {
            stage1.check_partitions()?;
            return Ok(stage1);
        }
        let admin: AdminClient<Quiet> = AdminClient::from_config_and_context(
            ClientConfig::new().set("bootstrap.servers", &kafka.brokers),
            Quiet,
        )
        .map_err(refused)?;
        let retention = kafka.retention.as_millis().to_string();
        // replication -1: the broker's own default
        let changes = NewTopic::new(&stage1.topic, 1, TopicReplication::Fixed(-1))
            .set("cleanup.policy", "delete")
            .set("retention.ms", &retention)
            // the broker's default of 1 MiB is less than one row may have
            .set("max.message.bytes", LARGEST_RECORD);
        let checkpoints = NewTopic::new(checkpoint::TOPIC, 1, TopicReplication::Fixed(-1));
        let checkpoints = checkpoint::TOPIC_SETTINGS
            .iter()
            .fold(checkpoints, |topic, (name, value)| topic.set(name, value));
        let options =
            AdminOptions::new().request_timeout(Some(ASK_TIMEOUT)).operation_timeout(Some(ASK_TIMEOUT));
        let requests = NewTopic::new(requests::TOPIC, 1, TopicReplication::Fixed(-1))
            .set("cleanup.policy", "compact")
            .set("segment.bytes", "16777216");
        let results =
            admin.create_topics([&changes, &checkpoints, &requests], &options).await.map_err(unreachable)?;
        for result in results {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                // brokers that are still coming up say so in these words; fewer of them than copies are wanted is what the last means
                Err((
                    topic,
                    code @ (RDKafkaErrorCode::RequestTimedOut
                    | RDKafkaErrorCode::NotController
                    | RDKafkaErrorCode::InvalidReplicationFactor),
                )) => {
                    return Err(PublishError::Transient(format!("create the kafka topic {topic}: {code}")));
                }
                Err((topic, code)) => {
                    return Err(PublishError::Definite(format!(
                        "cannot create the kafka topic {topic}: {code}"
                    )));
                }
            }
        }
        stage1.check_partitions()?;
        Ok(stage1)
    }

    /// As [`Stage1::open`], without making or checking any topic; `None` if there are no checkpoints at all yet. Blocks.
    pub(crate) fn look(kafka: &Kafka, source: &str) -> Result<Option<Self>, PublishError> {
        let unreachable = |cause: KafkaError| PublishError::Definite(connect_hint(kafka, &cause));
        let stage1 = Self::new(kafka, source).map_err(unreachable)?;
        let metadata = stage1.all.fetch_metadata(None, ASK_TIMEOUT).map_err(unreachable)?;
        Ok(metadata.topics().iter().any(|topic| topic.name() == checkpoint::TOPIC).then_some(stage1))
    }

    fn new(kafka: &Kafka, source: &str) -> Result<Self, KafkaError> {
        Ok(Self {
            source: source.to_owned(),
            topic: changes_topic(source),
            all: reader(&kafka.brokers, "read_uncommitted")?,
            committed: reader(&kafka.brokers, "read_committed")?,
        })
    }

    /// Whether no topic has to be made. The first question of both readers: it connects them.
    fn topics_there(&self) -> Result<bool, KafkaError> {
        let metadata = self.all.fetch_metadata(None, ASK_TIMEOUT)?;
        let there = |wanted: &str| metadata.topics().iter().any(|topic| topic.name() == wanted);
        let all_there = there(&self.topic) && there(checkpoint::TOPIC) && there(requests::TOPIC);
        if all_there {
            self.committed.fetch_metadata(Some(checkpoint::TOPIC), ASK_TIMEOUT)?;
        }
        Ok(all_there)
    }

    /// One partition is the source's commit order (G2); a second one would break it.
    fn check_partitions(&self) -> Result<(), PublishError> {
        for topic in [self.topic.as_str(), checkpoint::TOPIC, requests::TOPIC] {
            let deadline = Instant::now() + ASK_TIMEOUT;
            loop {
                let metadata = self
                    .all
                    .fetch_metadata(Some(topic), ASK_TIMEOUT)
                    .map_err(|cause| PublishError::Transient(format!("metadata of {topic}: {cause}")))?;
                let partitions = metadata.topics().first().map_or(0, |topic| topic.partitions().len());
                match partitions {
                    1 => break,
                    // just created: not every broker knows it yet
                    0 if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(50)),
                    0 => return Err(PublishError::Transient(format!("topic {topic} does not appear"))),
                    more => {
                        return Err(PublishError::Definite(super::too_many_partitions(topic, more)));
                    }
                }
            }
        }
        Ok(())
    }

    /// The source's last checkpoint; `None` for a source that was never read. Call only after the producer has fenced every older one.
    pub(crate) fn last_checkpoint(&self) -> Result<Option<Checkpoint>, PublishError> {
        let mut last = None;
        self.read_committed(checkpoint::TOPIC, |key, value| {
            if key == Some(self.source.as_bytes()) {
                last = value.map(<[u8]>::to_vec);
            }
            true
        })?;
        let Some(json) = last else { return Ok(None) };
        let parsed = serde_json::from_slice(&json).map_err(|cause| {
            PublishError::Definite(format!(
                "the checkpoint of source {} in topic {} is not readable: {cause}; it was written by another version or by hand",
                self.source,
                checkpoint::TOPIC
            ))
        })?;
        Ok(Some(parsed))
    }

    /// Whether nothing was ever written to stage 1; one that only expired still counts on from where it was.
    pub(crate) fn is_untouched(&self) -> Result<bool, PublishError> {
        let transient = |cause: KafkaError| PublishError::Transient(format!("read {}: {cause}", self.topic));
        let (_, end) = self.all.fetch_watermarks(&self.topic, 0, ASK_TIMEOUT).map_err(transient)?;
        Ok(end == 0)
    }

    /// Whether stage 1 holds any change.
    pub(crate) fn has_changes(&self) -> Result<bool, PublishError> {
        let mut any = false;
        self.read_committed(&self.topic, |_, _| {
            any = true;
            false
        })?;
        Ok(any)
    }

    /// Hands every committed record of partition 0 to `each`, until it says false.
    ///
    /// The committed end can lag behind the real one while some other source's transaction is open in the same partition: this waits
    /// until both agree, so that the newest committed record is always among those read.
    fn read_committed(
        &self,
        topic: &str,
        mut each: impl FnMut(Option<&[u8]>, Option<&[u8]>) -> bool,
    ) -> Result<(), PublishError> {
        let transient = |cause: KafkaError| PublishError::Transient(format!("read {topic}: {cause}"));
        let (all, committed) = (&self.all, &self.committed);
        let (_, end) = all.fetch_watermarks(topic, 0, ASK_TIMEOUT).map_err(transient)?;
        let deadline = Instant::now() + READ_TIMEOUT;
        loop {
            let (low, stable) = committed.fetch_watermarks(topic, 0, ASK_TIMEOUT).map_err(transient)?;
            if low == stable && stable >= end {
                return Ok(());
            }
            if stable >= end {
                break;
            }
            if Instant::now() > deadline {
                return Err(PublishError::Transient(format!(
                    "a transaction in {topic} has been open for {READ_TIMEOUT:?}"
                )));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let mut partitions = TopicPartitionList::new();
        partitions.add_partition_offset(topic, 0, Offset::Beginning).map_err(transient)?;
        // what the client had to say of outages in between
        while committed.poll(Duration::ZERO).is_some() {}
        committed.assign(&partitions).map_err(transient)?;
        let read = self.read_assigned(topic, &mut each);
        committed.unassign().map_err(transient)?;
        read
    }

    /// To the end of what is assigned.
    fn read_assigned(
        &self,
        topic: &str,
        each: &mut impl FnMut(Option<&[u8]>, Option<&[u8]>) -> bool,
    ) -> Result<(), PublishError> {
        let transient = |cause: KafkaError| PublishError::Transient(format!("read {topic}: {cause}"));
        let deadline = Instant::now() + READ_TIMEOUT;
        loop {
            match self.committed.poll(Duration::from_millis(500)) {
                Some(Ok(record)) if each(record.key(), record.payload()) => {}
                Some(Ok(_)) => return Ok(()),
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(()),
                Some(Err(cause)) => return Err(transient(cause)),
                None if Instant::now() > deadline => {
                    return Err(PublishError::Transient(format!(
                        "reading {topic} did not end within {READ_TIMEOUT:?}"
                    )));
                }
                None => {}
            }
        }
    }
}
