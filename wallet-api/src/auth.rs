//! Who calls: an app by its signature, or staff by the admin token. Whatever is wrong is a 401 with its own code.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::{HeaderMap, StatusCode, header};
use moka::sync::Cache;
use secrecy::{ExposeSecret, SecretString};
use service_kit::{
    Problem, RawRequest,
    flow::{Authenticate, FlowControl, FlowKey},
    nonce::Nonces,
    signature::{self, Authorization, SignatureError, Signed},
};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::{
    merchants::{AppKey, Directory, Merchant, Scope},
    problems::directory_problem,
};

/// An app that proved its key, and the merchant it acts for.
#[derive(Debug, Clone)]
pub(crate) struct App {
    pub(crate) key: Arc<AppKey>,
    pub(crate) merchant: Arc<Merchant>,
}

impl App {
    /// 403 unless the app was given that scope.
    pub(crate) fn require(&self, scope: Scope) -> Result<(), Problem> {
        if self.key.scopes.allow(scope) {
            return Ok(());
        }
        let detail = format!("this app was not given the scope {}", scope.as_str());
        Err(Problem::new(StatusCode::FORBIDDEN, "scope_missing", detail))
    }
}

impl FlowKey for App {
    fn flow_key(&self) -> &str {
        &self.key.app_id
    }
}

/// How long a key stays proven after its last good signature.
const PROVEN_LIFE: Duration = Duration::from_secs(600);
const MOST_PROVEN: u64 = 100_000;

/// Checks signed requests: header, clock, key, signature, nonce, merchant; in that order, cheapest first.
pub(crate) struct SignedRequests {
    directory: Directory,
    nonces: Nonces,
    flow: Arc<FlowControl>,
    /// Keys that signed right lately: they are looked up whatever strangers behind the same address do.
    proven: Cache<String, ()>,
}

impl SignedRequests {
    pub(crate) fn new(directory: Directory, nonces: Nonces, flow: Arc<FlowControl>) -> Self {
        let proven = Cache::builder().max_capacity(MOST_PROVEN).time_to_idle(PROVEN_LIFE).build();
        Self { directory, nonces, flow, proven }
    }
}

impl Authenticate for SignedRequests {
    type Caller = App;

    async fn authenticate(&self, request: &RawRequest) -> Result<App, Problem> {
        let claimed = Authorization::of(&request.headers)?;
        signature::check_timestamp(claimed.timestamp, SystemTime::now())?;
        if self.proven.get(&claimed.key_id).is_none() {
            self.flow.check_stranger(request.peer)?;
        }
        let key = self.directory.key(&claimed.key_id).await.map_err(directory_problem)?;
        let key = key
            .filter(|key| key.app_id == claimed.app_id && !key.revoked)
            .ok_or(SignatureError::KeyRefused)?;
        let signed = Signed {
            method: request.method.as_str(),
            target: &request.target(),
            timestamp: &claimed.timestamp_text(),
            nonce: &claimed.nonce,
            body: &request.body,
        };
        signature::verify(key.secret.expose_secret(), &signed, &claimed.signature)?;
        self.proven.insert(claimed.key_id, ());
        self.nonces.use_once(&claimed.app_id, &claimed.nonce).await?;
        let merchant = self.directory.merchant(key.merchant_id).await.map_err(directory_problem)?;
        let merchant = merchant.ok_or(SignatureError::KeyRefused)?;
        if !merchant.is_active() {
            let detail = "this merchant may not act now: ask the platform's staff";
            return Err(Problem::new(StatusCode::FORBIDDEN, "merchant_not_active", detail));
        }
        Ok(App { key, merchant })
    }
}

/// The platform's staff, all under one token.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Staff;

impl FlowKey for Staff {
    fn flow_key(&self) -> &str {
        "staff"
    }
}

/// Checks `Authorization: Bearer <admin token>` in constant time.
pub(crate) struct StaffToken {
    digest: [u8; 32],
}

impl StaffToken {
    pub(crate) fn new(token: &SecretString) -> Self {
        // digests have one length, so the comparison tells nothing about the token's
        Self { digest: Sha256::digest(token.expose_secret().as_bytes()).into() }
    }

    fn check(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let refuse = |code, detail| Problem::unauthorized(code, detail, "Bearer");
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let shown = match (values.next(), values.next()) {
            (Some(value), None) => value.as_bytes(),
            (None, _) => {
                return Err(refuse("admin_token_missing", "send Authorization: Bearer <admin token>"));
            }
            (Some(_), Some(_)) => {
                return Err(refuse("admin_token_malformed", "send one Authorization header, not several"));
            }
        };
        let token = match shown.split_first_chunk::<7>() {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case(b"bearer ") => token,
            _ => return Err(refuse("admin_token_malformed", "send Authorization: Bearer <admin token>")),
        };
        let right: bool = Sha256::digest(token).as_slice().ct_eq(&self.digest).into();
        if right { Ok(()) } else { Err(refuse("admin_token_wrong", "the admin token is wrong")) }
    }
}

impl Authenticate for StaffToken {
    type Caller = Staff;

    async fn authenticate(&self, request: &RawRequest) -> Result<Staff, Problem> {
        self.check(&request.headers).map(|()| Staff)
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use service_kit::{flow::Rate, nonce::OnOutage, redis_link};
    use sqlx::mysql::MySqlConnectOptions;

    use super::*;
    use crate::{merchants::SealedSecrets, store};

    #[tokio::test]
    async fn a_stranger_who_has_run_dry_costs_no_look_up() {
        let rate = Rate { per_second: 1, burst: 1 };
        let flow = FlowControl::new(rate, rate);
        // nobody listens on port 1: whoever asks the database gets its error and not the 429
        let pool = store::pool(MySqlConnectOptions::new().host("127.0.0.1").port(1), 2);
        let sealed = SealedSecrets::new(&SecretString::from(STANDARD.encode([7; 32]))).unwrap();
        let redis = redis_link::connect("redis://127.0.0.1:1", None).unwrap();
        let apps = SignedRequests::new(
            Directory::new(pool, sealed),
            Nonces::new(redis, OnOutage::Refuse),
            flow.clone(),
        );
        let now = SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let claimed = Authorization {
            app_id: "app".to_owned(),
            key_id: "key".to_owned(),
            timestamp: now.cast_signed(),
            nonce: "n-1234567".to_owned(),
            signature: [0; signature::SIGNATURE_BYTES],
        };
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, claimed.format().parse().unwrap());
        let request = RawRequest {
            method: http::Method::GET,
            path: "/v1/accounts".to_owned(),
            query: None,
            headers,
            body: bytes::Bytes::new(),
            peer: Some("192.0.2.7".parse().unwrap()),
        };
        // dry for a tenth of a second: a machine that sleeps longer in between gets another chance
        let mut code = "";
        for _ in 0..5 {
            while flow.charge_stranger(request.peer).is_ok() {}
            code = apps.authenticate(&request).await.unwrap_err().code();
            if code == "rate_limited" {
                break;
            }
        }
        assert_eq!(code, "rate_limited");
    }

    #[test]
    fn only_the_admin_token_itself_lets_staff_in() {
        let token = StaffToken::new(&SecretString::from("right"));
        let check = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::AUTHORIZATION, value.parse().unwrap());
            }
            token.check(&headers).map_err(|problem| (problem.status().as_u16(), problem.code()))
        };
        assert_eq!(check(&["Bearer right"]), Ok(()));
        assert_eq!(check(&["bearer right"]), Ok(()));
        assert_eq!(check(&[]), Err((401, "admin_token_missing")));
        for malformed in ["Basic right", "Bearer", "right", ""] {
            assert_eq!(check(&[malformed]), Err((401, "admin_token_malformed")), "{malformed:?}");
        }
        for wrong in ["Bearer ", "Bearer righ", "Bearer rightt", "Bearer RIGHT", "Bearer  right"] {
            assert_eq!(check(&[wrong]), Err((401, "admin_token_wrong")), "{wrong:?}");
        }
        assert_eq!(check(&["Bearer right", "Bearer right"]), Err((401, "admin_token_malformed")));
    }
}
