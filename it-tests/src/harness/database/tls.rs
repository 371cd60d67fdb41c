//! Certificates for a server: where the files lie, and what makes the server use them.

use super::server::DatabaseServer;
use std::path::PathBuf;

/// Files of a server that speaks TLS, all PEM. [`TestCa`](crate::tls::TestCa) makes them.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The certificate of the authority that clients are to trust, and that signs clients' own certificates.
    pub ca: PathBuf,
    /// The certificate.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl TlsFiles {
    /// Arguments for the server's command line.
    pub(super) fn args(&self) -> [String; 3] {
        let Self { ca, certificate, key } = self;
        [("ca", ca), ("cert", certificate), ("key", key)]
            .map(|(name, path)| format!("--ssl-{name}={}", path.display()))
    }
}

impl DatabaseServer {
    /// Lets one of the harness's users in over TLS alone.
    pub fn require_tls(&self, user: &str) -> anyhow::Result<()> {
        self.sql(&format!("ALTER USER {user}@'127.0.0.1' REQUIRE SSL")).map(drop)
    }

    /// Lets one of the harness's users in with a certificate of the server's authority alone.
    pub fn require_certificate(&self, user: &str) -> anyhow::Result<()> {
        self.sql(&format!("ALTER USER {user}@'127.0.0.1' REQUIRE X509")).map(drop)
    }
}
