//! How raw events arrive, whatever client brings them.

use super::lost::LostPosition;
use crate::binlog::{
    DecodeError,
    event::{Kind, RawEvent},
};
use std::cell::Cell;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::time::{Duration, Instant};

/// How often the server says that it is alive when it has nothing to send; also how soon a reading thread notices that nobody wants
/// its events any more.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(1);
/// A link on which nothing came for this long is dead, whatever TCP hopes.
const SILENCE: Duration = Duration::from_secs(3);
/// The same before the first event: the server may have to seek its place in a large file.
const SEEKING: Duration = Duration::from_secs(60);

/// Events that wait for the decoder at most: a slow Kafka slows the reader, it does not fill the memory.
const QUEUE_EVENTS: usize = 1024;

/// A connection to a source that yields its binlog events in order, heartbeats included.
///
/// An error ends the transport: it is never asked again. After it, a new transport starts from the last checkpoint.
pub(crate) trait BinlogTransport: Send + 'static {
    /// Waits for the next event; with heartbeats on, at most a second or so while the link is alive.
    fn next(&mut self) -> Result<RawEvent, TransportError>;
}

/// Why no more events come.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// Transient: the link broke, or the server went away.
    #[error("the connection to the source is lost: {0}")]
    Lost(String),
    /// Definite: what the checkpoint stands for is not there any more.
    #[error(transparent)]
    LostPosition(#[from] LostPosition),
    /// Definite for this position: the server does not send from it, and why has to be asked.
    #[error("the source does not send from the checkpoint: {0}")]
    PositionRefused(String),
    /// Definite: the server refuses us.
    #[error("the source refuses the connection: {0}")]
    Refused(String),
    /// Definite: the bytes are not an event.
    #[error("the event after {after} arrived damaged: {reason}")]
    Damaged {
        /// What arrived before it.
        after: String,
        /// What is wrong.
        #[source]
        reason: DecodeError,
    },
}

impl TransportError {
    /// What a failure of the reader with this server_id means. Codes: <https://mariadb.com/kb/en/mariadb-error-codes/>.
    pub(super) fn of_server(server_id: u32, text: &str) -> Self {
        let has = |code: &str| {
            text.contains(&format!("error_code: {code}")) || text.contains(&format!("error {code}:"))
        };
        let text = text.trim().to_owned();
        if has("4052") || (has("1236") && text.contains("same server_uuid/server_id")) {
            LostPosition::ServerIdClash { server_id, said: text }.into()
        } else if has("1236") {
            Self::PositionRefused(text)
        } else if has("1045") || has("1227") || has("1130") || text.contains("auth plugin is not supported") {
            Self::Refused(text)
        } else {
            Self::Lost(text)
        }
    }

    /// Whether a new connection may help.
    pub fn is_transient(&self) -> bool {
        match self {
            // a damaged event may have been damaged on the wire: the next reading tells
            Self::Lost(_) | Self::Damaged { .. } => true,
            Self::LostPosition(_) | Self::PositionRefused(_) | Self::Refused(_) => false,
        }
    }
}

/// A transport on its own thread, with a bounded queue in between.
#[derive(Debug)]
pub(crate) struct Feed {
    queue: Receiver<Result<RawEvent, TransportError>>,
    /// Since when we wait for an event, and whether any has come yet that the server did not make up for the start.
    silent_since: Cell<Option<Instant>>,
    flowing: Cell<bool>,
}

impl Feed {
    /// Starts reading. The thread ends when the feed is dropped (at the next event or heartbeat) or after the first error.
    pub(crate) fn start(mut transport: impl BinlogTransport) -> std::io::Result<Self> {
        let (sender, queue): (SyncSender<Result<RawEvent, TransportError>>, _) = sync_channel(QUEUE_EVENTS);
        std::thread::Builder::new().name("binlog".to_owned()).spawn(move || {
            loop {
                let event = transport.next();
                let last = event.is_err();
                if sender.send(event).is_err() || last {
                    return;
                }
            }
        })?;
        Ok(Self { queue, silent_since: Cell::new(None), flowing: Cell::new(false) })
    }

    /// The next event; `None` when none came within `timeout`.
    pub(crate) fn next(&self, timeout: Duration) -> Result<Option<RawEvent>, TransportError> {
        let received = match self.queue.try_recv() {
            Err(TryRecvError::Empty) => self.queue.recv_timeout(timeout),
            other => other.map_err(|_| RecvTimeoutError::Disconnected),
        };
        match received {
            Ok(event) => {
                self.silent_since.set(None);
                if event.as_ref().is_ok_and(|event| {
                    !event.header.is_artificial() || event.header.kind() == Kind::Heartbeat
                }) {
                    self.flowing.set(true);
                }
                event.map(Some)
            }
            // only waiting counts: while the stream is busy with Kafka nobody looks into the queue
            Err(RecvTimeoutError::Timeout) if timeout.is_zero() => Ok(None),
            Err(RecvTimeoutError::Timeout) => {
                let since = self.silent_since.get().unwrap_or_else(|| Instant::now() - timeout);
                self.silent_since.set(Some(since));
                let limit = if self.flowing.get() { SILENCE } else { SEEKING };
                if since.elapsed() < limit {
                    return Ok(None);
                }
                Err(TransportError::Lost(format!("neither event nor heartbeat for {limit:?}")))
            }
            Err(RecvTimeoutError::Disconnected) => {
                Err(TransportError::Lost("the reading thread ended".to_owned()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_refusals_are_told_apart() {
        type Check = fn(&TransportError) -> bool;
        let cases: [(&str, Check); 4] = [
            ("error 1236: Could not find first log file name in binary log index file", |e| {
                matches!(e, TransportError::PositionRefused(_))
            }),
            ("error 4052: A slave with the same server_uuid/server_id", |e| {
                matches!(e, TransportError::LostPosition(LostPosition::ServerIdClash { server_id: 7, .. }))
            }),
            ("ErrorPacket { error_code: 1045, error_message: \"Access denied\" }", |e| {
                matches!(e, TransportError::Refused(_))
            }),
            ("Connection refused (os error 111)", TransportError::is_transient),
        ];
        for (text, holds) in cases {
            assert!(
                holds(&TransportError::of_server(7, text)),
                "{text}: {:?}",
                TransportError::of_server(7, text)
            );
        }
    }
}
