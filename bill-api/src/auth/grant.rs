//! A grant as Redis holds it: all that a request needs to know of its app, and never the verification key.

use money::{AccountId, Currency, MerchantId};
use serde::{Deserialize, Serialize};

/// The one algorithm of requests that this service checks.
pub(crate) const ALGORITHM: &str = "HMAC-SHA256";

/// What an app may do, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AppGrant {
    pub(crate) merchant_id: MerchantId,
    pub(crate) app_id: String,
    pub(crate) key_id: String,
    pub(crate) algorithm: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) accounts: Vec<Account>,
    /// IANA name.
    pub(crate) time_zone: String,
    /// Unix milliseconds.
    pub(crate) valid_until_ms: i64,
}

/// One account of the merchant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Account {
    pub(crate) account_id: AccountId,
    pub(crate) kind: String,
    pub(crate) currency: Currency,
}

impl AppGrant {
    pub(crate) fn allows(&self, scope: &str) -> bool {
        self.scopes.iter().any(|held| held == scope)
    }

    /// The merchant's own account of that id.
    pub(crate) fn account(&self, id: AccountId) -> Option<&Account> {
        self.accounts.iter().find(|account| account.account_id == id)
    }
}

impl From<&wallet_rpc::Grant> for AppGrant {
    fn from(grant: &wallet_rpc::Grant) -> AppGrant {
        let account = |account: &wallet_rpc::AccountRef| Account {
            account_id: account.account_id,
            kind: account.kind.clone(),
            currency: account.currency,
        };
        AppGrant {
            merchant_id: grant.merchant_id,
            app_id: grant.app_id.clone(),
            key_id: grant.key_id.clone(),
            algorithm: grant.algorithm.clone(),
            scopes: grant.scopes.clone(),
            accounts: grant.accounts.iter().map(account).collect(),
            time_zone: grant.time_zone.clone(),
            valid_until_ms: grant.valid_until_ms,
        }
    }
}
