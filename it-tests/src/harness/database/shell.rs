//! SQL as root through the server's socket.

use super::flavour::Flavour;
use anyhow::bail;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The socket's name, relative to the data folder, where server and client both run: a full path may be longer than a
/// socket's may be.
pub(super) const SOCKET: &str = "server.sock";

/// The server's own client as root over the socket.
#[derive(Debug, Clone)]
pub(super) struct RootShell {
    client: PathBuf,
    tls: &'static str,
    data: PathBuf,
}

impl RootShell {
    pub(super) fn new(flavour: Flavour, data: &Path) -> anyhow::Result<Self> {
        // MariaDB's newer client would else ask for a certificate that it can verify, over the socket, too
        let tls = if flavour.is_mysql() { "--ssl-mode=DISABLED" } else { "--skip-ssl" };
        Ok(Self { client: flavour.client_program()?, tls, data: data.to_path_buf() })
    }

    /// The rows, tab-separated, without a header.
    pub(super) fn run(&self, statements: &str) -> anyhow::Result<String> {
        let output = Command::new(&self.client)
            .args(["--no-defaults", "--user=root", "--socket", SOCKET, "--batch", "--skip-column-names"])
            .args([self.tls, "--default-character-set=utf8mb4", "--execute", statements])
            .current_dir(&self.data)
            .stdin(Stdio::null())
            .output()?;
        if !output.status.success() {
            bail!("database client: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8(output.stdout)?)
    }
}
