//! The end of a program's topic, as a reader of committed records sees it.

use super::rows::number_in;
use anyhow::{Context, bail};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use std::time::{Duration, Instant};

const ASK: Duration = Duration::from_secs(20);
/// Offsets looked back to find the last row; markers of transactions take some of them.
const LOOK_BACK: i64 = 30;

/// One topic of one partition.
pub(super) struct Tail {
    consumer: BaseConsumer,
    topic: String,
}

impl Tail {
    pub(super) fn new(brokers: &str, topic: &str) -> anyhow::Result<Self> {
        let consumer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("group.id", "bench-tail")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("isolation.level", "read_committed")
            // what is committed is seen at once
            .set("fetch.wait.max.ms", "5")
            .set("fetch.min.bytes", "1")
            .create()?;
        Ok(Self { consumer, topic: topic.to_owned() })
    }

    /// The end of what is committed.
    pub(super) fn end(&self) -> anyhow::Result<i64> {
        let marks = self.consumer.fetch_watermarks(&self.topic, 0, ASK);
        Ok(marks.with_context(|| format!("cannot ask for the end of topic {}", self.topic))?.1)
    }

    /// The number of the last row in the topic; 0: none.
    pub(super) fn last_row(&self) -> anyhow::Result<u64> {
        let end = self.end()?;
        let mut last = 0;
        self.read(end - LOOK_BACK, |record| last = last.max(number_in(record).unwrap_or(0)))?;
        Ok(last)
    }

    /// Records with a value from this offset to the end.
    pub(super) fn count(&self, from: i64) -> anyhow::Result<u64> {
        let mut count = 0;
        self.read(from, |_| count += 1)?;
        Ok(count)
    }

    fn read(&self, from: i64, mut each: impl FnMut(&[u8])) -> anyhow::Result<()> {
        self.seek(Offset::Offset(from.max(0)))?;
        let mut heard = Instant::now();
        loop {
            match self.consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => {
                    heard = Instant::now();
                    message.payload().map(&mut each);
                }
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(()),
                Some(Err(error)) => return Err(error.into()),
                None if heard.elapsed() > ASK => bail!("nothing more comes from topic {}", self.topic),
                None => {}
            }
        }
    }

    /// Lets [`Tail::next`] begin at an offset.
    pub(super) fn seek(&self, from: Offset) -> anyhow::Result<()> {
        let mut partition = TopicPartitionList::new();
        partition.add_partition_offset(&self.topic, 0, from)?;
        self.consumer.assign(&partition)?;
        Ok(())
    }

    /// The number of the next record's row, if one comes within some milliseconds.
    pub(super) fn next(&self) -> anyhow::Result<Option<u64>> {
        match self.consumer.poll(Duration::from_millis(20)) {
            Some(Ok(message)) => Ok(message.payload().and_then(number_in)),
            Some(Err(KafkaError::PartitionEOF(_))) | None => Ok(None),
            Some(Err(error)) => Err(error.into()),
        }
    }
}
