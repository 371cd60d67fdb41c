//! A merchant's app. It signs from the documented contract and not with the services' code, so that a change of ours shows.

use anyhow::bail;
use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;
use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// An app's credentials, and whom it acts for. `Debug` leaves the secret out.
#[derive(Clone)]
pub struct App {
    /// Its merchant.
    pub merchant_id: String,
    /// The merchant's name.
    pub name: String,
    /// The merchant's available account.
    pub account_id: u64,
    /// The app.
    pub app_id: String,
    /// Its key.
    pub key_id: String,
    /// The key's secret bytes.
    pub secret: Vec<u8>,
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App")
            .field("app_id", &self.app_id)
            .field("account_id", &self.account_id)
            .finish_non_exhaustive()
    }
}

/// What is signed beside the request. Tests spoil it.
#[derive(Debug, Clone)]
pub struct Stamp {
    /// Unix seconds.
    pub timestamp: String,
    /// Good once.
    pub nonce: String,
}

impl Stamp {
    /// Now, with a nonce that no other request has.
    pub fn fresh() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { timestamp: now.as_secs().to_string(), nonce: uuid::Uuid::now_v7().simple().to_string() }
    }
}

/// How often a request is tried again while the service says that it may be.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(250);

impl App {
    /// The `Authorization` header of a request that is sent now.
    pub fn authorization(&self, method: &str, target: &str, body: &str) -> String {
        self.sign(&Stamp::fresh(), method, target, body)
    }

    /// The `Authorization` header of a request with that stamp.
    pub fn sign(&self, stamp: &Stamp, method: &str, target: &str, body: &str) -> String {
        let Stamp { timestamp, nonce } = stamp;
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.secret).expect("HMAC takes a key of any length");
        mac.update(format!("{method}\n{target}\n{timestamp}\n{nonce}\n{body}\n").as_bytes());
        let signature = STANDARD.encode(mac.finalize().into_bytes());
        let Self { app_id, key_id, .. } = self;
        format!(
            "DATABUS-HMAC-SHA256 app_id=\"{app_id}\",key_id=\"{key_id}\",timestamp=\"{timestamp}\",nonce=\"{nonce}\",signature=\"{signature}\""
        )
    }

    /// A signed GET; any answer but 200 is an error with the service's own words.
    pub async fn get(&self, http: &reqwest::Client, base: &str, target: &str) -> anyhow::Result<Value> {
        let request = http
            .get(format!("{base}{target}"))
            .header("authorization", self.authorization("GET", target, ""));
        let response = request.send().await?;
        let (status, text) = (response.status().as_u16(), response.text().await?);
        if status != 200 {
            bail!("GET {target} answered {status}: {text}");
        }
        Ok(serde_json::from_str(&text)?)
    }

    /// A signed POST of money. Answers that may be retried, and broken connections, are retried under the same key.
    pub async fn post(
        &self,
        http: &reqwest::Client,
        base: &str,
        target: &str,
        key: &str,
        body: &Value,
    ) -> anyhow::Result<Value> {
        let body = body.to_string();
        let mut last = String::new();
        for _ in 0..TRIES {
            let request = http
                .post(format!("{base}{target}"))
                .header("authorization", self.authorization("POST", target, &body))
                .header("content-type", "application/json")
                .header("idempotency-key", key)
                .body(body.clone());
            let answered = match request.send().await {
                Ok(response) => {
                    let status = response.status().as_u16();
                    response.text().await.map(|text| (status, text))
                }
                Err(error) => Err(error),
            };
            match answered {
                Ok((201, text)) => return Ok(serde_json::from_str(&text)?),
                Ok((status, text)) => {
                    let problem: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
                    last = format!("{status}: {text}");
                    if problem["retryable"] != true {
                        break;
                    }
                }
                Err(error) => last = error.to_string(),
            }
            // on purpose: a merchant's app waits before it sends the same request once more
            tokio::time::sleep(PAUSE).await;
        }
        bail!("POST {target} answered {last}")
    }
}
