//! Throw-away passwords, tokens and keys of one stack: random, and handed to the daemons in their environment.

use anyhow::Context;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io::Read;

/// The secrets of one stack. `Debug` shows none of them.
#[derive(Clone, Serialize, Deserialize)]
pub struct Secrets {
    /// Database user `databus`: reads the binlog and `accounting`.
    pub databus: String,
    /// Database user `wallet`: owns `accounting` and `wallet`.
    pub wallet: String,
    /// Database user `bills`: owns `bills`.
    pub bills: String,
    /// Database user `admin`: may do everything; for tests alone, no daemon gets it.
    pub admin: String,
    /// Bearer token of wallet-api's admin routes.
    pub wallet_admin_token: String,
    /// Token of the Thrift port.
    pub wallet_rpc_token: String,
    /// 32 bytes in base64.
    pub wallet_master_key: String,
    /// 32 bytes in base64.
    pub bill_cursor_key: String,
}

impl Secrets {
    /// Fresh ones.
    pub fn random() -> anyhow::Result<Self> {
        Ok(Self {
            databus: token()?,
            wallet: token()?,
            bills: token()?,
            admin: token()?,
            wallet_admin_token: token()?,
            wallet_rpc_token: token()?,
            wallet_master_key: key()?,
            bill_cursor_key: key()?,
        })
    }

    /// The environment variables that `pipelines.toml` names, with their values.
    pub fn env(&self) -> Vec<(&'static str, &str)> {
        vec![
            ("DATABUS_SOURCE_PASSWORD", &self.databus),
            ("BILLS_PASSWORD", &self.bills),
            ("WALLET_DB_PASSWORD", &self.wallet),
            ("WALLET_ADMIN_TOKEN", &self.wallet_admin_token),
            ("WALLET_RPC_TOKEN", &self.wallet_rpc_token),
            ("WALLET_MASTER_KEY", &self.wallet_master_key),
            ("BILL_CURSOR_KEY", &self.bill_cursor_key),
        ]
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets(..)")
    }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn random_letters(count: usize, alphabet: &[u8]) -> anyhow::Result<String> {
    let mut bytes = vec![0; count];
    let mut urandom = std::fs::File::open("/dev/urandom").context("cannot open /dev/urandom")?;
    urandom.read_exact(&mut bytes).context("cannot read /dev/urandom")?;
    let letters = bytes.iter().filter_map(|byte| alphabet.get(usize::from(*byte) % alphabet.len()));
    Ok(letters.map(|letter| char::from(*letter)).collect())
}

fn token() -> anyhow::Result<String> {
    random_letters(32, ALPHABET.get(..62).unwrap_or(ALPHABET))
}

/// Base64 of 32 bytes: 42 free letters, one whose two low bits are zero, and the padding.
fn key() -> anyhow::Result<String> {
    Ok(random_letters(42, ALPHABET)? + "A=")
}
