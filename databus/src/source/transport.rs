//! How raw events arrive, whatever client brings them.

use super::lost::{self, LostPosition};
use crate::binlog::{
    DecodeError,
    event::{Kind, RawEvent},
};
use std::cell::Cell;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
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
/// Bytes of events that wait at most: 16 MiB, or one event that is larger.
const QUEUE_BYTES: usize = 16 << 20;

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

/// A transport on its own thread, with a bounded queue in between.
#[derive(Debug)]
pub(crate) struct Feed {
    queue: Receiver<Result<RawEvent, TransportError>>,
    /// Since when we wait for an event, and whether any has come yet that the server did not make up for the start.
    silent_since: Cell<Option<Instant>>,
    flowing: Cell<bool>,
    room: Arc<Room>,
}

/// How much of the queue's bytes is in use.
#[derive(Debug)]
struct Room {
    /// `None`: nobody reads any more.
    used: Mutex<Option<usize>>,
    freed: Condvar,
}

impl Room {
    /// Waits until there is room for so many bytes; false if nobody reads any more.
    fn take(&self, bytes: usize) -> bool {
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let full = |used: &mut Option<usize>| used.is_some_and(|used| used > 0 && used + bytes > QUEUE_BYTES);
        let mut used = self.freed.wait_while(used, full).unwrap_or_else(PoisonError::into_inner);
        match used.as_mut() {
            Some(used) => {
                *used += bytes;
                true
            }
            None => false,
        }
    }

    fn give_back(&self, bytes: usize) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        *used = used.map(|used| used.saturating_sub(bytes));
        self.freed.notify_one();
    }

    fn close(&self) {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.freed.notify_one();
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        // a reader that waits for room would wait for ever
        self.room.close();
    }
}

impl Feed {
    /// Starts reading. The thread ends when the feed is dropped (at the next event or heartbeat) or after the first error.
    pub(crate) fn start(mut transport: impl BinlogTransport) -> std::io::Result<Self> {
        let (sender, queue): (SyncSender<Result<RawEvent, TransportError>>, _) = sync_channel(QUEUE_EVENTS);
        let room = Arc::new(Room { used: Mutex::new(Some(0)), freed: Condvar::new() });
        let reader_room = Arc::clone(&room);
        std::thread::Builder::new().name("binlog".to_owned()).spawn(move || {
            loop {
                let event = transport.next();
                let last = event.is_err();
                let bytes = event.as_ref().map_or(0, RawEvent::size);
                if !reader_room.take(bytes) || sender.send(event).is_err() || last {
                    return;
                }
            }
        })?;
        Ok(Self { queue, silent_since: Cell::new(None), flowing: Cell::new(false), room })
    }

    /// The next event; `None` when none came within `timeout`.
    pub(crate) fn next(&self, timeout: Duration) -> Result<Option<RawEvent>, TransportError> {
        let received = match self.queue.try_recv() {
            Err(TryRecvError::Empty) => self.queue.recv_timeout(timeout),
            other => other.map_err(|_| RecvTimeoutError::Disconnected),
        };
        if let Ok(Ok(event)) = &received {
            self.room.give_back(event.size());
        }
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

    /// Brings events of 4 MiB and says how many it was asked for.
    struct Large(Arc<std::sync::atomic::AtomicUsize>);

    impl BinlogTransport for Large {
        fn next(&mut self) -> Result<RawEvent, TransportError> {
            self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            Ok(crate::binlog::event::tests::event_at(2, 0, &vec![0; 4 << 20]))
        }
    }

    #[test]
    fn the_queue_is_bounded_in_bytes_and_a_reader_that_waits_for_room_ends_with_its_feed() {
        let asked = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let feed = Feed::start(Large(Arc::clone(&asked))).unwrap();
        for _ in 0..3 {
            assert!(feed.next(Duration::from_secs(60)).unwrap().is_some());
        }
        // three were taken; three more fit (each is a little more than a quarter), and one is in the reader's hands
        assert!(asked.load(std::sync::atomic::Ordering::SeqCst) <= 7);
        let room = Arc::clone(&feed.room);
        drop(feed);
        // the reader lets go of its share when it ends
        while Arc::strong_count(&room) > 1 {
            std::thread::yield_now();
        }
    }

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
