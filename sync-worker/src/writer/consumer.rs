//! The writer's thread and its consumer. The only file of this role that knows rdkafka.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use change_event::stage2::BillRecord;
use pipeline_config::Kafka;
use rdkafka::{
    ClientContext, Message, Offset, Statistics, TopicPartitionList,
    config::{FromClientConfigAndContext as _, RDKafkaLogLevel},
    consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext},
    error::KafkaError,
    types::RDKafkaRespErr,
};
use service_kit::Shutdown;
use tokio::runtime::Handle;

use crate::{
    kafka::{self, StartError},
    lag::lag,
    metrics::Metrics,
    quarantine::{LoadError, Outbox},
    sink::Sink,
};

use super::{
    WriterError,
    fold::{Fold, Offsets},
    hand_over::{HandOver, Progress},
    told::Told,
};

/// How long an idle poll lasts: also how soon a stop is noticed.
const IDLE: Duration = Duration::from_millis(100);
/// How long a poll lasts while a write is under way: how soon its end is noticed.
const BUSY: Duration = Duration::from_millis(1);
/// The same for a write that takes long.
const SLOW: Duration = Duration::from_millis(20);
/// A full batch waits so long for the write before it, then consumption pauses.
const PATIENCE: Duration = Duration::from_millis(500);
/// Offsets of durable batches are committed this often; at once when idle, on revoke and at the end.
const COMMIT_EVERY: Duration = Duration::from_millis(100);
/// How long a revoke or a stop waits for the write under way.
const DRAIN_DEADLINE: Duration = Duration::from_secs(10);

/// What a writer needs besides its sink.
#[derive(Clone)]
pub struct Settings {
    /// The broker and the topic.
    pub kafka: Kafka,
    /// Most records folded into one write.
    pub max_records: usize,
    /// Longest wait for more records while the sink is idle.
    pub max_wait: Duration,
    /// Counters.
    pub metrics: Metrics,
}

/// Reads stage 2 into `sink` until a stop is asked for; blocks, so give it a thread of its own. Writes run on `runtime`.
pub fn run<S: Sink>(
    sink: S,
    settings: &Settings,
    runtime: Handle,
    shutdown: &Shutdown,
) -> Result<(), WriterError> {
    let sink = Arc::new(sink);
    loop {
        match until_interrupted(&sink, settings, &runtime, shutdown) {
            Err(WriterError::Interrupted { group, cause }) => {
                tracing::warn!(group, cause, "writing was interrupted, starting anew");
                kafka::pause_before_restart(shutdown);
            }
            ended => return ended,
        }
    }
}

fn until_interrupted<S: Sink>(
    sink: &Arc<S>,
    settings: &Settings,
    runtime: &Handle,
    shutdown: &Shutdown,
) -> Result<(), WriterError> {
    let group = sink.group();
    let broken = |error: KafkaError| WriterError::Kafka { group: group.to_owned(), cause: error.to_string() };
    let group_id = group_id(group, &settings.kafka.bills_topic);
    let mut client = kafka::consumer(&settings.kafka, &group_id);
    client.set("partition.assignment.strategy", "cooperative-sticky");
    let state = Arc::new(Mutex::new(State::default()));
    let outbox = Outbox::new(&settings.kafka, sink.stage(), &settings.metrics).map_err(broken)?;
    let context = Context {
        group,
        outbox: outbox.clone(),
        group_id,
        state: Arc::clone(&state),
        metrics: settings.metrics.clone(),
        away: kafka::Away::default(),
    };
    let consumer: BaseConsumer<Context> =
        BaseConsumer::from_config_and_context(&client, context).map_err(broken)?;
    consumer.subscribe(&[&settings.kafka.bills_topic]).map_err(broken)?;
    let writer =
        Writer { sink: Arc::clone(sink), outbox, settings, runtime: runtime.clone(), consumer, state };
    let ended = writer.consume(shutdown);
    writer.drain();
    ended
}

struct Writer<'a, S> {
    sink: Arc<S>,
    outbox: Outbox,
    settings: &'a Settings,
    runtime: Handle,
    consumer: BaseConsumer<Context>,
    /// Shared with the rebalance callback, which runs inside `poll` on this same thread: never locked across a poll.
    state: Arc<Mutex<State>>,
}

/// Where the writer stands between two polls.
#[derive(Default)]
struct State {
    filling: Fold,
    filling_since: Option<Instant>,
    under_way: Option<HandOver>,
    /// Offsets of durable batches that are not committed yet.
    durable: Offsets,
    committed_at: Option<Instant>,
    /// When progress was last handed to the sink.
    marked_at: Option<Instant>,
    paused: bool,
    failed: Option<WriterError>,
}

impl State {
    /// Records were read that are not in the sink yet.
    fn unfinished(&self) -> bool {
        self.paused || self.under_way.is_some() || !self.filling.is_empty()
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<S: Sink> Writer<'_, S> {
    fn consume(&self, shutdown: &Shutdown) -> Result<(), WriterError> {
        while !shutdown.is_requested() {
            let wait = self.step()?;
            self.poll(wait)?;
            if let Some(error) = lock(&self.state).failed.take() {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Moves everything on that can move, and says how long the next poll may last.
    fn step(&self) -> Result<Duration, WriterError> {
        let mut state = lock(&self.state);
        let full = state.filling.records() >= self.settings.max_records;
        if let Some(write) = state.under_way.take() {
            // a full batch has nothing to poll for
            let patience = if full && !state.paused { PATIENCE } else { Duration::ZERO };
            self.settle(&mut state, write.wait(patience))?;
        }
        let marks_wait = state.filling.has_marks() && self.marks_are_due(&state);
        if state.under_way.is_none() && (marks_wait || !state.filling.is_empty()) {
            let waited = state.filling_since.map_or(Duration::MAX, |since| since.elapsed());
            if full || waited >= self.settings.max_wait {
                self.hand_over(&mut state);
            } else {
                return Ok(self.settings.max_wait - waited);
            }
        }
        let full = state.filling.records() >= self.settings.max_records;
        self.pause(&mut state, full)?;
        let idle = state.under_way.is_none();
        let due = state.committed_at.is_none_or(|at| at.elapsed() >= COMMIT_EVERY);
        if !state.durable.is_empty() && (idle || due) {
            commit(&self.consumer, &self.settings.kafka.bills_topic, &mut state, CommitMode::Async);
        }
        let slow = state.under_way.as_ref().is_some_and(|write| write.age() > PATIENCE);
        Ok(match (idle, slow) {
            (true, _) => IDLE,
            (false, false) => BUSY,
            (false, true) => SLOW,
        })
    }

    fn settle(&self, state: &mut State, progress: Progress) -> Result<(), WriterError> {
        match progress {
            Progress::UnderWay(write) => state.under_way = Some(write),
            Progress::Durable(offsets, unmarked) => {
                state.durable.extend(offsets);
                state.filling.hold_back(unmarked);
            }
            Progress::Died => return Err(WriterError::Died { group: self.sink.group().to_owned() }),
        }
        Ok(())
    }

    fn hand_over(&self, state: &mut State) {
        let mut batch = std::mem::take(&mut state.filling).finish();
        state.filling_since = None;
        if !batch.marks.is_empty() {
            if self.marks_are_due(state) {
                state.marked_at = Some(Instant::now());
            } else {
                state.filling.hold_back(std::mem::take(&mut batch.marks));
            }
        }
        let metrics = &self.settings.metrics;
        let topic = &self.settings.kafka.bills_topic;
        state.under_way =
            Some(HandOver::start(&self.runtime, &self.sink, &self.outbox, metrics, topic, batch));
    }

    fn marks_are_due(&self, state: &State) -> bool {
        state.marked_at.is_none_or(|at| at.elapsed() >= self.sink.mark_every())
    }

    /// Pauses while a full batch waits for a slow sink, so that polling goes on and the group keeps this member.
    fn pause(&self, state: &mut State, full: bool) -> Result<(), WriterError> {
        let wanted = full && state.under_way.is_some();
        if wanted == state.paused {
            return Ok(());
        }
        let assigned = self.consumer.assignment().map_err(|error| self.broken(&error))?;
        let done = if wanted { self.consumer.pause(&assigned) } else { self.consumer.resume(&assigned) };
        done.map_err(|error| self.broken(&error))?;
        state.paused = wanted;
        self.settings.metrics.paused.with_label_values(&[self.sink.group()]).set(i64::from(wanted));
        Ok(())
    }

    /// Takes in what has arrived: waits for the first record, then only for those that are already here.
    fn poll(&self, wait: Duration) -> Result<(), WriterError> {
        let group = self.sink.group();
        let metrics = &self.settings.metrics;
        let (records, marks) =
            (metrics.records.with_label_values(&[group]), metrics.marks.with_label_values(&[group]));
        let mut wait = wait;
        loop {
            let message = match self.consumer.poll(wait) {
                None => return Ok(()),
                Some(Ok(message)) => message,
                Some(Err(error)) => return self.poll_error(&error),
            };
            wait = Duration::ZERO;
            let (partition, offset) = (message.partition(), message.offset());
            let mut state = lock(&self.state);
            state.filling_since.get_or_insert_with(Instant::now);
            match message.payload() {
                None => {
                    marks.inc();
                    match Told::read(&message) {
                        Ok(Told::Nothing) => state.filling.pass(partition, offset),
                        Ok(Told::Progress(mark)) => state.filling.mark(partition, offset, mark),
                        Ok(Told::Barrier(barrier)) => state.filling.barrier(partition, offset, barrier),
                        Err(cause) => {
                            let (group, topic) = (group.to_owned(), message.topic().to_owned());
                            return Err(WriterError::NotABill { group, topic, partition, offset, cause });
                        }
                    }
                }
                Some(value) => {
                    let record: BillRecord =
                        serde_json::from_slice(value).map_err(|error| WriterError::NotABill {
                            group: group.to_owned(),
                            topic: message.topic().to_owned(),
                            partition,
                            offset,
                            cause: error.to_string(),
                        })?;
                    records.inc();
                    state.filling.add(partition, offset, record);
                }
            }
            if state.filling.records() >= self.settings.max_records {
                return Ok(());
            }
        }
    }

    fn poll_error(&self, error: &KafkaError) -> Result<(), WriterError> {
        use rdkafka::types::RDKafkaErrorCode as Code;
        match error.rdkafka_error_code() {
            // auto.offset.reset=error: what must be read next is gone
            Some(Code::AutoOffsetReset | Code::OffsetOutOfRange) => Err(self.broken(error)),
            _ if matches!(error, KafkaError::MessageConsumptionFatal(_)) => Err(self.broken(error)),
            // a broker that is away comes back; librdkafka goes on by itself
            _ => {
                self.consumer.context().away.say(self.sink.group(), error);
                Ok(())
            }
        }
    }

    fn broken(&self, error: &KafkaError) -> WriterError {
        WriterError::Kafka { group: self.sink.group().to_owned(), cause: error.to_string() }
    }

    /// The end: waits for the write under way, then commits what is durable.
    fn drain(&self) {
        let mut state = lock(&self.state);
        match state.under_way.take().map(|write| write.wait(DRAIN_DEADLINE)) {
            Some(Progress::Durable(offsets, _)) => state.durable.extend(offsets),
            Some(Progress::UnderWay(write)) => write.abandon(),
            Some(Progress::Died) => tracing::warn!("the last write died; its offsets stay"),
            None => {}
        }
        commit(&self.consumer, &self.settings.kafka.bills_topic, &mut state, CommitMode::Sync);
    }
}

fn commit(consumer: &BaseConsumer<Context>, topic: &str, state: &mut State, mode: CommitMode) {
    let mut offsets = TopicPartitionList::new();
    for (partition, offset) in std::mem::take(&mut state.durable) {
        if let Err(error) = offsets.add_partition_offset(topic, partition, Offset::Offset(offset)) {
            tracing::warn!(topic, partition, %error, "offset not committed");
        }
    }
    state.committed_at = Some(Instant::now());
    if offsets.count() == 0 {
        return;
    }
    // a lost commit is made good by the next one, or its records are read again under the gate
    if let Err(error) = consumer.commit(&offsets, mode) {
        tracing::warn!(topic, %error, "offsets not committed; their records may be read again");
    }
}

/// The consumer group: the sink's name, and the topic's where that is not the usual one, so that two deployments on one broker
/// do not share a group.
fn group_id(group: &str, topic: &str) -> String {
    if topic == "bills" { group.to_owned() } else { format!("{group}.{topic}") }
}

struct Context {
    /// `bill-store` or `bill-index`, for logs and metrics.
    group: &'static str,
    outbox: Outbox,
    group_id: String,
    state: Arc<Mutex<State>>,
    metrics: Metrics,
    away: kafka::Away,
}

impl ClientContext for Context {
    fn stats(&self, statistics: Statistics) {
        // called inside `poll`, as the rebalance is
        let unfinished = lock(&self.state).unfinished();
        self.metrics.lag.with_label_values(&[self.group]).set(lag(&statistics, unfinished));
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
        let done = match event {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => self.assign(consumer, partitions),
            _ => self.revoke(consumer, partitions),
        };
        if let Err(error) = done {
            lock(&self.state).failed = Some(error);
        }
        let held = consumer.assignment().map_or(0, |assignment| assignment.count());
        self.metrics.partitions.with_label_values(&[self.group]).set(i64::try_from(held).unwrap_or(i64::MAX));
    }

    fn commit_callback(&self, result: Result<(), KafkaError>, _offsets: &TopicPartitionList) {
        if let Err(error) = result {
            tracing::warn!(group = self.group, %error, "offsets not committed; their records may be read again");
        }
    }
}

impl Context {
    fn assign(
        &self,
        consumer: &BaseConsumer<Self>,
        partitions: &TopicPartitionList,
    ) -> Result<(), WriterError> {
        let broken =
            |error: KafkaError| WriterError::Kafka { group: self.group.to_owned(), cause: error.to_string() };
        if partitions.count() > 0 {
            // what the one before set aside is ours to heal; it is final, for that one has handed over
            self.outbox.reload().map_err(|error| match error {
                LoadError::Kafka(cause) => {
                    WriterError::Interrupted { group: self.group.to_owned(), cause: cause.to_string() }
                }
                LoadError::Foreign { topic, offset, cause } => {
                    WriterError::NotSetAside { topic, offset, cause }
                }
            })?;
        }
        let mut assigned = TopicPartitionList::new();
        let topic =
            partitions.elements().first().map(|element| element.topic().to_owned()).unwrap_or_default();
        for start in self.starts(consumer, partitions)? {
            assigned
                .add_partition_offset(&topic, start.partition, Offset::Offset(start.offset))
                .map_err(broken)?;
        }
        consumer.incremental_assign(&assigned).map_err(broken)?;
        let mut state = lock(&self.state);
        if state.paused {
            // the new ones are not paused: all go on, and the next step pauses them again if it must
            let all = consumer.assignment().map_err(broken)?;
            consumer.resume(&all).map_err(broken)?;
            state.paused = false;
        }
        tracing::info!(group = self.group, partitions = assigned.count(), "partitions taken over");
        Ok(())
    }

    fn starts(
        &self,
        consumer: &BaseConsumer<Self>,
        partitions: &TopicPartitionList,
    ) -> Result<Vec<kafka::Start>, WriterError> {
        kafka::starts(consumer, &self.group_id, partitions).map_err(|error| match error {
            StartError::Definite(error) => error.into(),
            error @ StartError::Transient { .. } => {
                WriterError::Interrupted { group: self.group.to_owned(), cause: error.to_string() }
            }
        })
    }

    /// Stop, drain, commit, hand over: after this another writer owns the partitions.
    fn revoke(
        &self,
        consumer: &BaseConsumer<Self>,
        partitions: &TopicPartitionList,
    ) -> Result<(), WriterError> {
        let elements = partitions.elements();
        let gone: Vec<i32> = elements.iter().map(|element| element.partition()).collect();
        if let Some(topic) = elements.first().map(|element| element.topic().to_owned()) {
            let mut state = lock(&self.state);
            state.filling.forget(&gone);
            match state.under_way.take().map(|write| write.wait(DRAIN_DEADLINE)) {
                Some(Progress::Durable(offsets, mut unmarked)) => {
                    state.durable.extend(offsets);
                    unmarked.retain(|(partition, _)| !gone.contains(partition));
                    state.filling.hold_back(unmarked);
                }
                // it also holds records of partitions that stay, so it goes on; what is gone is not ours to commit any more
                Some(Progress::UnderWay(mut write)) => {
                    write.forget(&gone);
                    state.under_way = Some(write);
                }
                Some(Progress::Died) => {
                    state.failed = Some(WriterError::Died { group: self.group.to_owned() });
                }
                None => {}
            }
            commit(consumer, &topic, &mut state, CommitMode::Sync);
        }
        tracing::info!(group = self.group, partitions = gone.len(), "partitions handed over");
        consumer
            .incremental_unassign(partitions)
            .map_err(|error| WriterError::Kafka { group: self.group.to_owned(), cause: error.to_string() })
    }
}
