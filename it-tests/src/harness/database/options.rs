//! How a database server is to be started.

use super::tls::TlsFiles;
use crate::harness::Stack;
use crate::harness::launch::Lifetime;
use crate::harness::secrets::Secrets;
use std::path::PathBuf;

/// Where and how to start a server.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    pub(super) dir: PathBuf,
    pub(super) port: Option<u16>,
    pub(super) secrets: Option<Secrets>,
    pub(super) lifetime: Lifetime,
    pub(super) server_id: u32,
    pub(super) args: Vec<String>,
}

impl ServerOptions {
    /// A server with its files in `dir`, on a free port, with passwords of its own, ended on drop. Data that an
    /// earlier server left there is used again.
    pub fn in_dir(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            port: None,
            secrets: None,
            lifetime: Lifetime::WithParent,
            server_id: 1,
            args: Vec::new(),
        }
    }

    /// One more server in the folder `name` of a stack, with the stack's passwords, so that a deployment of that
    /// stack may log in.
    pub fn beside(stack: &Stack, name: &str) -> Self {
        Self::in_dir(stack.dir().join(name)).secrets(stack.secrets())
    }

    /// Listens on this port.
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// The passwords of its users.
    pub fn secrets(mut self, secrets: &Secrets) -> Self {
        self.secrets = Some(secrets.clone());
        self
    }

    /// Whether it stays when this process ends.
    pub fn lifetime(mut self, lifetime: Lifetime) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// Its `server_id`, 1 if not set; unique among servers that replicate from one another.
    pub fn server_id(mut self, server_id: u32) -> Self {
        self.server_id = server_id;
        self
    }

    /// One more argument for the server's command line, after those that the harness gives: it overrides them.
    pub fn arg(mut self, arg: &str) -> Self {
        self.args.push(arg.to_owned());
        self
    }

    /// Speaks TLS with these certificates, to clients that ask for it.
    pub fn tls(mut self, files: &TlsFiles) -> Self {
        self.args.extend(files.args());
        self
    }

    /// As [`ServerOptions::arg`], several.
    pub fn args(mut self, args: &[String]) -> Self {
        self.args.extend_from_slice(args);
        self
    }
}
