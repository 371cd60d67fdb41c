//! A writer's way into the quarantine: what its sink never takes, and what is well again.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use backon::BackoffBuilder as _;
use change_event::{
    barrier::Barrier,
    quarantine::{self, Facts, HEADER, Key, Stage},
    stage2::BillRecord,
};
use pipeline_config::Kafka;
use rdkafka::{
    error::KafkaError,
    message::{Header, OwnedHeaders},
    producer::{FutureProducer, FutureRecord},
    util::Timeout,
};

use super::{LoadError, Open, load};
use crate::{
    kafka::{self, Quiet},
    metrics::Metrics,
    writer::fold::Place,
};

/// Longest pause between two tries on a broker that is away.
const RETRY_CAP: Duration = Duration::from_secs(2);

/// Clones share everything.
#[derive(Clone)]
pub(crate) struct Outbox(Arc<Inner>);

struct Inner {
    stage: Stage,
    kafka: Kafka,
    topic: String,
    producer: FutureProducer<Quiet>,
    open: Mutex<Open>,
    metrics: Metrics,
}

impl Outbox {
    /// For the writer of this sink.
    pub(crate) fn new(kafka: &Kafka, stage: Stage, metrics: &Metrics) -> Result<Self, KafkaError> {
        let mut settings = kafka::client(kafka);
        settings.set("enable.idempotence", "true").set("message.timeout.ms", "10000").set("linger.ms", "1");
        Ok(Self(Arc::new(Inner {
            stage,
            kafka: kafka.clone(),
            topic: quarantine::topic(&kafka.bills_topic),
            producer: settings.create_with_context(Quiet)?,
            open: Mutex::default(),
            metrics: metrics.clone(),
        })))
    }

    /// Reads what is set aside now.
    pub(crate) fn reload(&self) -> Result<(), LoadError> {
        let open = load(&self.0.kafka, |key| key.stage == self.0.stage)?;
        *self.open() = open;
        Ok(())
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What these records heal once the sink has them: an older image of theirs is set aside.
    pub(crate) fn healed_by(&self, records: &[BillRecord]) -> Vec<Key> {
        let open = self.open();
        if open.is_empty() {
            return Vec::new();
        }
        let heals = |record: &BillRecord| {
            let key = self.key(record);
            open.of_row(&key.row).iter().any(|entry| entry.version < record.version).then_some(key)
        };
        records.iter().filter_map(heals).collect()
    }

    /// What a barrier heals: older bills of its pipelines are gone.
    pub(crate) fn ended_by(&self, barrier: &Barrier) -> Vec<Key> {
        self.open().older_of(&barrier.source, &barrier.pipelines, barrier.version)
    }

    /// Returns once it is durable.
    pub(crate) async fn set_aside(&self, record: &BillRecord, place: Place, cause: &str) -> Key {
        let key = self.key(record);
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
        let (attempts, first_ms) = self.open().set_aside(key.clone(), record.version, now_ms);
        let facts = Facts {
            version: record.version,
            account: Some(record.bill.account_id),
            topic: self.0.kafka.bills_topic.clone(),
            partition: place.partition,
            offset: place.offset,
            file: None,
            pos: None,
            gtid: record.source.gtid.clone(),
            reason: cause.to_owned(),
            attempts,
            first_ms,
            last_ms: now_ms,
        };
        let stage = self.0.stage.as_str();
        tracing::warn!(
            stage,
            partition = place.partition,
            offset = place.offset,
            attempts,
            row = key.row,
            cause,
            "set aside"
        );
        self.0.metrics.set_aside.with_label_values(&[stage, &key.source, &key.pipeline]).inc();
        self.send(&key, Some((&facts, record))).await;
        // a reload meanwhile may not have seen it
        let mut open = self.open();
        open.load(key.clone(), Some(&facts));
        open.keep();
        drop(open);
        key
    }

    /// Returns once it is durable.
    pub(crate) async fn heal(&self, key: Key) {
        self.send(&key, None).await;
        let mut open = self.open();
        open.heal(&key);
        open.keep();
        tracing::info!(stage = self.0.stage.as_str(), row = key.row, "what was set aside is well again");
        self.0.metrics.healed.with_label_values(&[self.0.stage.as_str(), &key.source]).inc();
    }

    async fn send(&self, key: &Key, set_aside: Option<(&Facts, &BillRecord)>) {
        // none of the three can fail: their keys are text and their numbers whole
        let key = serde_json::to_string(key).unwrap_or_default();
        let parts = set_aside.map(|(facts, record)| {
            (serde_json::to_string(facts).unwrap_or_default(), serde_json::to_vec(record).unwrap_or_default())
        });
        let mut delays = service_kit::retry::unbounded(RETRY_CAP).build();
        loop {
            let mut record: FutureRecord<'_, str, [u8]> = FutureRecord::to(&self.0.topic).key(&key);
            if let Some((facts, bytes)) = &parts {
                let headers = OwnedHeaders::new().insert(Header { key: HEADER, value: Some(facts) });
                record = record.payload(bytes).headers(headers);
            }
            match self.0.producer.send(record, Timeout::After(RETRY_CAP)).await {
                Ok(_) => return,
                Err((error, _)) => {
                    tracing::warn!(topic = self.0.topic, %error, "cannot set aside, trying again");
                    tokio::time::sleep(delays.next().unwrap_or(RETRY_CAP)).await;
                }
            }
        }
    }

    fn key(&self, record: &BillRecord) -> Key {
        let bill = &record.bill;
        let row = BTreeMap::from([
            ("account", serde_json::Value::from(bill.account_id)),
            ("bill", serde_json::Value::from(bill.bill_id.as_str())),
        ]);
        Key {
            stage: self.0.stage,
            source: bill.source.clone(),
            pipeline: bill.pipeline.clone(),
            side: bill.side.clone(),
            row: serde_json::to_string(&row).unwrap_or_default(),
        }
    }
}
