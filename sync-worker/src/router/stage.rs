//! The router's thread, its consumer and its transactional producer. This file and those below it are the only ones of this role that
//! know rdkafka.

mod aside;
mod barrier;
mod mark;
mod membership;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use change_event::{Version, envelope::Change, stage2::BillOp};
use pipeline_config::{Kafka, Source};
use rdkafka::{
    Message, Offset, TopicPartitionList,
    config::FromClientConfigAndContext as _,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
    producer::{BaseRecord, Producer, ThreadedProducer},
    types::RDKafkaErrorCode,
};
use service_kit::Shutdown;

use crate::{kafka, mapping::Mapper, metrics::Metrics, quarantine::Open};

use super::{RouterError, marks::Marks, position::Position};
use barrier::Truncate;
use membership::Context;

/// How long an idle poll lasts: also how soon a stop is noticed.
const IDLE: Duration = Duration::from_millis(100);
/// Most input records in one transaction: enough that its round trips do not count under a backlog.
const MAX_RECORDS: usize = 10_000;
/// How long a commit is tried while the broker does not answer; then the router starts anew, which reads what became of it.
const COMMIT_DEADLINE: Duration = Duration::from_secs(30);
/// Within this time the broker has acknowledged everything, mostly.
const ACKNOWLEDGED_SOON: Duration = Duration::from_millis(250);
/// The coordinator aborts a transaction that is open for longer.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause between two looks at whether all records are acknowledged.
const ACKNOWLEDGEMENT_LOOK: Duration = Duration::from_micros(200);
const ASK_TIMEOUT: Duration = Duration::from_secs(10);

/// What a router needs.
#[derive(Clone)]
pub struct Settings {
    /// The broker and the topics.
    pub kafka: Kafka,
    /// The source whose changes it routes.
    pub source: Source,
    /// Rows to bills.
    pub mapper: Arc<Mapper>,
    /// Counters.
    pub metrics: Metrics,
}

/// Routes one source until a stop is asked for; blocks, so give it a thread of its own.
///
/// What an outage of the broker breaks is made anew: consumer, producer and position. The group decides who is active then, so
/// a process that was replaced meanwhile fences nobody.
pub fn run(settings: &Settings, shutdown: &Shutdown) -> Result<(), RouterError> {
    loop {
        match until_interrupted(settings, shutdown) {
            Err(RouterError::Interrupted { topic, cause }) => {
                tracing::warn!(topic, cause, "routing was interrupted, starting anew");
                kafka::pause_before_restart(shutdown);
            }
            ended => return ended,
        }
    }
}

fn group(settings: &Settings) -> String {
    format!("router.{}", settings.source.name)
}

fn until_interrupted(settings: &Settings, shutdown: &Shutdown) -> Result<(), RouterError> {
    let group = group(settings);
    let topic = settings.source.changes_topic();
    let active = Arc::new(Mutex::new(Active::Standby));
    let context = Context {
        group: group.clone(),
        topic: topic.clone(),
        source: settings.source.name.to_string(),
        kafka: settings.kafka.clone(),
        active: Arc::clone(&active),
        metrics: settings.metrics.clone(),
        away: kafka::Away::default(),
    };
    let broken = |error: KafkaError| RouterError::Kafka { topic: topic.clone(), cause: error.to_string() };
    let mut client = kafka::consumer(&settings.kafka, &group);
    // a router that joins takes nothing from the one that is active
    client.set("partition.assignment.strategy", "cooperative-sticky");
    let consumer: BaseConsumer<Context> =
        BaseConsumer::from_config_and_context(&client, context).map_err(broken)?;
    consumer.subscribe(&[&topic]).map_err(broken)?;
    let router = Router { settings, topic, group, consumer, active };
    while !shutdown.is_requested() {
        router.step()?;
    }
    Ok(())
}

/// Whether this process routes the source. Shared with the rebalance callback, which runs inside `poll` on the same thread:
/// never locked across a poll.
enum Active {
    Standby,
    Routing(Box<Stage>),
    Failed(RouterError),
}

/// The active router's hold on the source.
struct Stage {
    /// With a thread of its own for delivery reports: commit and abort wait for the last of them.
    producer: ThreadedProducer<kafka::Quiet>,
    /// Where the input stands, with everything of the open transaction.
    read: Position,
    open: Option<OpenTransaction>,
    /// Where the last committed transaction ended.
    committed: Position,
    /// The last transaction was aborted: one more failure is not tried in place.
    aborted: bool,
    /// What of the source is set aside, with everything of the open transaction.
    aside: Open,
    /// Where databus says how far it is.
    checkpoints: BaseConsumer<kafka::Quiet>,
    marks: Marks,
}

#[derive(Clone, Copy)]
struct OpenTransaction {
    since: Instant,
    /// Input records in it.
    records: usize,
}

fn lock(active: &Mutex<Active>) -> MutexGuard<'_, Active> {
    active.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Router<'a> {
    settings: &'a Settings,
    topic: String,
    group: String,
    consumer: BaseConsumer<Context>,
    active: Arc<Mutex<Active>>,
}

impl Router<'_> {
    /// Takes in what has arrived, up to a full batch, and commits it.
    fn step(&self) -> Result<(), RouterError> {
        let mut wait = IDLE;
        for _ in 0..MAX_RECORDS {
            let message = match self.consumer.poll(wait) {
                None => break,
                Some(Ok(message)) => message,
                Some(Err(error)) => {
                    self.poll_error(&error)?;
                    break;
                }
            };
            wait = Duration::ZERO;
            let mut active = lock(&self.active);
            // a message that was on its way when the partition was revoked belongs to the next owner
            if let Active::Routing(stage) = &mut *active {
                self.route(stage, &message)?;
            }
        }
        match &mut *lock(&self.active) {
            Active::Standby => Ok(()),
            Active::Routing(stage) => {
                self.mark(stage)?;
                self.commit(stage)
            }
            failed => match std::mem::replace(failed, Active::Standby) {
                Active::Failed(error) => Err(error),
                Active::Standby | Active::Routing(_) => Ok(()),
            },
        }
    }

    fn route(&self, stage: &mut Stage, message: &impl Message) -> Result<(), RouterError> {
        let topic = || self.topic.clone();
        let offset = message.offset();
        // a transaction that was aborted is read again from its start: what is behind that is known already
        self.begin(stage)?;
        if let Some(open) = &mut stage.open {
            open.records += 1;
        }
        let metrics = &self.settings.metrics;
        metrics.records.with_label_values(&[&self.group]).inc();
        let Some(value) = message.payload() else {
            metrics.marks.with_label_values(&[&self.group]).inc();
            let truncate = Truncate::read(message).map_err(|cause| RouterError::NotAChange {
                topic: topic(),
                offset,
                cause,
            })?;
            let Some(truncate) = truncate else {
                stage.read.pass(offset);
                return Ok(());
            };
            self.advance(stage, offset, truncate.seq)?;
            return self.end_all(stage, message, &truncate);
        };
        let change = Change::parse(value).map_err(|error| RouterError::NotAChange {
            topic: topic(),
            offset,
            cause: error.to_string(),
        })?;
        if *change.source.name != *self.settings.source.name {
            let cause =
                format!("it is of source {:?}, not {}", change.source.name, self.settings.source.name);
            return Err(RouterError::NotAChange { topic: topic(), offset, cause });
        }
        self.advance(stage, offset, change.source.seq)?;
        let mapped = self.settings.mapper.map(&change);
        self.set_aside(stage, &change, message, &mapped.refused)?;
        for record in &mapped.records {
            let op = if record.op == BillOp::Delete { "delete" } else { "upsert" };
            metrics.routed.with_label_values(&[&self.settings.source.name, op]).inc();
            let value = serde_json::to_vec(record).map_err(|cause| RouterError::Encode {
                topic: topic(),
                offset,
                cause,
            })?;
            let (topic, key) = (&self.settings.kafka.bills_topic, record.partition_key());
            self.produce(stage, BaseRecord::to(topic).key(key.as_str()).payload(value.as_slice()))?;
        }
        Ok(())
    }

    /// Stage 1 is dense (G2): this change's seq must be the next.
    fn advance(&self, stage: &mut Stage, offset: i64, seq: Version) -> Result<(), RouterError> {
        stage.read.advance(offset, seq).map_err(|wrong| RouterError::NotDense {
            topic: self.topic.clone(),
            offset,
            found: wrong.found,
            previous: wrong.previous,
        })
    }

    fn begin(&self, stage: &mut Stage) -> Result<(), RouterError> {
        if stage.open.is_none() {
            stage.producer.begin_transaction().map_err(|error| self.failed(stage, &error))?;
            stage.open = Some(OpenTransaction { since: Instant::now(), records: 0 });
        }
        Ok(())
    }

    fn produce(&self, stage: &Stage, mut record: BaseRecord<'_, str, [u8]>) -> Result<(), RouterError> {
        loop {
            match stage.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    stage.producer.poll(Duration::from_millis(5));
                    record = back;
                }
                // the transaction is already doomed: its commit says so, and the batch is done again
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::State), _)) => return Ok(()),
                Err((error @ KafkaError::MessageProduction(RDKafkaErrorCode::MessageSizeTooLarge), _)) => {
                    return Err(self.broken(&error));
                }
                // a record that the client does not take dooms nothing: a commit would leave it out without a word
                Err((error, _)) => return Err(self.failed(stage, &error)),
            }
        }
    }

    /// Commits the open transaction: records, offset and last seq together.
    fn commit(&self, stage: &mut Stage) -> Result<(), RouterError> {
        let Some(open) = stage.open else { return Ok(()) };
        match self.try_commit(stage) {
            Ok(()) => {
                self.settings.metrics.router_batch.observe(open.records as f64);
                stage.open = None;
                stage.committed = stage.read;
                stage.aside.keep();
                stage.marks.keep();
                stage.aborted = false;
                Ok(())
            }
            Err(KafkaError::Transaction(error)) if error.txn_requires_abort() && !stage.aborted => {
                tracing::warn!(topic = self.topic, open.records, %error, "transaction failed, doing it again");
                self.settings.metrics.aborts.inc();
                self.abort_and_rewind(stage)
            }
            Err(error) => Err(self.failed(stage, &error)),
        }
    }

    fn try_commit(&self, stage: &Stage) -> Result<(), KafkaError> {
        let mut offsets = TopicPartitionList::new();
        let position = stage.read;
        let mut element = offsets.add_partition(&self.topic, 0);
        element.set_offset(Offset::Offset(position.offset))?;
        element.set_metadata(position.metadata());
        let group = self
            .consumer
            .group_metadata()
            .ok_or(KafkaError::Subscription("no group metadata while routing".to_owned()))?;
        let deadline = Instant::now() + COMMIT_DEADLINE;
        // the client's own wait for acknowledgements looks only every 100 ms, which would be the latency of every batch; the producer's
        // thread fetches them as they come. But only the client's own wait ends at once when the transaction has failed, so a slow
        // broker is left to that
        let soon = Instant::now() + ACKNOWLEDGED_SOON;
        while stage.producer.in_flight_count() > 0 && Instant::now() < soon {
            std::thread::sleep(ACKNOWLEDGEMENT_LOOK);
        }
        retried(deadline, || stage.producer.send_offsets_to_transaction(&offsets, &group, ASK_TIMEOUT))?;
        retried(deadline, || stage.producer.commit_transaction(ASK_TIMEOUT))
    }

    /// Ends the transaction without effect and reads its input again.
    fn abort_and_rewind(&self, stage: &mut Stage) -> Result<(), RouterError> {
        stage.producer.abort_transaction(ASK_TIMEOUT).map_err(|error| self.failed(stage, &error))?;
        stage.open = None;
        stage.aborted = true;
        stage.read = stage.committed;
        stage.aside.undo();
        stage.marks.undo();
        let back = Offset::Offset(stage.committed.offset);
        self.consumer.seek(&self.topic, 0, back, ASK_TIMEOUT).map_err(|error| self.failed(stage, &error))
    }

    fn poll_error(&self, error: &KafkaError) -> Result<(), RouterError> {
        match error.rdkafka_error_code() {
            // auto.offset.reset=error: what must be read next is gone
            Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
                Err(self.broken(error))
            }
            _ if matches!(error, KafkaError::MessageConsumptionFatal(_)) => Err(self.broken(error)),
            // a broker that is away comes back; librdkafka goes on by itself
            _ => {
                self.consumer.context().away.say(&self.group, error);
                Ok(())
            }
        }
    }

    fn broken(&self, error: &KafkaError) -> RouterError {
        RouterError::Kafka { topic: self.topic.clone(), cause: error.to_string() }
    }

    /// What an error of the producer or of its transaction means.
    fn failed(&self, stage: &Stage, error: &KafkaError) -> RouterError {
        let code = match error.rdkafka_error_code() {
            // the first fatal error says why the producer died; later calls only say that it did
            Some(RDKafkaErrorCode::Fatal) => stage.producer.client().fatal_error().map(|(code, _)| code),
            code => code,
        };
        let topic = self.topic.clone();
        if taken_over(code, stage.open.map(|open| open.since.elapsed())) {
            RouterError::Fenced { topic }
        } else {
            RouterError::Interrupted { topic, cause: error.to_string() }
        }
    }
}

/// Another producer with our transactional id is there. The coordinator says the same of a transaction that outlived its timeout
/// (docs/adr/0002).
fn taken_over(code: Option<RDKafkaErrorCode>, open_for: Option<Duration>) -> bool {
    use RDKafkaErrorCode::{Fenced, InvalidProducerEpoch, ProducerFenced};
    matches!(code, Some(Fenced | ProducerFenced | InvalidProducerEpoch))
        && open_for.is_none_or(|age| age < TRANSACTION_TIMEOUT)
}

/// Calls `ask` again while librdkafka says that it may be.
fn retried(deadline: Instant, ask: impl Fn() -> Result<(), KafkaError>) -> Result<(), KafkaError> {
    loop {
        match ask() {
            Err(KafkaError::Transaction(error)) if error.is_retriable() && Instant::now() < deadline => {}
            Err(KafkaError::Flush(RDKafkaErrorCode::OperationTimedOut)) if Instant::now() < deadline => {}
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_that_outlived_its_timeout_is_not_a_take_over() {
        use RDKafkaErrorCode::{Fenced, InvalidProducerEpoch, InvalidTransactionalState, ProducerFenced};
        for code in [Fenced, ProducerFenced, InvalidProducerEpoch] {
            assert!(taken_over(Some(code), Some(Duration::from_secs(9))), "{code:?}");
            assert!(taken_over(Some(code), None), "{code:?}");
            assert!(!taken_over(Some(code), Some(TRANSACTION_TIMEOUT)), "{code:?}");
        }
        assert!(!taken_over(Some(InvalidTransactionalState), Some(Duration::from_secs(1))));
        assert!(!taken_over(None, None));
    }
}
