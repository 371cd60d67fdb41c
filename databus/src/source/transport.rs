//! How raw events arrive, whatever client brings them.

use super::lost::{self, LostPosition};
use crate::binlog::{DecodeError, event::RawEvent};
use std::{future::Future, time::Duration};

/// How often the server says that it is alive when it has nothing to send.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(1);

/// A connection to a source that yields its binlog events in order, heartbeats included.
///
/// An error ends the transport: it is never asked again. After it, a new transport starts from the last checkpoint.
pub(crate) trait BinlogTransport: Send + 'static {
    /// The next event; with heartbeats on, it takes at most a second or so while the link is alive. Whoever stops waiting for it gives
    /// the transport up.
    fn next(&mut self) -> impl Future<Output = Result<RawEvent, TransportError>> + Send;
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
            Self::PositionRefused(format!("{}{}", text.trim_end_matches('.'), lost::advice(&text)))
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
