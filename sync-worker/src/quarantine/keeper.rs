//! Copies the quarantine topic into its table: one thread, one consumer group, one partition.

use std::time::{Duration, Instant};

use backon::BackoffBuilder as _;
use change_event::quarantine;
use pipeline_config::Kafka;
use rdkafka::{
    Message, Offset, TopicPartitionList,
    config::FromClientConfigAndContext as _,
    consumer::{BaseConsumer, CommitMode, Consumer},
    error::KafkaError,
    types::RDKafkaErrorCode,
};
use service_kit::Shutdown;
use sqlx::MySqlPool;
use tokio::runtime::Handle;

use super::{record::Recorded, table};
use crate::{
    kafka::{self, Away, Quiet, StartError, TopicError},
    metrics::Metrics,
};

/// How long an idle poll lasts: also how soon a stop is noticed.
const IDLE: Duration = Duration::from_millis(100);
/// Most records of one transaction of the table.
const MOST: usize = 200;
/// How often the table is counted; others may change it.
const COUNT_EVERY: Duration = Duration::from_secs(15);
/// Longest pause between two tries on a store that is down.
const RETRY_CAP: Duration = Duration::from_secs(2);
/// A store that is away for so long costs the place in the group; it is taken again then.
const PATIENCE: Duration = Duration::from_secs(120);

/// What the keeper needs.
#[derive(Clone)]
pub struct Settings {
    /// The broker and the topic.
    pub kafka: Kafka,
    /// The bill store.
    pub store: MySqlPool,
    /// Counters.
    pub metrics: Metrics,
}

/// Why the keeper stopped.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    /// The topic or the group's place in it.
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// The client could not be made, or the broker turned it away.
    #[error("quarantine: {0}")]
    Kafka(String),
    /// Something was away for long: another start goes on.
    #[error("quarantine: {0}")]
    Interrupted(String),
    /// Not a record of the quarantine.
    #[error("quarantine: {topic} offset {offset} is not ours: {cause}")]
    Foreign {
        /// The topic.
        topic: String,
        /// The offset.
        offset: i64,
        /// Why.
        cause: String,
    },
}

impl From<KafkaError> for KeeperError {
    fn from(error: KafkaError) -> Self {
        Self::Kafka(error.to_string())
    }
}

/// Keeps the table until a stop is asked for; blocks, so give it a thread of its own. Statements run on `runtime`.
pub fn run(settings: &Settings, runtime: &Handle, shutdown: &Shutdown) -> Result<(), KeeperError> {
    loop {
        match until_interrupted(settings, runtime, shutdown) {
            Err(KeeperError::Interrupted(cause)) => {
                tracing::warn!(cause, "keeping the quarantine's table was interrupted, starting anew");
                kafka::pause_before_restart(shutdown);
            }
            ended => return ended,
        }
    }
}

fn until_interrupted(settings: &Settings, runtime: &Handle, shutdown: &Shutdown) -> Result<(), KeeperError> {
    let topic = quarantine::topic(&settings.kafka.bills_topic);
    let group = format!("keeper.{topic}");
    let mut client = kafka::consumer(&settings.kafka, &group);
    client.set("queued.min.messages", "200");
    let consumer: BaseConsumer<Quiet> = BaseConsumer::from_config_and_context(&client, Quiet)?;
    let keeper = Keeper { settings, runtime, consumer, topic, group, away: Away::default() };
    keeper.follow(shutdown)
}

struct Keeper<'a> {
    settings: &'a Settings,
    runtime: &'a Handle,
    consumer: BaseConsumer<Quiet>,
    topic: String,
    group: String,
    away: Away,
}

impl Keeper<'_> {
    /// Every process follows by itself: taking a record in twice is like once, so nobody has to be the only one.
    fn follow(&self, shutdown: &Shutdown) -> Result<(), KeeperError> {
        let mut partition = TopicPartitionList::new();
        partition.add_partition(&self.topic, 0);
        let start = match kafka::starts(&self.consumer, &self.group, &partition) {
            Ok(starts) => starts.first().map_or(0, |start| start.offset),
            Err(StartError::Definite(error)) => return Err(error.into()),
            Err(error @ StartError::Transient { .. }) => {
                return Err(KeeperError::Interrupted(error.to_string()));
            }
        };
        partition.set_partition_offset(&self.topic, 0, Offset::Offset(start))?;
        self.consumer.assign(&partition)?;
        let mut counted: Option<Instant> = None;
        while !shutdown.is_requested() {
            if counted.is_none_or(|at| at.elapsed() >= COUNT_EVERY) {
                self.count();
                counted = Some(Instant::now());
            }
            let records = self.poll()?;
            if let Some(last) = records.last() {
                self.take_in(&records, shutdown)?;
                self.commit(last.offset + 1);
                counted = None;
            }
        }
        Ok(())
    }

    /// What has arrived, after a wait for the first.
    fn poll(&self) -> Result<Vec<Recorded>, KeeperError> {
        let (mut records, mut wait) = (Vec::new(), IDLE);
        while records.len() < MOST {
            let message = match self.consumer.poll(wait) {
                None => break,
                Some(Ok(message)) => message,
                Some(Err(error)) => match error.rdkafka_error_code() {
                    Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
                        return Err(error.into());
                    }
                    _ if matches!(error, KafkaError::MessageConsumptionFatal(_)) => return Err(error.into()),
                    _ => {
                        self.away.say(&self.group, &error);
                        break;
                    }
                },
            };
            wait = Duration::ZERO;
            let foreign =
                |cause| KeeperError::Foreign { topic: self.topic.clone(), offset: message.offset(), cause };
            records.push(Recorded::read(&message).map_err(foreign)?);
        }
        Ok(records)
    }

    fn take_in(&self, records: &[Recorded], shutdown: &Shutdown) -> Result<(), KeeperError> {
        let mut delays = service_kit::retry::unbounded(RETRY_CAP).build();
        let since = Instant::now();
        loop {
            let Err(error) = self.runtime.block_on(table::take_in(&self.settings.store, records)) else {
                return Ok(());
            };
            if since.elapsed() > PATIENCE || shutdown.is_requested() {
                return Err(KeeperError::Interrupted(error.to_string()));
            }
            tracing::debug!(%error, records = records.len(), "cannot write the quarantine's table, trying again");
            std::thread::sleep(delays.next().unwrap_or(RETRY_CAP));
        }
    }

    /// Tells how much is set aside. A store that is away tells nothing, and the last count stands.
    fn count(&self) {
        let Ok(counts) = self.runtime.block_on(table::open_by_source(&self.settings.store)) else { return };
        let gauge = &self.settings.metrics.aside;
        gauge.reset();
        for (stage, source, open) in counts {
            gauge.with_label_values(&[&stage, &source]).set(open);
        }
    }

    fn commit(&self, offset: i64) {
        let mut offsets = TopicPartitionList::new();
        let committed = offsets
            .add_partition_offset(&self.topic, 0, Offset::Offset(offset))
            .and_then(|()| self.consumer.commit(&offsets, CommitMode::Async));
        // a lost commit is made good by the next one, or its records are taken in again
        if let Err(error) = committed {
            tracing::warn!(topic = self.topic, %error, "offset not committed");
        }
    }
}
