//! How raw events arrive, whatever client brings them.

use crate::binlog::{DecodeError, event::RawEvent};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::time::Duration;

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
    /// Definite: the server refuses to send from this position.
    #[error("the source no longer has what comes next: {0}")]
    PositionGone(String),
    /// Definite: another server answers at the address.
    #[error(
        "the checkpoint belongs to the server with server_id {expected}, but {found} answers; positions of one server mean nothing on \
         another: point the source back, or start a new numbering with a reset"
    )]
    OtherServer {
        /// What the checkpoint says.
        expected: u32,
        /// What the server says.
        found: u64,
    },
    /// Definite: the server's binlog was begun anew or restored.
    #[error(
        "the source's binlog has another history than the checkpoint: at {position} the last transaction was {expected}, and now it is \
         {found:?}; the binlog was reset or the server restored, so what was read and what is there do not join: start a new numbering \
         with a reset"
    )]
    OtherHistory {
        /// The checkpoint's.
        position: String,
        /// The checkpoint's last GTID.
        expected: String,
        /// The server's GTIDs there.
        found: String,
    },
    /// Definite: somebody else replicates with our server_id.
    #[error(
        "another replica uses the same server_id: {0}; give every reader of this server its own source.server_id"
    )]
    ServerIdClash(String),
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
    /// What a failure means. Codes: <https://mariadb.com/kb/en/mariadb-error-codes/>.
    pub(super) fn of_server(text: &str) -> Self {
        let has = |code: &str| {
            text.contains(&format!("error_code: {code}")) || text.contains(&format!("error {code}:"))
        };
        let text = text.trim().to_owned();
        if has("4052") || (has("1236") && text.contains("same server_uuid/server_id")) {
            Self::ServerIdClash(text)
        } else if has("1236") {
            Self::PositionGone(text)
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
            Self::PositionGone(_)
            | Self::OtherServer { .. }
            | Self::OtherHistory { .. }
            | Self::ServerIdClash(_)
            | Self::Refused(_) => false,
        }
    }
}

/// A transport on its own thread, with a bounded queue in between.
#[derive(Debug)]
pub(crate) struct Feed {
    queue: Receiver<Result<RawEvent, TransportError>>,
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
        Ok(Self { queue })
    }

    /// The next event; `None` when none came within `timeout`.
    pub(crate) fn next(&self, timeout: Duration) -> Result<Option<RawEvent>, TransportError> {
        let received = match self.queue.try_recv() {
            Err(TryRecvError::Empty) => self.queue.recv_timeout(timeout),
            other => other.map_err(|_| RecvTimeoutError::Disconnected),
        };
        match received {
            Ok(event) => event.map(Some),
            Err(RecvTimeoutError::Timeout) => Ok(None),
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
                matches!(e, TransportError::PositionGone(_))
            }),
            ("error 4052: A slave with the same server_uuid/server_id", |e| {
                matches!(e, TransportError::ServerIdClash(_))
            }),
            ("ErrorPacket { error_code: 1045, error_message: \"Access denied\" }", |e| {
                matches!(e, TransportError::Refused(_))
            }),
            ("Connection refused (os error 111)", TransportError::is_transient),
        ];
        for (text, holds) in cases {
            assert!(holds(&TransportError::of_server(text)), "{text}: {:?}", TransportError::of_server(text));
        }
    }
}
