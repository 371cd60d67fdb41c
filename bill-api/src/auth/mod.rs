//! Who calls: the strict header, the grant behind its key, the signature over the raw bytes, the nonce.
//!
//! ```text
//! header ─► timestamp ─► grant (Redis, else wallet-api) ─► signature ─► nonce ─► Caller
//! ```
//!
//! The nonce comes last, so that nobody without the secret can use up an app's nonces.

mod grant;
mod grants;

use std::sync::Arc;
use std::time::SystemTime;

use prometheus::Registry;
use secrecy::ExposeSecret;
use service_kit::flow::{Authenticate, FlowControl, FlowKey};
use service_kit::nonce::{Nonces, OnOutage};
use service_kit::redis_link::Redis;
use service_kit::signature::{self, Authorization, SignatureError, Signed};
use service_kit::{Problem, RawRequest};
use wallet_rpc::Client;

pub(crate) use grant::AppGrant;
use grants::Grants;

/// A merchant's app that proved its key.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) grant: Arc<AppGrant>,
}

impl FlowKey for Caller {
    fn flow_key(&self) -> &str {
        &self.grant.app_id
    }
}

impl Caller {
    /// 403 unless the app holds `scope`.
    pub(crate) fn require(&self, scope: &str) -> Result<(), Problem> {
        if self.grant.allows(scope) {
            return Ok(());
        }
        let detail = format!("this app does not hold the scope {scope}");
        Err(Problem::new(http::StatusCode::FORBIDDEN, "scope_missing", detail))
    }
}

pub(crate) struct Authenticator {
    grants: Grants,
    nonces: Nonces,
}

impl Authenticator {
    pub(crate) fn new(
        wallet: Client,
        redis: Redis,
        flow: Arc<FlowControl>,
        registry: &Registry,
    ) -> prometheus::Result<Authenticator> {
        // every route here only reads: with Redis away, a replay that this process has not seen reads once more
        let nonces = Nonces::new(redis.clone(), OnOutage::RememberLocally);
        Ok(Authenticator { grants: Grants::new(wallet, redis, flow, registry)?, nonces })
    }
}

impl Authenticate for Authenticator {
    type Caller = Caller;

    async fn authenticate(&self, request: &RawRequest) -> Result<Caller, Problem> {
        let claim = Authorization::of(&request.headers)?;
        signature::check_timestamp(claim.timestamp, SystemTime::now())?;
        let held = self.grants.of(&claim.app_id, &claim.key_id, request.peer).await?;
        let signed = Signed {
            method: request.method.as_str(),
            target: &request.target(),
            timestamp: &claim.timestamp_text(),
            nonce: &claim.nonce,
            body: &request.body,
        };
        if held.grant.algorithm != grant::ALGORITHM {
            return Err(SignatureError::Scheme.into());
        }
        signature::verify(held.key.expose_secret(), &signed, &claim.signature)?;
        self.nonces.use_once(&claim.app_id, &claim.nonce).await?;
        Ok(Caller { grant: held.grant })
    }
}
