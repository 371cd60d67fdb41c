//! What both roles share of Kafka: client settings, the topics, and where a group starts.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use change_event::{
    checkpoint::{self, LARGEST_RECORD},
    quarantine,
};
use pipeline_config::{Config, Kafka, Place};
use rdkafka::{
    ClientConfig, ClientContext, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    config::{FromClientConfigAndContext as _, RDKafkaLogLevel},
    consumer::{BaseConsumer, Consumer, ConsumerContext},
    error::KafkaError,
    message::{BorrowedMessage, DeliveryResult},
    producer::ProducerContext,
    types::RDKafkaErrorCode,
};
use service_kit::Shutdown;

/// How long start-up waits for a broker.
const METADATA_TIMEOUT: Duration = Duration::from_secs(10);
const ASK_TIMEOUT: Duration = Duration::from_secs(10);

/// The broker, a topic or a group cannot be used; definite unless it says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum TopicError {
    /// No broker answers.
    #[error("{place}: kafka.brokers {brokers} does not answer within 10 s: {cause}")]
    Unreachable {
        /// Where the brokers are named.
        place: Place,
        /// The addresses.
        brokers: String,
        /// What the client said last.
        cause: String,
    },
    /// A topic could not be made or read.
    #[error("topic {topic}: {cause}")]
    Topic {
        /// The topic.
        topic: String,
        /// What the broker said.
        cause: String,
    },
    /// The partition count is not what the configuration says.
    #[error(
        "topic {topic} has {found} partitions and kafka.bills_partitions is {wanted}: order per account depends on the count, so it is never changed in place; set it back to {found}, or give kafka.bills_topic a new name and fill it with `replay from`"
    )]
    PartitionCount {
        /// The topic.
        topic: String,
        /// As configured.
        wanted: i32,
        /// As it is.
        found: i32,
    },
    /// The group never read this partition, and its beginning is gone.
    #[error(
        "group {group} has no offset for {topic}-{partition}, whose log starts at {low}: what it would need first is gone; fill the gap with `replay from` before it starts"
    )]
    BeginningGone {
        /// Consumer group.
        group: String,
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// First offset that is there.
        low: i64,
    },
    /// What the group must read next is gone, or was never there.
    #[error(
        "group {group} must read {topic}-{partition} from {committed}, but the log holds {low} to {high}: changes are lost or the topic was made anew; repair with `replay diff` and `replay from`"
    )]
    OutOfRange {
        /// Consumer group.
        group: String,
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The group's offset.
        committed: i64,
        /// First offset that is there.
        low: i64,
        /// End of the log.
        high: i64,
    },
}

/// What librdkafka says about its connections. It says it over and over while a broker is away, so it is for debugging; what
/// matters comes back as an error.
pub(crate) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    tracing::debug!(?level, facility, message, "librdkafka");
}

/// Says that consuming fails: at once, then every 30 s, for librdkafka tries several times a second.
#[derive(Default)]
pub(crate) struct Away(Mutex<Option<Instant>>);

impl Away {
    pub(crate) fn say(&self, group: &str, error: &KafkaError) {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if said.is_none_or(|at| at.elapsed() >= Duration::from_secs(30)) {
            tracing::warn!(group, %error, "consuming fails, trying again");
            *said = Some(Instant::now());
        }
    }
}

/// A second before a role starts anew, or less if a stop is asked for. The group's own rebalance delay comes on top.
pub(crate) fn pause_before_restart(shutdown: &Shutdown) {
    for _ in 0..10 {
        if shutdown.is_requested() {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The context of clients that only ask and produce: their errors come back from the calls.
pub(crate) struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka client");
    }
}

impl ConsumerContext for Quiet {}

impl ProducerContext for Quiet {
    type DeliveryOpaque = ();

    // a failed delivery dooms its transaction, and the commit says so
    fn delivery(&self, _result: &DeliveryResult<'_>, _opaque: ()) {}
}

/// Settings of every client of ours.
pub(crate) fn client(kafka: &Kafka) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &kafka.brokers)
        .set("client.id", "sync-worker")
        .set("socket.keepalive.enable", "true")
        .set("reconnect.backoff.ms", "50")
        .set("reconnect.backoff.max.ms", "1000");
    config
}

/// Settings of every consumer of ours: committed rows only, no jump on a lost offset, milliseconds when idle.
pub(crate) fn consumer(kafka: &Kafka, group: &str) -> ClientConfig {
    let mut config = client(kafka);
    config
        .set("group.id", group)
        .set("statistics.interval.ms", "1000")
        .set("isolation.level", "read_committed")
        .set("auto.offset.reset", "error")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("session.timeout.ms", "6000")
        .set("heartbeat.interval.ms", "1000")
        // a fetch is answered as soon as something is committed; a short wait would only mean asking an idle broker all the time
        .set("fetch.wait.max.ms", "500")
        .set("fetch.error.backoff.ms", "50")
        .set("fetch.message.max.bytes", "4194304")
        .set("queued.min.messages", "20000")
        .set("queued.max.messages.kbytes", "65536");
    config
}

/// Waits for a broker, then creates stage 2's topic with its quarantine, and stage 1's of every source, unless they are there.
pub async fn ensure_topics(config: &Config) -> Result<(), TopicError> {
    let kafka = &config.kafka;
    check_reachable(kafka).await?;
    let retention = kafka.retention.as_millis().to_string();
    let changes: Vec<String> = config.sources.iter().map(|source| source.changes_topic()).collect();
    let wanted = changes.iter().map(|topic| (topic.as_str(), 1));
    let wanted: Vec<(&str, i32)> =
        wanted.chain([(kafka.bills_topic.as_str(), kafka.bills_partitions)]).collect();
    let aside = quarantine::topic(&kafka.bills_topic);
    let mut topics: Vec<NewTopic<'_>> = wanted
        .iter()
        // -1: as many copies as the brokers keep by default
        .map(|(topic, partitions)| {
            NewTopic::new(topic, *partitions, TopicReplication::Fixed(-1))
                .set("retention.ms", &retention)
                .set("cleanup.policy", "delete")
                // stage 1 may be made here before databus comes
                .set("max.message.bytes", LARGEST_RECORD)
                .set("min.insync.replicas", "1")
        })
        .collect();
    topics.push(
        NewTopic::new(&aside, 1, TopicReplication::Fixed(-1))
            .set("cleanup.policy", "compact")
            // a keeper that was away for less still hears what was healed
            .set("delete.retention.ms", &retention)
            // it holds what stage 1 holds
            .set("max.message.bytes", LARGEST_RECORD)
            .set("min.insync.replicas", "1"),
    );
    // databus makes it, too; the router reads it
    let checkpoints = NewTopic::new(checkpoint::TOPIC, 1, TopicReplication::Fixed(-1));
    topics.push(
        checkpoint::TOPIC_SETTINGS.iter().fold(checkpoints, |topic, (name, value)| topic.set(name, value)),
    );
    let failed = |topic: &str, cause: String| TopicError::Topic { topic: topic.to_owned(), cause };
    let admin: AdminClient<Quiet> = AdminClient::from_config_and_context(&client(kafka), Quiet)
        .map_err(|error| failed("(any)", error.to_string()))?;
    let options = AdminOptions::new().operation_timeout(Some(ASK_TIMEOUT)).request_timeout(Some(ASK_TIMEOUT));
    let answers =
        admin.create_topics(&topics, &options).await.map_err(|error| failed("(any)", error.to_string()))?;
    for answer in answers {
        match answer {
            Ok(topic) => tracing::info!(topic, "created"),
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, code)) => return Err(failed(&topic, code.to_string())),
        }
    }
    let all: Vec<_> = wanted.into_iter().chain([(aside.as_str(), 1)]).collect();
    check_partitions(kafka, &all).await
}

/// Reads what is committed in a topic of one partition, from its start to its end as it stands now.
pub(crate) fn read_to_end(
    kafka: &Kafka,
    topic: &str,
    mut each: impl FnMut(&BorrowedMessage<'_>),
) -> Result<(), KafkaError> {
    // the client wants a group's name, and nothing is ever committed under it
    let mut settings = consumer(kafka, &format!("read.{topic}"));
    settings.set("enable.partition.eof", "true");
    let consumer: BaseConsumer<Quiet> = settings.create_with_context(Quiet)?;
    let mut partition = TopicPartitionList::new();
    partition.add_partition_offset(topic, 0, Offset::Beginning)?;
    consumer.assign(&partition)?;
    let mut heard = Instant::now();
    loop {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => each(&message),
            Some(Err(KafkaError::PartitionEOF(_))) => return Ok(()),
            Some(Err(error)) if heard.elapsed() > ASK_TIMEOUT => return Err(error),
            None if heard.elapsed() > ASK_TIMEOUT => {
                return Err(KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut));
            }
            // a broker that is away for a moment comes back
            Some(Err(_)) | None => continue,
        }
        heard = Instant::now();
    }
}

/// Whether a broker answers now.
pub(crate) async fn ping(kafka: Kafka) -> Result<(), String> {
    let config = client(&kafka);
    blocking(move || {
        let consumer: BaseConsumer<Quiet> = config.create_with_context(Quiet)?;
        consumer.fetch_metadata(Some(&kafka.bills_topic), Duration::from_millis(900)).map(drop)
    })
    .await
}

async fn check_reachable(kafka: &Kafka) -> Result<(), TopicError> {
    let (config, place, brokers) = (client(kafka), kafka.brokers_place.clone(), kafka.brokers.clone());
    let asked = blocking(move || {
        let consumer: BaseConsumer<Quiet> = config.create_with_context(Quiet)?;
        consumer.fetch_metadata(None, METADATA_TIMEOUT).map(drop)
    });
    asked.await.map_err(|cause| TopicError::Unreachable { place, brokers, cause })
}

async fn check_partitions(kafka: &Kafka, wanted: &[(&str, i32)]) -> Result<(), TopicError> {
    for (topic, wanted) in wanted {
        let (config, name) = (client(kafka), (*topic).to_owned());
        let count = blocking(move || {
            let consumer: BaseConsumer<Quiet> = config.create_with_context(Quiet)?;
            let deadline = std::time::Instant::now() + ASK_TIMEOUT;
            loop {
                let metadata = consumer.fetch_metadata(Some(&name), ASK_TIMEOUT)?;
                let count = metadata.topics().first().map_or(0, |topic| topic.partitions().len());
                // a topic made a moment ago is not known to every broker yet
                if count > 0 || std::time::Instant::now() > deadline {
                    return Ok(i32::try_from(count).unwrap_or(i32::MAX));
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        let topic = (*topic).to_owned();
        match count.await {
            Ok(found) if found == *wanted => {}
            Ok(0) => {
                return Err(TopicError::Topic {
                    topic,
                    cause: "it was created but does not appear".to_owned(),
                });
            }
            Ok(found) => return Err(TopicError::PartitionCount { topic, wanted: *wanted, found }),
            Err(cause) => return Err(TopicError::Topic { topic, cause }),
        }
    }
    Ok(())
}

async fn blocking<T: Send + 'static>(
    ask: impl FnOnce() -> Result<T, KafkaError> + Send + 'static,
) -> Result<T, String> {
    match tokio::task::spawn_blocking(ask).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

/// Where a group goes on in one partition.
pub(crate) struct Start {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    /// What was stored beside the offset; `None` for a group that has none yet.
    pub(crate) metadata: Option<String>,
}

/// Why a group could not be started now.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// The broker did not answer; may be tried again.
    #[error("read the offsets of group {group}: {cause}")]
    Transient { group: String, cause: KafkaError },
    /// It cannot go on.
    #[error(transparent)]
    Definite(#[from] TopicError),
}

/// The group's offsets, each inside its log. Without one, the beginning, if that is still there.
pub(crate) fn starts<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    group: &str,
    assigned: &TopicPartitionList,
) -> Result<Vec<Start>, StartError> {
    let transient = |cause| StartError::Transient { group: group.to_owned(), cause };
    let committed = consumer.committed_offsets(assigned.clone(), ASK_TIMEOUT).map_err(transient)?;
    let mut starts = Vec::new();
    for element in committed.elements() {
        element.error().map_err(transient)?;
        let (topic, partition) = (element.topic().to_owned(), element.partition());
        let (low, high) = consumer.fetch_watermarks(&topic, partition, ASK_TIMEOUT).map_err(transient)?;
        let group = group.to_owned();
        match element.offset() {
            Offset::Offset(committed) if (low..=high).contains(&committed) => {
                let metadata = Some(element.metadata().to_owned());
                starts.push(Start { partition, offset: committed, metadata });
            }
            Offset::Offset(committed) => {
                return Err(TopicError::OutOfRange { group, topic, partition, committed, low, high }.into());
            }
            _ if low == 0 => starts.push(Start { partition, offset: 0, metadata: None }),
            _ => return Err(TopicError::BeginningGone { group, topic, partition, low }.into()),
        }
    }
    Ok(starts)
}
