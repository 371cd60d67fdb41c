//! Who calls: an app by its signature, or staff by the admin token. Whatever is wrong is a 401 with its own code.

use std::{sync::Arc, time::SystemTime};

use http::{HeaderMap, StatusCode, header};
use secrecy::{ExposeSecret, SecretString};
use service_kit::{
    Problem, RawRequest,
    flow::{Authenticate, FlowKey},
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

/// Checks signed requests: header, clock, key, signature, nonce, merchant; in that order, cheapest first.
pub(crate) struct SignedRequests {
    directory: Directory,
    nonces: Nonces,
}

impl SignedRequests {
    pub(crate) fn new(directory: Directory, nonces: Nonces) -> Self {
        Self { directory, nonces }
    }
}

impl Authenticate for SignedRequests {
    type Caller = App;

    async fn authenticate(&self, request: &RawRequest) -> Result<App, Problem> {
        let claimed = Authorization::of(&request.headers)?;
        signature::check_timestamp(claimed.timestamp, SystemTime::now())?;
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
    use super::*;

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
