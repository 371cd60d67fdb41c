//! A transport on a thread of its own, with a bounded queue behind it.

use super::transport::{BinlogTransport, TransportError};
use crate::binlog::event::{Kind, RawEvent};
use std::{
    pin::pin,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel},
    },
    task::Poll,
    time::Duration,
    vec,
};
use tokio::runtime::Handle;
use tokio_util::sync::{CancellationToken, DropGuard};

/// A link on which nothing came for this long is dead, whatever TCP hopes.
const SILENCE: Duration = Duration::from_secs(3);
/// The same before the first event: the server may have to seek its place in a large file.
const SEEKING: Duration = Duration::from_secs(60);

/// Batches that wait for the decoder at most: a slow Kafka slows the reader, it does not fill the memory.
const QUEUE_BATCHES: usize = 64;
/// Bytes of events that wait at most: 16 MiB, or one event that is larger.
const QUEUE_BYTES: usize = 16 << 20;
/// What came at one go is handed over at one go, up to so many events or bytes: waking the decoder for each costs more than decoding it.
const BATCH_EVENTS: usize = 256;
const BATCH_BYTES: usize = 256 << 10;

/// Events as they come, read ahead by a thread of their own.
#[derive(Debug)]
pub(crate) struct Feed {
    queue: Receiver<Result<Batch, TransportError>>,
    /// What is left of the batch in hand.
    batch: vec::IntoIter<RawEvent>,
    /// How long we have waited for an event in vain, and whether any has come yet that the server did not make up for the start.
    silent_for: Duration,
    flowing: bool,
    room: Arc<Room>,
    /// Ends the reading thread, however long its link stays silent.
    _wanted: DropGuard,
}

/// Events that came at one go, and their bytes.
#[derive(Debug, Default)]
struct Batch {
    events: Vec<RawEvent>,
    bytes: usize,
}

impl Batch {
    fn push(&mut self, event: RawEvent) {
        self.bytes += event.size();
        self.events.push(event);
    }

    fn is_full(&self) -> bool {
        self.events.len() >= BATCH_EVENTS || self.bytes >= BATCH_BYTES
    }
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

/// The reading thread's end of the queue.
struct Reader {
    sender: SyncSender<Result<Batch, TransportError>>,
    room: Arc<Room>,
    batch: Batch,
}

impl Reader {
    /// Reads until the first error; `None` when nobody wants the events any more.
    async fn read(&mut self, mut transport: impl BinlogTransport) -> Option<()> {
        loop {
            let mut next = pin!(transport.next());
            let event = match futures::poll!(next.as_mut()) {
                Poll::Ready(event) => event,
                Poll::Pending => {
                    self.hand_over()?;
                    next.await
                }
            };
            match event {
                Ok(event) => self.batch.push(event),
                Err(error) => {
                    self.hand_over()?;
                    return self.sender.send(Err(error)).ok();
                }
            }
            if self.batch.is_full() {
                self.hand_over()?;
            }
        }
    }

    /// Waits for room: on this thread nothing else runs.
    fn hand_over(&mut self) -> Option<()> {
        let batch = std::mem::take(&mut self.batch);
        if batch.events.is_empty() {
            return Some(());
        }
        if !self.room.take(batch.bytes) {
            return None;
        }
        self.sender.send(Ok(batch)).ok()
    }
}

impl Feed {
    /// Starts reading. The thread ends when the feed is dropped or after the first error.
    pub(crate) fn start(runtime: &Handle, transport: impl BinlogTransport) -> std::io::Result<Self> {
        let (sender, queue) = sync_channel(QUEUE_BATCHES);
        let room = Arc::new(Room { used: Mutex::new(Some(0)), freed: Condvar::new() });
        let unwanted = CancellationToken::new();
        let wanted = unwanted.clone().drop_guard();
        let mut reader = Reader { sender, room: Arc::clone(&room), batch: Batch::default() };
        let runtime = runtime.clone();
        std::thread::Builder::new().name("binlog".to_owned()).spawn(move || {
            runtime.block_on(unwanted.run_until_cancelled(reader.read(transport)));
        })?;
        Ok(Self {
            queue,
            batch: Vec::new().into_iter(),
            silent_for: Duration::ZERO,
            flowing: false,
            room,
            _wanted: wanted,
        })
    }

    /// The next event; `None` when none came within `timeout`.
    pub(crate) fn next(&mut self, timeout: Duration) -> Result<Option<RawEvent>, TransportError> {
        if let Some(event) = self.batch.next() {
            return Ok(Some(self.arrived(event)));
        }
        let received = match self.queue.try_recv() {
            Err(TryRecvError::Empty) => self.queue.recv_timeout(timeout),
            other => other.map_err(|_| RecvTimeoutError::Disconnected),
        };
        match received {
            Ok(batch) => {
                self.silent_for = Duration::ZERO;
                let batch = batch?;
                self.room.give_back(batch.bytes);
                self.batch = batch.events.into_iter();
                Ok(self.batch.next().map(|event| self.arrived(event)))
            }
            // only waiting counts: while the stream is busy with Kafka nobody looks into the queue
            Err(RecvTimeoutError::Timeout) if timeout.is_zero() => Ok(None),
            Err(RecvTimeoutError::Timeout) => {
                // what was waited for, not what the clock says: a process that was stopped for a while has heard nothing either
                self.silent_for += timeout;
                let limit = if self.flowing { SILENCE } else { SEEKING };
                if self.silent_for < limit {
                    return Ok(None);
                }
                Err(TransportError::Lost(format!("neither event nor heartbeat for {limit:?}")))
            }
            Err(RecvTimeoutError::Disconnected) => {
                Err(TransportError::Lost("the reading thread ended".to_owned()))
            }
        }
    }

    fn arrived(&mut self, event: RawEvent) -> RawEvent {
        if !self.flowing && (!event.header.is_artificial() || event.header.kind() == Kind::Heartbeat) {
            self.flowing = true;
        }
        event
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binlog::event::tests::event_at;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Brings events of 4 MiB and says how many it was asked for.
    struct Large(Arc<AtomicUsize>);

    impl BinlogTransport for Large {
        async fn next(&mut self) -> Result<RawEvent, TransportError> {
            self.0.fetch_add(1, Ordering::SeqCst);
            Ok(event_at(2, 0, &vec![0; 4 << 20]))
        }
    }

    /// Brings so many events, and then nothing any more.
    struct ThenSilent(usize);

    impl BinlogTransport for ThenSilent {
        async fn next(&mut self) -> Result<RawEvent, TransportError> {
            match self.0.checked_sub(1) {
                Some(left) => self.0 = left,
                None => std::future::pending().await,
            }
            Ok(event_at(2, self.0 as u32, b"x"))
        }
    }

    fn ended(feed: Feed) {
        let room = Arc::clone(&feed.room);
        drop(feed);
        // the reader lets go of its share when it ends
        while Arc::strong_count(&room) > 1 {
            std::thread::yield_now();
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_queue_is_bounded_in_bytes_and_a_reader_that_waits_for_room_ends_with_its_feed() {
        let asked = Arc::new(AtomicUsize::new(0));
        let mut feed = Feed::start(&Handle::current(), Large(Arc::clone(&asked))).unwrap();
        for _ in 0..3 {
            assert!(feed.next(Duration::from_secs(60)).unwrap().is_some());
        }
        // three were taken; three more fit (each is a little more than a quarter), and one is in the reader's hands
        assert!(asked.load(Ordering::SeqCst) <= 7);
        ended(feed);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn events_keep_their_order_over_batches_and_a_silent_reader_ends_with_its_feed() {
        let events = 3 * BATCH_EVENTS + 7;
        let mut feed = Feed::start(&Handle::current(), ThenSilent(events)).unwrap();
        for left in (0..events).rev() {
            let event = feed.next(Duration::from_secs(60)).unwrap().unwrap();
            assert_eq!(event.header.end_pos as usize, left);
        }
        assert!(feed.next(Duration::from_millis(1)).unwrap().is_none());
        ended(feed);
    }
}
