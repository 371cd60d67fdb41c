//! Which of several databus processes reads a source: the one that the consumer group `databus.<source>` gives its one partition.
//!
//! The group's members subscribe to `databus.checkpoints` and read nothing: its partition is a token. The group only chooses; what keeps
//! a process that was replaced from publishing is the transactional id (`Publisher::take_over`).
//!
//! Sticky by choice: a process that joins takes nothing from the one that has it (KIP-429). The members are static (KIP-345): a process that
//! was killed and comes back under its name is at once what it was, without waiting for the end of its old session. A second process under
//! the same name takes the first one's place, and the first one ends once it knows that it is one (`namesake`).

use super::PublishError;
use change_event::checkpoint;
use pipeline_config::{Databus, Kafka};
use rdkafka::{
    ClientConfig, ClientContext, Offset, TopicPartitionList,
    config::{FromClientConfigAndContext as _, RDKafkaLogLevel},
    consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, RebalanceProtocol},
    error::{KafkaError, RDKafkaErrorCode},
    groups::GroupInfo,
    types::RDKafkaRespErr,
};
use std::{
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::channel,
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// After this long without a heartbeat a process has lost its role.
const SESSION: &str = "6000";
/// How often each process is heard, and hears of a change: also how soon a standby knows that it is wanted.
const HEARTBEAT: &str = "500";
/// How long an idle poll lasts.
const IDLE: Duration = Duration::from_millis(50);
/// The same while it may have to join at any moment.
const BEFORE_JOINING: Duration = Duration::from_millis(10);
/// How long the group may take to say who is in it.
const WHO_IS_THERE: Duration = Duration::from_secs(2);
/// How long a role that is to be handed over waits for the work in hand.
const HAND_OVER: Duration = Duration::from_secs(3);
/// How long the group may take to answer who is active.
const ANSWER: Duration = Duration::from_secs(10);
/// How often stage 1's shape is looked at.
const LOOK: Duration = Duration::from_secs(2);
/// So many looks in a row must miss the topic before it counts as deleted.
const MISSES: u32 = 3;

/// What this process is to a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Role {
    /// Not in the group: not yet, no longer, or not at present.
    Joining,
    /// Another one is active.
    Standby,
    /// This one is; the number rises each time it comes to be.
    Active(u64),
    /// Somebody joined under this one's name: another process, or a late request of its own ([`Namesake`](super::Namesake)).
    Replaced,
    /// Definite: the topics are not what they must be.
    Refused(String),
}

/// A place in the group, held by a thread of its own. Dropping it leaves the group.
pub(crate) struct Membership {
    shared: Arc<Shared>,
    role: watch::Receiver<Role>,
    thread: Option<JoinHandle<()>>,
    consumer: Arc<BaseConsumer<Watcher>>,
    group: String,
    instance: String,
}

impl std::fmt::Debug for Membership {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Membership").field("role", &*self.role.borrow()).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Shared {
    /// Whether this process wants a part in the group.
    wanted: AtomicBool,
    ended: AtomicBool,
    /// Whether somebody works under the role.
    held: Mutex<bool>,
    let_go: Condvar,
    term: AtomicU64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The name of this process in its groups: configured, or host name and admin port, which no two processes of a host share.
pub(crate) fn instance_name(databus: &Databus) -> String {
    databus.instance.clone().unwrap_or_else(|| {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let mut name: String = host
            .trim()
            .chars()
            .filter(|letter| letter.is_ascii_alphanumeric() || ".-_".contains(*letter))
            .collect();
        name.truncate(90);
        format!("{}-{}", if name.is_empty() { "localhost" } else { &name }, databus.admin_listen.port())
    })
}

impl Membership {
    /// Prepares a place in the group of `source` and looks for the broker; nothing is joined before [`Membership::stand`].
    pub(crate) fn new(kafka: &Kafka, source: &str, instance: &str) -> Result<Self, PublishError> {
        let group = format!("databus.{source}");
        let (sender, role) = watch::channel(Role::Joining);
        let shared = Arc::new(Shared {
            wanted: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            held: Mutex::new(false),
            let_go: Condvar::new(),
            term: AtomicU64::new(0),
        });
        let watcher = Watcher { group: group.clone(), role: sender, shared: Arc::clone(&shared) };
        let settings = settings(kafka, &group, instance);
        let definite = |cause: String| PublishError::Definite(format!("kafka client: {cause}"));
        let consumer: Arc<BaseConsumer<Watcher>> = Arc::new(
            BaseConsumer::from_config_and_context(&settings, watcher)
                .map_err(|cause| definite(cause.to_string()))?,
        );
        let member = Member {
            consumer: Arc::clone(&consumer),
            topic: checkpoint::changes_topic(source),
            looked: Instant::now(),
            misses: 0,
        };
        let thread = std::thread::Builder::new()
            .name("role".to_owned())
            .spawn(move || member.run())
            .map_err(|cause| definite(cause.to_string()))?;
        Ok(Self { shared, role, thread: Some(thread), consumer, group, instance: instance.to_owned() })
    }

    /// Joins the group: from here on the role may come.
    pub(crate) fn stand(&self) {
        self.shared.wanted.store(true, Ordering::SeqCst);
    }

    /// Leaves the group, so that another one gets the role.
    pub(crate) fn withdraw(&self) {
        self.shared.wanted.store(false, Ordering::SeqCst);
    }

    /// Whether the group has a member of this process's name; itself, while it stands. Blocks; an error is transient.
    pub(crate) fn has_namesake(&self) -> Result<bool, PublishError> {
        let groups = self.consumer.fetch_group_list(Some(&self.group), WHO_IS_THERE).map_err(|cause| {
            PublishError::Transient(format!("ask who is in the group {}: {cause}", self.group))
        })?;
        let named = |group: &GroupInfo| {
            // the client's name is the process's; a member's id is made of its name, too, and of something random
            group.members().iter().any(|member| member.client_id() == self.instance)
        };
        Ok(groups.groups().iter().any(named))
    }

    /// The role as it changes.
    pub(crate) fn role(&self) -> watch::Receiver<Role> {
        self.role.clone()
    }

    /// Whether the role of this term is still held, as far as this process has heard.
    pub(crate) fn holds(&self, term: u64) -> bool {
        *self.role.borrow() == Role::Active(term)
    }

    /// Says whether somebody works under the role: it is handed over only after that has ended, unless it is gone already.
    pub(crate) fn set_held(&self, held: bool) {
        *lock(&self.shared.held) = held;
        self.shared.let_go.notify_all();
    }

    /// Asks the group itself whether the role of this term is still held: what a process that may have slept must do before it
    /// fences anybody. An error is transient: the group did not answer.
    pub(crate) fn confirm(&self, term: u64) -> Result<bool, PublishError> {
        let transient =
            |cause: String| PublishError::Transient(format!("ask the group who is active: {cause}"));
        let mut mine = TopicPartitionList::new();
        let deadline = Instant::now() + ANSWER;
        mine.add_partition_offset(checkpoint::TOPIC, 0, Offset::Offset(0))
            .map_err(|cause| transient(cause.to_string()))?;
        loop {
            if !self.holds(term) {
                return Ok(false);
            }
            let (sender, answer) = channel();
            let (consumer, offset) = (Arc::clone(&self.consumer), mine.clone());
            // the coordinator takes an offset from a member of the present generation only. The client tells the outcome of a commit
            // to nobody but a caller that waits, and lets that wait for as long as the broker is away: hence the thread
            std::thread::Builder::new()
                .name("confirm".to_owned())
                // who asked may have given up waiting
                .spawn(move || drop(sender.send(consumer.commit(&offset, CommitMode::Sync))))
                .map_err(|cause| transient(cause.to_string()))?;
            let answer = answer
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
                .map_err(|_| transient(format!("no answer within {ANSWER:?}")))?;
            match answer.as_ref().map_err(KafkaError::rdkafka_error_code) {
                Ok(()) => return Ok(self.holds(term)),
                Err(Some(
                    RDKafkaErrorCode::UnknownMemberId
                    | RDKafkaErrorCode::IllegalGeneration
                    | RDKafkaErrorCode::FencedInstanceId,
                )) => return Ok(false),
                Err(Some(RDKafkaErrorCode::RebalanceInProgress)) if Instant::now() < deadline => {
                    std::thread::sleep(IDLE);
                }
                Err(code) => return Err(transient(format!("{code:?}"))),
            }
        }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.set_held(false);
        self.shared.ended.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::warn!("the thread of the consumer group had panicked");
        }
    }
}

fn settings(kafka: &Kafka, group: &str, instance: &str) -> ClientConfig {
    let mut settings = ClientConfig::new();
    settings
        .set("bootstrap.servers", &kafka.brokers)
        .set("client.id", instance)
        .set("group.id", group)
        .set("group.instance.id", instance)
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("session.timeout.ms", SESSION)
        .set("heartbeat.interval.ms", HEARTBEAT)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "latest")
        .set("socket.keepalive.enable", "true")
        // a broker that comes back is found at once, not after ten seconds
        .set("reconnect.backoff.max.ms", "1000");
    settings
}

/// The consumer's callbacks. They run inside `poll`, on the member's thread.
struct Watcher {
    group: String,
    role: watch::Sender<Role>,
    shared: Arc<Shared>,
}

impl ClientContext for Watcher {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(?level, facility, message, "librdkafka");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(group = self.group, %error, reason, "kafka client");
    }
}

impl ConsumerContext for Watcher {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        event: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let cooperative = matches!(consumer.rebalance_protocol(), RebalanceProtocol::Cooperative);
        let answered = if event == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            // an empty assignment is answered like any other: a member that does not answer is left out of every later one
            let token = partitions.count() > 0;
            let answered = if cooperative {
                consumer.incremental_assign(partitions)
            } else {
                consumer.assign(partitions)
            };
            // a token: what is in it is read elsewhere
            let answered = answered.and_then(|()| if token { consumer.pause(partitions) } else { Ok(()) });
            self.given(token && answered.is_ok());
            answered
        } else {
            self.taken(consumer.assignment_lost());
            if cooperative { consumer.incremental_unassign(partitions) } else { consumer.unassign() }
        };
        if let Err(error) = answered {
            tracing::warn!(group = self.group, %error, "the group's assignment could not be answered");
        }
    }
}

impl Watcher {
    fn given(&self, token: bool) {
        self.role.send_if_modified(|role| {
            let next = match role {
                Role::Replaced | Role::Refused(_) => return false,
                // others come and go; the token stays
                Role::Active(_) => return false,
                _ if token => Role::Active(self.shared.term.fetch_add(1, Ordering::SeqCst) + 1),
                _ => Role::Standby,
            };
            *role = next;
            true
        });
    }

    /// `lost`: somebody else may have the token already, so there is nothing to wait for.
    fn taken(&self, lost: bool) {
        self.set(if lost { Role::Joining } else { Role::Standby });
        if lost {
            return;
        }
        let held = lock(&self.shared.held);
        let waited = self.shared.let_go.wait_timeout_while(held, HAND_OVER, |held| *held);
        if waited.is_ok_and(|(_, waited)| waited.timed_out()) {
            tracing::warn!(
                group = self.group,
                "the role goes over with work still in hand: the next one fences it"
            );
        }
    }

    fn set(&self, next: Role) {
        self.role.send_if_modified(|role| {
            let moves = !matches!(role, Role::Replaced | Role::Refused(_)) && *role != next;
            if moves {
                *role = next;
            }
            moves
        });
    }
}

/// The thread's side.
struct Member {
    consumer: Arc<BaseConsumer<Watcher>>,
    /// Stage 1's topic, looked at while the role is held.
    topic: String,
    looked: Instant,
    misses: u32,
}

impl Member {
    fn run(mut self) {
        let shared = Arc::clone(&self.consumer.context().shared);
        let mut subscribed = false;
        // a client connects at its first question: who joins later finds the way known
        drop(self.consumer.fetch_metadata(Some(checkpoint::TOPIC), Duration::from_secs(1)));
        while !shared.ended.load(Ordering::SeqCst) {
            let wanted = shared.wanted.load(Ordering::SeqCst);
            if wanted && !subscribed {
                match self.consumer.subscribe(&[checkpoint::TOPIC]) {
                    Ok(()) => subscribed = true,
                    Err(error) => tracing::warn!(%error, "cannot join the consumer group"),
                }
            } else if !wanted && subscribed {
                self.leave();
                subscribed = false;
            }
            match self.consumer.poll(if subscribed { IDLE } else { BEFORE_JOINING }) {
                None | Some(Ok(_)) => {}
                Some(Err(error)) => self.failed(&error),
            }
            self.look();
        }
        // a place that somebody else has is not this one's to give up
        if subscribed && *self.consumer.context().role.borrow() != Role::Replaced {
            self.leave();
        }
    }

    /// Leaves for good: a static member that only closed would keep its place until its session ends.
    fn leave(&self) {
        self.consumer.unsubscribe();
        let deadline = Instant::now() + Duration::from_secs(1);
        while Instant::now() < deadline
            && self.consumer.assignment().is_ok_and(|assignment| assignment.count() > 0)
        {
            drop(self.consumer.poll(Duration::from_millis(10)));
        }
        self.consumer.context().set(Role::Joining);
    }

    fn failed(&self, error: &KafkaError) {
        let context = self.consumer.context();
        match (error, self.consumer.client().fatal_error()) {
            (_, Some((RDKafkaErrorCode::FencedInstanceId, _))) => context.set(Role::Replaced),
            (_, Some((_, reason))) => {
                context.set(Role::Refused(format!("consumer group {}: {reason}", context.group)))
            }
            // a broker that is away comes back; librdkafka goes on by itself
            _ => tracing::debug!(group = context.group, %error, "consumer group"),
        }
    }

    /// Stage 1 must stay what it was at the start: there, and with one partition.
    fn look(&mut self) {
        let context = self.consumer.context();
        if self.looked.elapsed() < LOOK || !matches!(*context.role.borrow(), Role::Active(_)) {
            return;
        }
        let partitions =
            self.consumer.fetch_metadata(Some(&self.topic), Duration::from_secs(1)).map(|metadata| {
                metadata
                    .topics()
                    .iter()
                    .filter(|topic| topic.name() == self.topic)
                    .map(|topic| topic.partitions().len())
                    .sum()
            });
        self.looked = Instant::now();
        match partitions {
            Ok(0_usize) => {
                self.misses += 1;
                if self.misses >= MISSES {
                    context.set(Role::Refused(super::topic_gone(&self.topic)));
                }
            }
            Ok(1) => self.misses = 0,
            Ok(more) => context.set(Role::Refused(super::too_many_partitions(&self.topic, more))),
            // no answer: the stream finds out for itself
            Err(_) => {}
        }
    }
}
