//! A merchant app's own signing, written from the contract and not with our code, so that a change of ours shows.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// An app's credentials.
#[derive(Clone)]
pub(super) struct App {
    pub(super) app_id: String,
    pub(super) key_id: String,
    pub(super) secret: Vec<u8>,
}

/// One request's `Authorization`, to be spoiled by tests.
#[derive(Clone)]
pub(super) struct Authorization {
    pub(super) timestamp: String,
    pub(super) nonce: String,
}

impl Authorization {
    /// Stamped now, with a nonce that no other request has.
    pub(super) fn fresh() -> Authorization {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        Authorization {
            timestamp: now.as_secs().to_string(),
            nonce: format!("n-{}-{}-{count}", std::process::id(), now.as_nanos()),
        }
    }

    /// The header's value for a request without a body.
    pub(super) fn header(&self, app: &App, method: &str, target: &str) -> String {
        let Authorization { timestamp, nonce } = self;
        let mut mac = Hmac::<Sha256>::new_from_slice(&app.secret).expect("any key length");
        mac.update(format!("{method}\n{target}\n{timestamp}\n{nonce}\n\n").as_bytes());
        let signature = STANDARD.encode(mac.finalize().into_bytes());
        let App { app_id, key_id, .. } = app;
        format!(
            "DATABUS-HMAC-SHA256 app_id=\"{app_id}\",key_id=\"{key_id}\",timestamp=\"{timestamp}\",nonce=\"{nonce}\",signature=\"{signature}\""
        )
    }
}
