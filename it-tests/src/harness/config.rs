//! The `pipelines.toml` of a stack: the shipped file with other ports in it, so that every test also proves the
//! shipped file.

use super::paths::repo_root;
use super::ports::{free_port, loopback};
use super::record::Addresses;
use anyhow::{Context, bail};
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

/// The text of a `pipelines.toml`, edited line by line; comments and order stay.
#[derive(Debug, Clone)]
pub struct PipelinesToml {
    lines: Vec<String>,
}

impl PipelinesToml {
    /// The file in the repository's root.
    pub fn shipped() -> anyhow::Result<Self> {
        let path = repo_root().join("pipelines.toml");
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Self::from_text(&text))
    }

    /// Any text.
    pub fn from_text(text: &str) -> Self {
        Self { lines: text.lines().map(str::to_owned).collect() }
    }

    /// The shipped file with the addresses of a stack and ports for the daemons.
    pub fn for_stack(addresses: &Addresses, ports: &DaemonPorts) -> anyhow::Result<Self> {
        let mut file = Self::shipped()?;
        if let Some(mariadb) = addresses.mariadb {
            for section in ["source.accounting", "store", "wallet_api.database"] {
                file.set(section, "port", &mariadb.port().to_string())?;
            }
        }
        if let Some(kafka) = addresses.kafka {
            file.set_text("kafka", "brokers", &kafka.to_string())?;
        }
        if let Some(redis) = addresses.redis {
            file.set_text("redis", "url", &format!("redis://{redis}/0"))?;
        }
        match addresses.elasticsearch {
            Some(elasticsearch) => file.set_text("index", "url", &format!("http://{elasticsearch}"))?,
            None => file.remove_section("index")?,
        }
        let mut listen =
            |section: &str, key: &str, port: u16| file.set_text(section, key, &loopback(port).to_string());
        listen("databus", "admin_listen", ports.databus_admin)?;
        listen("sync_worker", "admin_listen", ports.sync_worker_admin)?;
        listen("wallet_api", "listen", ports.wallet_api)?;
        listen("wallet_api", "admin_listen", ports.wallet_api_admin)?;
        listen("wallet_api", "rpc_listen", ports.wallet_rpc)?;
        listen("bill_api", "listen", ports.bill_api)?;
        listen("bill_api", "admin_listen", ports.bill_api_admin)?;
        listen("bill_api", "wallet_rpc", ports.wallet_rpc)?;
        Ok(file)
    }

    /// Sets a key of a `[section]` to a TOML value given as text, for example `"5"` or `"\"on\""`. A line that has
    /// the key commented out is replaced; without one, the key is added.
    pub fn set(&mut self, section: &str, key: &str, value: &str) -> anyhow::Result<()> {
        let (header, end) = self.section(section)?;
        let line = format!("{key} = {value}");
        let body = header + 1..end;
        let live = body.clone().find(|at| self.key_at(*at, "") == Some(key));
        let found = live.or_else(|| body.clone().find(|at| self.key_at(*at, "#") == Some(key)));
        match found.and_then(|at| self.lines.get_mut(at)) {
            Some(old) => *old = line,
            None => self.lines.insert(header + 1, line),
        }
        Ok(())
    }

    /// As [`PipelinesToml::set`], for a string.
    pub fn set_text(&mut self, section: &str, key: &str, value: &str) -> anyhow::Result<()> {
        self.set(section, key, &format!("{value:?}"))
    }

    /// Lets a source be read from this server.
    pub fn source_at(&mut self, source: &str, server: SocketAddr) -> anyhow::Result<()> {
        let section = format!("source.{source}");
        self.set_text(&section, "host", &server.ip().to_string())?;
        self.set(&section, "port", &server.port().to_string())
    }

    /// Takes a section out.
    pub fn remove_section(&mut self, section: &str) -> anyhow::Result<()> {
        let (header, end) = self.section(section)?;
        self.lines.drain(header..end);
        Ok(())
    }

    /// Replaces text everywhere, for example the name of a source.
    pub fn replace(&mut self, from: &str, to: &str) {
        for line in &mut self.lines {
            *line = line.replace(from, to);
        }
    }

    /// The whole text.
    pub fn text(&self) -> String {
        self.lines.join("\n") + "\n"
    }

    /// Writes it to a file.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        fs::write(path, self.text()).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Line of the header and of the next section's header.
    fn section(&self, name: &str) -> anyhow::Result<(usize, usize)> {
        let wanted = format!("[{name}]");
        let Some(header) = self.lines.iter().position(|line| line.starts_with(&wanted)) else {
            bail!("pipelines.toml has no section {wanted}");
        };
        let after = self.lines.iter().skip(header + 1).position(|line| line.starts_with('['));
        Ok((header, after.map_or(self.lines.len(), |count| header + 1 + count)))
    }

    /// The key that a line sets, for lines that begin with `mark`.
    fn key_at(&self, at: usize, mark: &str) -> Option<&str> {
        let line = self.lines.get(at)?.strip_prefix(mark)?;
        Some(line.split_once('=')?.0.trim())
    }
}

/// The ports that the daemons of one deployment listen on.
#[derive(Debug, Clone)]
pub struct DaemonPorts {
    /// databus: probes and metrics.
    pub databus_admin: u16,
    /// sync-worker: probes and metrics.
    pub sync_worker_admin: u16,
    /// wallet-api: HTTP.
    pub wallet_api: u16,
    /// wallet-api: probes and metrics.
    pub wallet_api_admin: u16,
    /// wallet-api: Thrift.
    pub wallet_rpc: u16,
    /// bill-api: HTTP.
    pub bill_api: u16,
    /// bill-api: probes and metrics.
    pub bill_api_admin: u16,
}

impl DaemonPorts {
    /// Seven free ones.
    pub fn free() -> anyhow::Result<Self> {
        Ok(Self {
            databus_admin: free_port()?,
            sync_worker_admin: free_port()?,
            wallet_api: free_port()?,
            wallet_api_admin: free_port()?,
            wallet_rpc: free_port()?,
            bill_api: free_port()?,
            bill_api_admin: free_port()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::secrets::Secrets;

    #[test]
    fn a_key_is_replaced_uncommented_or_added_in_its_own_section_alone() {
        let mut file =
            PipelinesToml::from_text("[a]\nport = 1 # old\n\n[b] # b\n# port = 2\n[b.c]\nport = 3");
        file.set("b", "port", "9").unwrap();
        file.set("b.c", "port", "8").unwrap();
        file.set_text("a", "host", "x").unwrap();
        assert_eq!(file.text(), "[a]\nhost = \"x\"\nport = 1 # old\n\n[b] # b\nport = 9\n[b.c]\nport = 8\n");
        assert!(file.set("d", "port", "1").is_err());
    }

    #[test]
    fn every_secret_that_the_shipped_file_asks_for_is_provided() {
        let text = PipelinesToml::shipped().unwrap().text();
        let secrets = Secrets::random().unwrap();
        let given: Vec<&str> = secrets.env().iter().map(|(name, _)| *name).collect();
        let live = text.lines().filter(|line| !line.starts_with('#'));
        let asked: Vec<&str> = live
            .filter_map(|line| line.split_once("{ env = \"")?.1.split_once('"'))
            .map(|(name, _)| name)
            .collect();
        assert!(!asked.is_empty());
        for name in asked {
            assert!(given.contains(&name), "{name} is in pipelines.toml and not in Secrets::env");
        }
    }
}
