//! Free loopback ports for services and daemons.
//!
//! The ports lie below the kernel's ephemeral range, so that no outgoing connection can sit on one while its
//! service is being restarted. Each process draws from its own block, so that two test runs that start at
//! the same moment do not pick the same port before either has bound it.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

const FIRST: u32 = 15_000;
const LAST: u32 = 32_000;
const BLOCK: u32 = 1024;

static DRAWN: AtomicU32 = AtomicU32::new(0);

/// A loopback port that nothing listens on and that this process has not handed out before.
pub fn free_port() -> anyhow::Result<u16> {
    let span = LAST - FIRST;
    let block_start = (std::process::id() % (span / BLOCK)) * BLOCK;
    for _ in 0..span {
        let drawn = DRAWN.fetch_add(1, Ordering::Relaxed);
        let port = u16::try_from(FIRST + (block_start + drawn) % span)?;
        if is_free(port) {
            return Ok(port);
        }
    }
    anyhow::bail!("no free loopback port between {FIRST} and {LAST}; stop what listens there")
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
