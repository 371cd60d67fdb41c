//! Reading a whole Kafka topic the way our own readers do: committed records only, and counted to the end.

use anyhow::{Context, bail};
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
    message::Headers as _,
};
use std::time::{Duration, Instant};

const DEADLINE: Duration = Duration::from_secs(60);

/// A record as a reader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Partition.
    pub partition: i32,
    /// Offset in it.
    pub offset: i64,
    /// Key as text.
    pub key: String,
    /// Value; `None` for a tombstone or mark.
    pub value: Option<Vec<u8>>,
    /// Headers, name and value.
    pub headers: Vec<(String, String)>,
}

impl Record {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

fn headers_of(message: &impl Message) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let all = message.headers().map(|headers| {
        headers.iter().map(|header| (header.key.to_owned(), text(header.value.unwrap_or_default()))).collect()
    });
    all.unwrap_or_default()
}

fn record_of(message: &impl Message) -> Record {
    Record {
        partition: message.partition(),
        offset: message.offset(),
        key: String::from_utf8_lossy(message.key().unwrap_or_default()).into_owned(),
        value: message.payload().map(<[u8]>::to_vec),
        headers: headers_of(message),
    }
}

/// All committed records of a topic, partition by partition, in offset order.
pub fn read_all(brokers: &str, topic: &str) -> anyhow::Result<Vec<Record>> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "it-tests-reader")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("isolation.level", "read_committed")
        .set("auto.offset.reset", "error")
        .create()?;
    let metadata = consumer.fetch_metadata(Some(topic), DEADLINE)?;
    let partitions =
        metadata.topics().first().context("the topic is not in the metadata")?.partitions().len();
    if partitions == 0 {
        bail!("topic {topic} does not exist");
    }
    let mut assignment = TopicPartitionList::new();
    for partition in 0..partitions {
        assignment.add_partition_offset(topic, i32::try_from(partition)?, Offset::Beginning)?;
    }
    consumer.assign(&assignment)?;
    let (mut records, mut ended) = (Vec::new(), 0);
    let deadline = Instant::now() + DEADLINE;
    while ended < partitions {
        if Instant::now() > deadline {
            bail!("reading {topic} did not end within {DEADLINE:?}: {} records so far", records.len());
        }
        match consumer.poll(Duration::from_millis(200)) {
            Some(Ok(message)) => records.push(record_of(&message)),
            Some(Err(KafkaError::PartitionEOF(_))) => ended += 1,
            Some(Err(error)) => return Err(error.into()),
            None => {}
        }
    }
    records.sort_by_key(|record| (record.partition, record.offset));
    Ok(records)
}

/// The names of all topics.
pub fn names(brokers: &str) -> anyhow::Result<Vec<String>> {
    let consumer: BaseConsumer = ClientConfig::new().set("bootstrap.servers", brokers).create()?;
    let metadata = consumer.fetch_metadata(None, DEADLINE)?;
    Ok(metadata.topics().iter().map(|topic| topic.name().to_owned()).collect())
}

/// Creates a topic with one partition.
pub fn create(brokers: &str, topic: &str) -> anyhow::Result<()> {
    use rdkafka::admin::{AdminOptions, NewTopic, TopicReplication};
    let new = NewTopic::new(topic, 1, TopicReplication::Fixed(1));
    let created = futures::executor::block_on(admin(brokers)?.create_topics([&new], &AdminOptions::new()))?;
    settled(created)
}

/// Raises a topic's number of partitions.
pub fn widen(brokers: &str, topic: &str, partitions: usize) -> anyhow::Result<()> {
    use rdkafka::admin::{AdminOptions, NewPartitions};
    let new = NewPartitions::new(topic, partitions);
    let widened =
        futures::executor::block_on(admin(brokers)?.create_partitions([&new], &AdminOptions::new()))?;
    settled(widened)
}

/// Does what a zombie's successor does: takes a transactional id over.
pub fn take_over(brokers: &str, transactional_id: &str) -> anyhow::Result<()> {
    use rdkafka::producer::{BaseProducer, Producer};
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("transactional.id", transactional_id)
        .create()?;
    Ok(producer.init_transactions(DEADLINE)?)
}

fn admin(
    brokers: &str,
) -> anyhow::Result<rdkafka::admin::AdminClient<rdkafka::client::DefaultClientContext>> {
    Ok(ClientConfig::new().set("bootstrap.servers", brokers).create()?)
}

fn settled(results: Vec<rdkafka::admin::TopicResult>) -> anyhow::Result<()> {
    for result in results {
        result.map_err(|(name, code)| anyhow::anyhow!("{name}: {code}"))?;
    }
    Ok(())
}

/// Deletes a topic and waits until no broker lists it.
pub fn delete(brokers: &str, topic: &str) -> anyhow::Result<()> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers);
    let admin: rdkafka::admin::AdminClient<rdkafka::client::DefaultClientContext> = config.create()?;
    let deleted =
        futures::executor::block_on(admin.delete_topics(&[topic], &rdkafka::admin::AdminOptions::new()))?;
    for result in deleted {
        result.map_err(|(name, code)| anyhow::anyhow!("cannot delete {name}: {code}"))?;
    }
    crate::harness::wait_until("the topic to be gone", DEADLINE, || {
        let consumer: BaseConsumer = config.create().map_err(crate::harness::Not::yet)?;
        let metadata = consumer.fetch_metadata(None, DEADLINE).map_err(crate::harness::Not::yet)?;
        let there = metadata.topics().iter().any(|listed| listed.name() == topic);
        if there { Err("it is still listed".into()) } else { Ok(()) }
    })
}

/// Reads a topic of one partition as it grows, committed records only.
pub struct Tail {
    consumer: BaseConsumer,
}

impl std::fmt::Debug for Tail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tail")
    }
}

impl Tail {
    /// From the topic's beginning; the topic must be there.
    pub fn from_start(brokers: &str, topic: &str) -> anyhow::Result<Self> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("group.id", "it-tests-tail")
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_committed")
            .set("auto.offset.reset", "error")
            .create()?;
        let mut assignment = TopicPartitionList::new();
        assignment.add_partition_offset(topic, 0, Offset::Beginning)?;
        consumer.assign(&assignment)?;
        Ok(Self { consumer })
    }

    /// The next record, or `None` if none came in time.
    pub fn next(&self, wait: Duration) -> anyhow::Result<Option<Record>> {
        match self.consumer.poll(wait) {
            Some(message) => Ok(Some(record_of(&message?))),
            None => Ok(None),
        }
    }
}
