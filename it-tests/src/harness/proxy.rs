//! A TCP proxy with faults: a stable loopback port in front of a part, which can refuse, freeze, slow down or lose
//! the answers of what runs behind it.
//!
//! Kafka clients connect to the address that the broker advertises and so pass a proxy by; freeze or kill the
//! broker itself in its place.

use super::ports::{free_port, loopback};
use anyhow::Context;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How soon a change of the fault is seen.
const TICK: Duration = Duration::from_millis(20);

/// What the proxy does to traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: passes everything on.
    None,
    /// Closes every connection at once, present ones too.
    Refuse,
    /// Accepts, and passes nothing on in either direction until the fault changes; nothing is lost.
    Freeze,
    /// Passes requests on and throws the answers away: the peer has done the work and the caller cannot know. A
    /// connection that lost something is closed when the fault changes.
    LoseAnswers,
    /// Holds back each piece of an answer for this long.
    Slow(Duration),
    /// Flips a bit of the first answer that holds these bytes, in their first one; then passes everything on.
    FlipOnce(&'static [u8]),
    /// Passes the first answer that holds these bytes on up to the middle of them and closes its connection; then passes everything on.
    CutOnce(&'static [u8]),
}

/// A running proxy; ends, with its connections, on drop.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    target: SocketAddr,
    fault: Mutex<Fault>,
    /// Connections of an older generation close themselves.
    generation: AtomicU64,
    ended: AtomicBool,
}

impl Proxy {
    /// Listens on a free port in front of `target`.
    pub fn start(target: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(loopback(free_port()?)).context("cannot listen for the proxy")?;
        let address = listener.local_addr()?;
        let state = Arc::new(State {
            target,
            fault: Mutex::new(Fault::None),
            generation: AtomicU64::new(0),
            ended: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                if accepting.ended.load(Ordering::SeqCst) {
                    return;
                }
                if let Ok(client) = client {
                    accepting.carry(client);
                }
            }
        });
        Ok(Self { address, state })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes what happens to traffic from now on.
    pub fn set(&self, fault: Fault) {
        *self.state.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
        if fault == Fault::Refuse {
            self.cut();
        }
    }

    /// Closes all present connections; new ones are taken.
    pub fn cut(&self) {
        self.state.generation.fetch_add(1, Ordering::SeqCst);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::SeqCst);
        self.cut();
        // wakes the accepting thread, which then sees that it is over
        drop(TcpStream::connect(self.address));
    }
}

impl State {
    fn fault(&self) -> Fault {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends a fault that is to happen once; true for the one who ended it.
    fn is_over(&self, fault: Fault) -> bool {
        let mut present = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = *present == fault;
        if ended {
            *present = Fault::None;
        }
        ended
    }

    /// Carries one connection on two threads, one for each direction.
    fn carry(self: &Arc<Self>, client: TcpStream) {
        if self.fault() == Fault::Refuse {
            return;
        }
        let generation = self.generation.load(Ordering::SeqCst);
        let state = Arc::clone(self);
        std::thread::spawn(move || {
            let Ok(server) = TcpStream::connect(state.target) else { return };
            let (Ok(client_too), Ok(server_too)) = (client.try_clone(), server.try_clone()) else { return };
            let answers = Arc::clone(&state);
            std::thread::spawn(move || answers.pump(server_too, client_too, generation, true));
            state.pump(client, server, generation, false);
        });
    }

    fn pump(&self, mut from: TcpStream, mut to: TcpStream, generation: u64, answers: bool) {
        // an error here or below has one meaning, the connection is over, and one consequence
        let _over = from.set_read_timeout(Some(TICK));
        let mut piece = vec![0; 64 * 1024];
        let mut lost = false;
        while self.generation.load(Ordering::SeqCst) == generation {
            let fault = self.fault();
            if fault == Fault::Freeze {
                // on purpose: the fault is that nothing passes until it changes
                std::thread::sleep(TICK);
                continue;
            }
            if lost && fault != Fault::LoseAnswers {
                break;
            }
            let length = match from.read(&mut piece) {
                Ok(0) => break,
                Ok(length) => length,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => continue,
                Err(_) => break,
            };
            let mut last = false;
            let present = self.fault();
            let length = match present {
                Fault::LoseAnswers if answers => {
                    lost = true;
                    continue;
                }
                Fault::Slow(pause) if answers => {
                    // on purpose: the fault is this delay
                    std::thread::sleep(pause);
                    length
                }
                Fault::FlipOnce(bytes) if answers => {
                    if let Some(at) = place_of(bytes, &piece[..length])
                        && self.is_over(present)
                    {
                        piece[at] ^= 1;
                    }
                    length
                }
                Fault::CutOnce(bytes) if answers => match place_of(bytes, &piece[..length]) {
                    Some(at) if self.is_over(present) => {
                        last = true;
                        at + bytes.len() / 2
                    }
                    _ => length,
                },
                _ => length,
            };
            // what was read before a freeze began waits for its end
            while self.fault() == Fault::Freeze && self.generation.load(Ordering::SeqCst) == generation {
                std::thread::sleep(TICK);
            }
            if self.generation.load(Ordering::SeqCst) != generation
                || to.write_all(piece.get(..length).unwrap_or_default()).is_err()
                || last
            {
                break;
            }
        }
        let _closed = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    }
}

fn place_of(bytes: &[u8], piece: &[u8]) -> Option<usize> {
    piece.windows(bytes.len().max(1)).position(|window| window == bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers each byte with itself plus one, and counts what it was asked.
    fn adder() -> (SocketAddr, Arc<AtomicU64>) {
        let listener = TcpListener::bind(loopback(0)).unwrap();
        let (address, asked) = (listener.local_addr().unwrap(), Arc::new(AtomicU64::new(0)));
        let count = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let count = Arc::clone(&count);
                std::thread::spawn(move || {
                    let (mut stream, mut byte) = (stream, [0]);
                    while stream.read_exact(&mut byte).is_ok() {
                        count.fetch_add(1, Ordering::SeqCst);
                        stream.write_all(&[byte[0] + 1]).unwrap();
                    }
                });
            }
        });
        (address, asked)
    }

    fn ask(stream: &mut TcpStream, deadline: Duration) -> std::io::Result<u8> {
        let mut byte = [0];
        stream.set_read_timeout(Some(deadline))?;
        stream.write_all(&[7])?;
        stream.read_exact(&mut byte)?;
        Ok(byte[0])
    }

    const SHORT: Duration = Duration::from_millis(200);
    const LONG: Duration = Duration::from_secs(10);

    #[test]
    fn a_frozen_connection_goes_on_where_it_stopped() {
        let (target, _) = adder();
        let proxy = Proxy::start(target).unwrap();
        let mut stream = TcpStream::connect(proxy.address()).unwrap();
        assert_eq!(ask(&mut stream, LONG).unwrap(), 8);
        proxy.set(Fault::Freeze);
        assert!(ask(&mut stream, SHORT).is_err());
        proxy.set(Fault::None);
        let mut byte = [0];
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream.read_exact(&mut byte).unwrap();
        assert_eq!(byte, [8]);
    }

    #[test]
    fn a_bit_is_flipped_once_and_an_answer_cut_once() {
        let (target, _) = adder();
        let proxy = Proxy::start(target).unwrap();
        let mut stream = TcpStream::connect(proxy.address()).unwrap();
        proxy.set(Fault::FlipOnce(&[8]));
        assert_eq!(ask(&mut stream, LONG).unwrap(), 9);
        assert_eq!(ask(&mut stream, LONG).unwrap(), 8);
        proxy.set(Fault::CutOnce(&[8]));
        assert!(ask(&mut stream, LONG).is_err());
        let mut stream = TcpStream::connect(proxy.address()).unwrap();
        assert_eq!(ask(&mut stream, LONG).unwrap(), 8);
    }

    #[test]
    fn a_refused_client_is_let_in_again_when_the_fault_is_over() {
        let (target, _) = adder();
        let proxy = Proxy::start(target).unwrap();
        let mut before = TcpStream::connect(proxy.address()).unwrap();
        assert_eq!(ask(&mut before, LONG).unwrap(), 8);
        proxy.set(Fault::Refuse);
        let mut byte = [0];
        before.set_read_timeout(Some(LONG)).unwrap();
        assert_eq!(before.read(&mut byte).unwrap_or(0), 0, "a present connection is closed");
        let refused = TcpStream::connect(proxy.address()).and_then(|mut stream| ask(&mut stream, LONG));
        assert!(refused.is_err());
        proxy.set(Fault::None);
        assert_eq!(ask(&mut TcpStream::connect(proxy.address()).unwrap(), LONG).unwrap(), 8);
    }

    #[test]
    fn a_lost_answer_belongs_to_a_request_that_was_served() {
        let (target, asked) = adder();
        let proxy = Proxy::start(target).unwrap();
        proxy.set(Fault::LoseAnswers);
        let mut stream = TcpStream::connect(proxy.address()).unwrap();
        assert!(ask(&mut stream, SHORT).is_err());
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        proxy.set(Fault::None);
        let mut byte = [0];
        stream.set_read_timeout(Some(LONG)).unwrap();
        assert_eq!(stream.read(&mut byte).unwrap_or(0), 0, "the connection is closed, not out of step");
    }
}
