//! One program on its trial: started, stopped, and where it is.

use super::super::ground::Ground;
use super::super::tail::Tail;
use super::{Subject, databus, debezium, go_mysql, maxwell};
use it_tests::harness::child::ChildProcess;
use it_tests::harness::identity::Identity;
use it_tests::harness::paths::Peer;
use it_tests::harness::{Daemon, Deployment, Not, Service, wait_until};
use std::time::Duration;

const FIRST_ROW: Duration = Duration::from_secs(180);
const STOP: Duration = Duration::from_secs(60);

/// A program that has stored its position, or was told one.
#[derive(Debug)]
pub(in super::super) struct Trial {
    subject: Subject,
    deployment: Option<Deployment>,
    /// Rows that were written when it last was known to be at the end of the binlog.
    seen: u64,
    /// Where that was: file and place.
    at: (String, u64),
}

/// A program at work.
#[derive(Debug)]
pub(in super::super) enum Running {
    /// databus.
    Daemon(Box<Daemon>),
    /// Another.
    Child(Box<ChildProcess>),
}

impl Trial {
    /// Starts the program, waits until it has passed a row on, and stops it.
    pub(in super::super) fn prepare(subject: Subject, ground: &mut Ground) -> anyhow::Result<Self> {
        let deployment = match subject {
            Subject::Databus => Some(databus::deployment(ground)?),
            Subject::Peer(_) => {
                ground.create_topic(subject.topic())?;
                None
            }
        };
        let mut trial = Self { subject, deployment, seen: ground.writer.written(), at: ground.binlog_end()? };
        let mut running = trial.start(ground)?;
        // some begin to follow only some time after they are up: rows are written until one comes through
        trial.reach_end(&mut running, ground)?;
        trial.stop(running, ground)?;
        Ok(trial)
    }

    /// Which program.
    pub(in super::super) fn subject(&self) -> Subject {
        self.subject
    }

    /// Rows that it has still to pass on.
    pub(in super::super) fn behind(&self, ground: &Ground) -> u64 {
        ground.writer.written() - self.seen
    }

    /// The end of its topic.
    pub(in super::super) fn tail(&self, ground: &Ground) -> anyhow::Result<Tail> {
        Tail::new(&ground.stack.kafka_brokers()?, self.subject.topic())
    }

    /// Starts it where it was.
    pub(in super::super) fn start(&self, ground: &Ground) -> anyhow::Result<Running> {
        let child = match (self.subject, &self.deployment) {
            (Subject::Databus, Some(deployment)) => {
                return Ok(Running::Daemon(Box::new(deployment.daemon_unready("databus", &["run"])?)));
            }
            (Subject::Databus, None) => anyhow::bail!("databus has no configuration"),
            (Subject::Peer(Peer::Debezium), _) => debezium::start(ground)?,
            (Subject::Peer(Peer::Maxwell), _) => maxwell::start(ground)?,
            (Subject::Peer(Peer::GoMysql), _) => go_mysql::start(ground, &self.at)?,
        };
        Ok(Running::Child(Box::new(child)))
    }

    /// Writes rows, one at a time, until one has come through: then the program is at the end of the binlog.
    pub(in super::super) fn reach_end(
        &self,
        running: &mut Running,
        ground: &mut Ground,
    ) -> anyhow::Result<()> {
        let tail = self.tail(ground)?;
        wait_until(&format!("topic {}", self.subject.topic()), FIRST_ROW, || {
            running.check_running().map_err(Not::Ever)?;
            tail.end().map(drop).map_err(Not::yet)
        })?;
        wait_until("a row to come through", FIRST_ROW, || {
            running.check_running().map_err(Not::Ever)?;
            ground.writer.write(1, 1).map_err(Not::Ever)?;
            let wanted = ground.writer.written();
            wait_until("this row", Duration::from_secs(2), || match tail.last_row() {
                Ok(last) if last >= wanted => Ok(()),
                Ok(last) => Err(Not::Yet(format!("row {last} of {wanted}"))),
                Err(error) => Err(Not::yet(error)),
            })
            .map_err(Not::yet)
        })
    }

    /// Ends it in order; it has passed on all that was written.
    pub(in super::super) fn stop(&mut self, mut running: Running, ground: &Ground) -> anyhow::Result<()> {
        running.process_mut().terminate(STOP)?;
        self.seen = ground.writer.written();
        self.at = ground.binlog_end()?;
        Ok(())
    }
}

impl Running {
    fn process_mut(&mut self) -> &mut ChildProcess {
        match self {
            Self::Daemon(daemon) => daemon.process_mut(),
            Self::Child(child) => child,
        }
    }

    /// Its process group.
    pub(in super::super) fn identity(&self) -> Identity {
        match self {
            Self::Daemon(daemon) => daemon.process().identity(),
            Self::Child(child) => child.identity(),
        }
    }

    /// An error with the end of its log if it has ended by itself.
    pub(in super::super) fn check_running(&mut self) -> anyhow::Result<()> {
        let process = self.process_mut();
        match process.exit_status() {
            Some(status) => anyhow::bail!("it ended with {status}\n{}", process.log_tail(20)),
            None => Ok(()),
        }
    }
}
