//! `MerchantAccess` of `idl/wallet.thrift`: what an app's key may do, for the services beside this one.

use std::time::Duration;

use service_kit::shutdown::Shutdown;
use tokio::net::TcpListener;
use wallet_rpc::{AccountRef, Call, Denial, Grant, MerchantAccess, Refusal};

use crate::{
    clock,
    merchants::{AppKey, Directory, DirectoryError, Merchant},
};

/// How long a caller may keep a grant.
const GRANT_LIFE: Duration = Duration::from_secs(30);

/// Answers from the database as it is now, never from the cache: callers keep what they get.
pub(crate) struct AccessDesk {
    directory: Directory,
}

impl AccessDesk {
    pub(crate) fn new(directory: Directory) -> Self {
        Self { directory }
    }

    /// Serves until `shutdown`, then lets running calls end.
    pub(crate) async fn serve(
        self,
        listener: TcpListener,
        service_token: &secrecy::SecretString,
        shutdown: &Shutdown,
    ) -> std::io::Result<()> {
        wallet_rpc::serve(listener, service_token, self, shutdown.token().clone()).await
    }
}

impl MerchantAccess for AccessDesk {
    async fn authenticate(&self, call: Call<'_>) -> Result<Grant, Refusal> {
        let found = self.directory.fresh(call.key_id).await.map_err(|error| unavailable(call, &error))?;
        let (key, merchant) = found
            .filter(|(key, _)| key.app_id == call.app_id)
            .ok_or_else(|| denied(Denial::UnknownKey, "there is no such key of that app"))?;
        if key.revoked {
            return Err(denied(Denial::RevokedKey, "the key is revoked"));
        }
        if !merchant.is_active() {
            return Err(denied(Denial::MerchantSuspended, "the merchant may not act now"));
        }
        Ok(grant(&key, &merchant))
    }
}

fn grant(key: &AppKey, merchant: &Merchant) -> Grant {
    let life_ms = i64::try_from(GRANT_LIFE.as_millis()).unwrap_or_default();
    Grant {
        merchant_id: merchant.id,
        app_id: key.app_id.clone(),
        key_id: key.key_id.clone(),
        algorithm: key.algorithm.clone(),
        verification_key: key.secret.clone(),
        scopes: key.scopes.names().into_iter().map(str::to_owned).collect(),
        accounts: merchant
            .accounts
            .iter()
            .map(|account| AccountRef {
                account_id: account.id,
                kind: account.kind.as_str().to_owned(),
                currency: account.currency,
            })
            .collect(),
        time_zone: merchant.time_zone.clone(),
        valid_until_ms: clock::now().micros() / 1_000 + life_ms,
    }
}

fn denied(reason: Denial, message: &str) -> Refusal {
    Refusal::Denied { reason, message: message.to_owned() }
}

fn unavailable(call: Call<'_>, error: &DirectoryError) -> Refusal {
    tracing::warn!(request_id = call.request_id, %error, "cannot answer a grant: the directory failed");
    Refusal::Unavailable {
        message: "merchants cannot be looked up now".to_owned(),
        retry_after: Duration::from_secs(1),
    }
}
