//! A merchant's app: its own signing, written from the contract and not with our code, so that a change of ours shows.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// An app's credentials, and whom it acts for.
#[derive(Clone)]
pub(super) struct App {
    pub(super) merchant_id: String,
    pub(super) account_id: String,
    pub(super) app_id: String,
    pub(super) key_id: String,
    pub(super) secret: Vec<u8>,
}

/// What is signed beside the request; tests spoil it.
#[derive(Clone)]
pub(super) struct Stamp {
    pub(super) timestamp: String,
    pub(super) nonce: String,
}

impl Stamp {
    /// Now, with a nonce that no other request has.
    pub(super) fn fresh() -> Stamp {
        Stamp { timestamp: now().to_string(), nonce: unique_text("n") }
    }
}

impl App {
    /// The `Authorization` header of a request.
    pub(super) fn authorization(&self, stamp: &Stamp, method: &str, target: &str, body: &str) -> String {
        let Stamp { timestamp, nonce } = stamp;
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.secret).unwrap();
        mac.update(format!("{method}\n{target}\n{timestamp}\n{nonce}\n{body}\n").as_bytes());
        let signature = STANDARD.encode(mac.finalize().into_bytes());
        let App { app_id, key_id, .. } = self;
        format!(
            "DATABUS-HMAC-SHA256 app_id=\"{app_id}\",key_id=\"{key_id}\",timestamp=\"{timestamp}\",nonce=\"{nonce}\",signature=\"{signature}\""
        )
    }
}

/// Unix seconds.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A nonce or an idempotency key that nothing else has.
pub(super) fn unique_text(prefix: &str) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    format!("{prefix}-{}-{nanos}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}
