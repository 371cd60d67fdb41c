//! Free loopback ports for services and daemons.
//!
//! The ports lie below the kernel's ephemeral range, so that no outgoing connection can sit on one while its
//! service is being restarted. Each process draws from a block of its own, which it holds by a file lock until it ends, so that two
//! test runs at the same time never pick the same port before either has bound it.

use anyhow::Context;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

const FIRST: u32 = 15_000;
const BLOCK: u32 = 500;
const BLOCKS: u32 = 34;

static DRAWN: AtomicU32 = AtomicU32::new(0);
/// This process's block; the lock ends with the process.
static HELD: Mutex<Option<(u32, File)>> = Mutex::new(None);

/// A loopback port that nothing listens on and that this process has not handed out lately.
pub fn free_port() -> anyhow::Result<u16> {
    let start = FIRST + block()? * BLOCK;
    for _ in 0..BLOCK {
        let drawn = DRAWN.fetch_add(1, Ordering::Relaxed);
        let port = u16::try_from(start + drawn % BLOCK)?;
        if is_free(port) {
            return Ok(port);
        }
    }
    anyhow::bail!("no free loopback port between {start} and {}; stop what listens there", start + BLOCK)
}

/// The number of the block that this process holds; takes one the first time.
fn block() -> anyhow::Result<u32> {
    let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((number, _)) = &*held {
        return Ok(*number);
    }
    for number in 0..BLOCKS {
        let path = std::env::temp_dir().join(format!("databus-wallet-ports-{number}.lock"));
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        if file.try_lock().is_ok() {
            *held = Some((number, file));
            return Ok(number);
        }
    }
    anyhow::bail!("{BLOCKS} processes hold all blocks of ports; end some of them")
}

/// Whether a service could listen on this loopback port now.
pub fn is_free(port: u16) -> bool {
    TcpListener::bind(loopback(port)).is_ok()
}

/// `127.0.0.1:port`.
pub fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_port_is_handed_out_twice() {
        let mut ports: Vec<u16> = (0..100).map(|_| free_port().unwrap()).collect();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 100);
    }

    #[test]
    fn a_port_with_a_listener_is_not_free() {
        let listener = TcpListener::bind(loopback(0)).unwrap();
        assert!(!is_free(listener.local_addr().unwrap().port()));
    }
}
