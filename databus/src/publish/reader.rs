//! Reads stage 1 the way every reader should: committed records only. Knows the Kafka client, as `kafka` does.

use super::{PublishError, quiet::Quiet, stage1::ASK_TIMEOUT};
use change_event::{Version, checkpoint::changes_topic, envelope::Change};
use pipeline_config::Kafka;
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
    message::{BorrowedMessage, Headers},
};
use std::time::{Duration, Instant};

/// How long a look for one record may take.
const LOOK_TIMEOUT: Duration = Duration::from_secs(30);
/// Pause of an idle poll.
const POLL: Duration = Duration::from_millis(100);

/// A reader of one source's changes.
pub(crate) struct Reader {
    consumer: BaseConsumer<Quiet>,
    topic: String,
}

/// A record of stage 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    /// The row's key as JSON; empty on most marks.
    pub key: Vec<u8>,
    /// The envelope; `None`: a mark, told by its headers.
    pub value: Option<Vec<u8>>,
    /// Names and values, such as `databus.mark` and `truncate`.
    pub headers: Vec<(String, String)>,
}

impl Record {
    fn of(message: &BorrowedMessage<'_>) -> Self {
        let headers = message.headers().map_or_else(Vec::new, |headers| {
            let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
            headers.iter().map(|header| (header.key.to_owned(), text(header.value))).collect()
        });
        Self {
            key: message.key().unwrap_or_default().to_vec(),
            value: message.payload().map(<[u8]>::to_vec),
            headers,
        }
    }

    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The change's version; `None` for a mark that takes none, or for foreign bytes.
    pub(crate) fn version(&self) -> Option<Version> {
        match &self.value {
            Some(value) => Change::parse(value).ok().map(|change| change.source.seq),
            None => self.header("databus.seq")?.parse::<i64>().ok()?.try_into().ok(),
        }
    }
}

/// What a reader meets next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// A record.
    Record(Record),
    /// Everything committed so far was read.
    End,
    /// Nothing yet.
    Nothing,
}

impl Reader {
    /// A reader of the source's stage 1; `None` if there is no such topic yet.
    pub(crate) fn open(kafka: &Kafka, source: &str) -> Result<Option<Self>, PublishError> {
        let topic = changes_topic(source);
        let consumer: BaseConsumer<Quiet> = ClientConfig::new()
            .set("bootstrap.servers", &kafka.brokers)
            .set("group.id", "databus.tail")
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "error")
            .set("enable.partition.eof", "true")
            .set("isolation.level", "read_committed")
            .set("fetch.wait.max.ms", "100")
            .create_with_context(Quiet)
            .map_err(|cause| PublishError::Definite(format!("kafka client: {cause}")))?;
        let metadata = consumer.fetch_metadata(None, ASK_TIMEOUT).map_err(|cause| {
            PublishError::Definite(format!(
                "{}: no kafka broker answers at {} ({cause}); check kafka.brokers and that the broker runs",
                kafka.brokers_place, kafka.brokers
            ))
        })?;
        let there = metadata.topics().iter().any(|listed| listed.name() == topic);
        Ok(there.then_some(Self { consumer, topic }))
    }

    fn failed(&self, cause: &KafkaError) -> PublishError {
        PublishError::Transient(format!("read {}: {cause}", self.topic))
    }

    /// The first offset and the one behind the last committed record.
    pub(crate) fn bounds(&self) -> Result<(i64, i64), PublishError> {
        self.consumer.fetch_watermarks(&self.topic, 0, ASK_TIMEOUT).map_err(|cause| self.failed(&cause))
    }

    /// Goes on reading at this offset.
    pub(crate) fn start(&self, offset: i64) -> Result<(), PublishError> {
        let mut partitions = TopicPartitionList::new();
        partitions
            .add_partition_offset(&self.topic, 0, Offset::Offset(offset))
            .and_then(|()| self.consumer.assign(&partitions))
            .map_err(|cause| self.failed(&cause))
    }

    /// The next record, if one comes within `wait`.
    pub(crate) fn next(&self, wait: Duration) -> Result<Next, PublishError> {
        Ok(self.next_with_offset(wait)?.1)
    }

    fn next_with_offset(&self, wait: Duration) -> Result<(i64, Next), PublishError> {
        match self.consumer.poll(wait) {
            Some(Ok(message)) => Ok((message.offset(), Next::Record(Record::of(&message)))),
            Some(Err(KafkaError::PartitionEOF(_))) => Ok((-1, Next::End)),
            Some(Err(cause)) => match cause.rdkafka_error_code() {
                // what was there when we asked has been deleted since
                Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
                    Err(PublishError::Definite(format!("read {}: {cause}", self.topic)))
                }
                // a broker that is away comes back; the client goes on by itself
                _ => Ok((-1, Next::Nothing)),
            },
            None => Ok((-1, Next::Nothing)),
        }
    }

    /// The first record from `offset` on that has a version.
    fn versioned_from(&self, offset: i64) -> Result<Option<(i64, Version)>, PublishError> {
        self.start(offset)?;
        let deadline = Instant::now() + LOOK_TIMEOUT;
        loop {
            match self.next_with_offset(POLL)? {
                (at, Next::Record(record)) => {
                    if let Some(version) = record.version() {
                        return Ok(Some((at, version)));
                    }
                }
                (_, Next::End) => return Ok(None),
                (_, Next::Nothing) if Instant::now() > deadline => {
                    return Err(PublishError::Transient(format!(
                        "reading {} at offset {offset} did not end within {LOOK_TIMEOUT:?}",
                        self.topic
                    )));
                }
                _ => {}
            }
        }
    }

    /// The offset of the first change with this version or a later one; the end if there is none.
    pub(crate) fn offset_of(&self, version: Version) -> Result<i64, PublishError> {
        // versions rise with offsets, so a search by halves finds it
        let (mut low, mut high) = self.bounds()?;
        while low < high {
            let middle = low + (high - low) / 2;
            match self.versioned_from(middle)? {
                Some((_, found)) if found >= version => high = middle,
                Some((at, _)) => low = at + 1,
                None => high = middle,
            }
        }
        Ok(low)
    }

    /// The version of the last change; `None` if stage 1 holds none.
    pub(crate) fn last_version(&self) -> Result<Option<Version>, PublishError> {
        let (low, high) = self.bounds()?;
        let mut back = 16;
        loop {
            let from = (high - back).max(low);
            match self.last_version_from(from)? {
                Some(version) => return Ok(Some(version)),
                None if from == low => return Ok(None),
                // nothing but marks and what transactions leave behind
                None => back *= 16,
            }
        }
    }

    fn last_version_from(&self, offset: i64) -> Result<Option<Version>, PublishError> {
        self.start(offset)?;
        let mut last = None;
        let mut deadline = Instant::now() + LOOK_TIMEOUT;
        loop {
            match self.next(POLL)? {
                Next::Record(record) => {
                    last = record.version().or(last);
                    deadline = Instant::now() + LOOK_TIMEOUT;
                }
                Next::End => return Ok(last),
                Next::Nothing if Instant::now() > deadline => {
                    return Err(PublishError::Transient(format!(
                        "reading {} did not end within {LOOK_TIMEOUT:?}",
                        self.topic
                    )));
                }
                Next::Nothing => {}
            }
        }
    }
}
