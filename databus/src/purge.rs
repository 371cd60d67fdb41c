//! Watches the server's binlog files while the source is read: how many bytes are still to come, and when the server will remove a file
//! that is still needed. The warning comes before, not with error 1236 after.

use crate::{
    live::Seen,
    metrics::SourceMetrics,
    source::{Retention, began, connect},
    status::Status,
};
use change_event::checkpoint::BinlogPosition;
use pipeline_config::Source;
use secrecy::SecretString;
use service_kit::Shutdown;
use sqlx::MySqlConnection;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// How often the server is asked.
const INTERVAL: Duration = Duration::from_secs(2);
/// Longest wait for an answer; after it the connection counts as dead.
const ANSWER: Duration = Duration::from_secs(10);
/// How often the warning is repeated.
const REPEAT: Duration = Duration::from_secs(3_600);
/// The growth of the binlog is measured over so long.
const WINDOW: Duration = Duration::from_secs(600);

/// Whose binlog is watched, and for whom.
pub(crate) struct Watch {
    /// The server.
    pub source: Arc<Source>,
    /// Its password.
    pub password: SecretString,
    /// Who is told.
    pub metrics: SourceMetrics,
    /// Whether this process reads.
    pub status: Status,
    /// Warn when less time than this is left.
    pub warn_before: Duration,
}

/// What one look leaves for the next.
#[derive(Default)]
struct Memory {
    connection: Option<MySqlConnection>,
    /// A file and when it was begun.
    began: Option<(String, Option<u64>)>,
    /// The start of the window: when, and where the binlog ended.
    window: Option<(Instant, BinlogPosition)>,
    growth: Option<f64>,
    warned: Option<Instant>,
}

impl Watch {
    /// Looks every other second until a stop is asked for; errors only leave the last answer standing, while its time runs out.
    pub(crate) async fn run(self, shutdown: Shutdown) {
        let mut memory = Memory::default();
        while !shutdown.is_requested() {
            if self.status.is_active() {
                match tokio::time::timeout(ANSWER, self.look(&mut memory)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(cause)) => {
                        memory.connection = None;
                        tracing::debug!(source = %self.source.name, %cause, "cannot ask the source for its binlog files");
                    }
                    Err(_) => memory.connection = None,
                }
            } else {
                memory = Memory::default();
                self.metrics.live.saw(None);
            }
            self.metrics.show_live();
            self.warn(&mut memory.warned);
            tokio::select! {
                () = shutdown.requested() => break,
                () = tokio::time::sleep(INTERVAL) => {}
            }
        }
    }

    async fn look(&self, memory: &mut Memory) -> Result<(), sqlx::Error> {
        let Some(checkpoint) = self.metrics.live.checkpoint() else { return Ok(()) };
        let position = checkpoint.position;
        let connection = match &mut memory.connection {
            Some(connection) => connection,
            none => none.insert(connect(&self.source, &self.password).await?),
        };
        let retention = Retention::ask(connection).await?;
        if let Some(end) = retention.end() {
            match &memory.window {
                Some((since, from)) => {
                    let grown = retention.bytes_between(from, &end);
                    let seconds = since.elapsed().as_secs_f64();
                    memory.growth = grown.map(|grown| grown as f64 / seconds.max(1.0));
                    if since.elapsed() > WINDOW || grown.is_none() {
                        memory.window = Some((Instant::now(), end));
                    }
                }
                None => memory.window = Some((Instant::now(), end)),
            }
        }
        let finished = match retention.file_after(&position.file) {
            None => None,
            Some(next) => self.began(next, memory).await,
        };
        self.metrics.live.saw(Some(Seen::of(&retention, &position, finished, memory.growth)));
        Ok(())
    }

    /// When the file was begun: asked once a file.
    async fn began(&self, file: &str, memory: &mut Memory) -> Option<u64> {
        match &memory.began {
            Some((known, at @ Some(_))) if known == file => *at,
            _ => {
                let at = began(&self.source, &self.password, file).await;
                memory.began = Some((file.to_owned(), at));
                at
            }
        }
    }

    fn warn(&self, warned: &mut Option<Instant>) {
        let (Some(seen), Some(checkpoint)) = (self.metrics.live.seen(), self.metrics.live.checkpoint())
        else {
            return;
        };
        // the file that is being written is not removed: it only says how long an outage may last
        let behind = seen.end.as_ref().is_some_and(|end| end.file != checkpoint.position.file);
        let Some(left) = seen.seconds_to_purge_now().filter(|_| behind) else { return };
        if left < self.warn_before.as_secs_f64() && warned.is_none_or(|at| at.elapsed() >= REPEAT) {
            *warned = Some(Instant::now());
            tracing::warn!(
                source = %self.source.name,
                file = checkpoint.position.file,
                seconds_left = left as u64,
                lag_bytes = seen.lag_bytes,
                "the source will remove a binlog file that is still needed: see what holds databus up, or keep binlogs longer on the source \
                 (binlog_expire_logs_seconds)"
            );
        }
    }
}
