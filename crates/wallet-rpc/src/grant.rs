//! A grant: what an app may do, as both sides of the contract hold it.

use std::fmt;

use money::{AccountId, Currency, MerchantId};
use secrecy::{ExposeSecret, SecretSlice};

use crate::generated::volo_gen::wallet as wire;

/// One account of a merchant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountRef {
    /// The account; also the partition key of its bills.
    pub account_id: AccountId,
    /// `available`, `pending_in` or `pending_out`.
    pub kind: String,
    /// Its currency.
    pub currency: Currency,
}

/// What the app behind a key may do. `Debug` never shows the verification key.
#[derive(Clone)]
pub struct Grant {
    /// The merchant that owns the app.
    pub merchant_id: MerchantId,
    /// The app.
    pub app_id: String,
    /// Its key.
    pub key_id: String,
    /// How requests are signed: `HMAC-SHA256`.
    pub algorithm: String,
    /// Checks signatures. Keep it in process memory only.
    pub verification_key: SecretSlice<u8>,
    /// Such as `bills:read`.
    pub scopes: Vec<String>,
    /// The merchant's accounts.
    pub accounts: Vec<AccountRef>,
    /// IANA name; months and days of bills are cut in it.
    pub time_zone: String,
    /// Unix milliseconds; ask again after it.
    pub valid_until_ms: i64,
}

impl Grant {
    /// True if the grant names that scope.
    pub fn allows(&self, scope: &str) -> bool {
        self.scopes.iter().any(|held| held == scope)
    }
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant")
            .field("merchant_id", &self.merchant_id)
            .field("app_id", &self.app_id)
            .field("key_id", &self.key_id)
            .field("scopes", &self.scopes)
            .field("accounts", &self.accounts)
            .field("time_zone", &self.time_zone)
            .field("valid_until_ms", &self.valid_until_ms)
            .finish_non_exhaustive()
    }
}

/// Ids travel as Thrift's signed 64-bit integers; ours are positive, so the sign bit is free until the 63rd bit is used.
fn wire_id(id: u64, what: &str) -> Result<i64, String> {
    i64::try_from(id).map_err(|_| format!("{what} {id} does not fit the contract's i64"))
}

fn id(value: i64, what: &str) -> Result<u64, String> {
    u64::try_from(value)
        .ok()
        .filter(|id| *id > 0)
        .ok_or_else(|| format!("{what} {value} is not a positive id"))
}

impl TryFrom<wire::Grant> for Grant {
    type Error = String;

    fn try_from(grant: wire::Grant) -> Result<Self, String> {
        let accounts = grant
            .accounts
            .into_iter()
            .map(|account| {
                Ok(AccountRef {
                    account_id: AccountId(id(account.account_id, "account_id")?),
                    kind: account.kind.to_string(),
                    currency: account.currency.parse().map_err(|e| format!("currency: {e}"))?,
                })
            })
            .collect::<Result<_, String>>()?;
        Ok(Self {
            merchant_id: MerchantId(id(grant.merchant_id, "merchant_id")?),
            app_id: grant.app_id.to_string(),
            key_id: grant.key_id.to_string(),
            algorithm: grant.algorithm.to_string(),
            verification_key: SecretSlice::from(grant.verification_key.to_vec()),
            scopes: grant.scopes.iter().map(ToString::to_string).collect(),
            accounts,
            time_zone: grant.time_zone.to_string(),
            valid_until_ms: grant.valid_until_ms,
        })
    }
}

impl TryFrom<Grant> for wire::Grant {
    type Error = String;

    fn try_from(grant: Grant) -> Result<Self, String> {
        let accounts = grant
            .accounts
            .iter()
            .map(|account| {
                Ok(wire::AccountRef {
                    account_id: wire_id(account.account_id.0, "account_id")?,
                    kind: account.kind.clone().into(),
                    currency: account.currency.code().to_owned().into(),
                })
            })
            .collect::<Result<_, String>>()?;
        Ok(Self {
            merchant_id: wire_id(grant.merchant_id.0, "merchant_id")?,
            app_id: grant.app_id.into(),
            key_id: grant.key_id.into(),
            algorithm: grant.algorithm.into(),
            verification_key: grant.verification_key.expose_secret().to_vec().into(),
            scopes: grant.scopes.into_iter().map(Into::into).collect(),
            accounts,
            time_zone: grant.time_zone.into(),
            valid_until_ms: grant.valid_until_ms,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn grant() -> Grant {
        Grant {
            merchant_id: MerchantId(7),
            app_id: "app_1".into(),
            key_id: "key_1".into(),
            algorithm: "HMAC-SHA256".into(),
            verification_key: SecretSlice::from(b"top secret bytes".to_vec()),
            scopes: vec!["bills:read".into()],
            accounts: vec![AccountRef {
                account_id: AccountId(130),
                kind: "available".into(),
                currency: "CNY".parse().unwrap(),
            }],
            time_zone: "Asia/Shanghai".into(),
            valid_until_ms: 1,
        }
    }

    #[test]
    fn a_grant_survives_the_wire_and_its_debug_hides_the_key() {
        let back = Grant::try_from(wire::Grant::try_from(grant()).unwrap()).unwrap();
        assert_eq!(back.accounts, grant().accounts);
        assert_eq!(back.verification_key.expose_secret(), grant().verification_key.expose_secret());
        assert!(back.allows("bills:read") && !back.allows("funds:write"));
        let shown = format!("{back:?}");
        assert!(!shown.contains("secret") && !shown.contains("116, 111"), "{shown}");
    }

    #[test]
    fn a_grant_with_an_impossible_id_or_currency_is_refused() {
        let good = wire::Grant::try_from(grant()).unwrap();
        let mut bad = good.clone();
        bad.merchant_id = -1;
        assert!(Grant::try_from(bad).unwrap_err().contains("merchant_id -1"));
        let mut bad = good;
        bad.accounts[0].currency = "yuan".into();
        assert!(Grant::try_from(bad).unwrap_err().contains("currency"));
    }
}
