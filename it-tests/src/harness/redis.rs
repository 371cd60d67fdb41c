//! A private Redis that loses nothing it has answered: an append-only file, synced at every write, no eviction.

use super::child::ChildProcess;
use super::launch::{Launch, Lifetime};
use super::paths::required_program;
use super::poll::Not;
use super::ports::loopback;
use super::service::Service;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

/// A running Redis.
#[derive(Debug)]
pub struct Redis {
    process: ChildProcess,
    port: u16,
}

impl Redis {
    /// Starts it in `dir`.
    pub fn start(dir: &Path, port: u16, lifetime: Lifetime) -> anyhow::Result<Self> {
        let launch = Launch::new("redis", required_program("redis-server")?, dir)
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--dir"])
            .arg(dir)
            .args(["--appendonly", "yes", "--appendfsync", "always", "--save", ""])
            .args(["--maxmemory-policy", "noeviction", "--daemonize", "no"])
            .lifetime(lifetime);
        let mut this = Self { process: ChildProcess::start(launch)?, port };
        this.wait_ready()?;
        Ok(this)
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        loopback(self.port)
    }

    /// `redis://127.0.0.1:port/database`; each of the databases 0 to 15 is empty at first.
    pub fn url(&self, database: u8) -> String {
        format!("redis://{}/{database}", self.address())
    }
}

impl Service for Redis {
    fn process(&self) -> &ChildProcess {
        &self.process
    }

    fn process_mut(&mut self) -> &mut ChildProcess {
        &mut self.process
    }

    fn probe(&self) -> Box<dyn Fn() -> Result<(), Not> + Send> {
        let address = self.address();
        Box::new(move || ping(address).map_err(Not::yet))
    }
}

/// PING; "-LOADING" while it reads its file back is not an answer yet.
pub fn ping(address: SocketAddr) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    stream.write_all(b"PING\r\n")?;
    let mut answer = [0; 7];
    stream.read_exact(&mut answer)?;
    anyhow::ensure!(&answer == b"+PONG\r\n", "redis answered {}", String::from_utf8_lossy(&answer));
    Ok(())
}
