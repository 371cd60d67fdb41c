//! Throw-away certificates: an authority of a test's own, and what it signs.

use crate::harness::TlsFiles;
use anyhow::Context;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use std::fs;
use std::path::{Path, PathBuf};
use time::{Duration, OffsetDateTime};

/// The names under which tests reach servers on this machine.
pub const LOOPBACK: [&str; 2] = ["127.0.0.1", "localhost"];

/// A certificate authority with its files in one folder. Two of them never trust each other.
#[derive(Debug)]
pub struct TestCa {
    dir: PathBuf,
    file: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl TestCa {
    /// A new one, with `<name>.pem` in `dir`.
    pub fn new(dir: &Path, name: &str) -> anyhow::Result<Self> {
        let mut params = CertificateParams::new(Vec::<String>::new())?;
        params.distinguished_name.push(DnType::CommonName, format!("{name} test authority"));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let file = write(dir, &format!("{name}.pem"), &certificate.pem())?;
        Ok(Self { dir: dir.to_path_buf(), file, issuer: Issuer::new(params, key) })
    }

    /// The authority's own certificate, for clients that are to trust it.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// A certificate for a server under these names and addresses; good for a client, too.
    pub fn sign(&self, name: &str, hosts: &[&str]) -> anyhow::Result<TlsFiles> {
        self.sign_until(name, hosts, OffsetDateTime::now_utc() + Duration::days(2))
    }

    /// As [`TestCa::sign`], for one that was good until yesterday.
    pub fn sign_expired(&self, name: &str, hosts: &[&str]) -> anyhow::Result<TlsFiles> {
        self.sign_until(name, hosts, OffsetDateTime::now_utc() - Duration::days(1))
    }

    fn sign_until(&self, name: &str, hosts: &[&str], end: OffsetDateTime) -> anyhow::Result<TlsFiles> {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut params = CertificateParams::new(hosts)?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_before = OffsetDateTime::now_utc() - Duration::days(3);
        params.not_after = end;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(TlsFiles {
            ca: self.file.clone(),
            certificate: write(&self.dir, &format!("{name}-cert.pem"), &certificate.pem())?,
            key: write(&self.dir, &format!("{name}-key.pem"), &key.serialize_pem())?,
        })
    }
}

fn write(dir: &Path, name: &str, text: &str) -> anyhow::Result<PathBuf> {
    let path = dir.join(name);
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}
