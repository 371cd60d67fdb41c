//! A merchant as requests see it.

use money::{AccountId, Currency, MerchantId};

use crate::ledger::AccountKind;

/// A merchant with its accounts.
#[derive(Debug, Clone)]
pub(crate) struct Merchant {
    pub(crate) id: MerchantId,
    pub(crate) name: String,
    pub(crate) status: MerchantStatus,
    /// IANA name.
    pub(crate) time_zone: String,
    pub(crate) accounts: Vec<MerchantAccount>,
}

/// Whether a merchant may act and receive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MerchantStatus {
    Active,
    Suspended,
    Closed,
}

impl MerchantStatus {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        match text {
            "active" => Ok(Self::Active),
            "suspended" => Ok(Self::Suspended),
            "closed" => Ok(Self::Closed),
            other => Err(format!("{other:?} is not a merchant status")),
        }
    }
}

/// One account of a merchant; these never change.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MerchantAccount {
    pub(crate) id: AccountId,
    pub(crate) kind: AccountKind,
    pub(crate) currency: Currency,
}

impl Merchant {
    pub(crate) fn is_active(&self) -> bool {
        self.status == MerchantStatus::Active
    }

    /// The merchant's account of that kind and currency.
    pub(crate) fn account(&self, kind: AccountKind, currency: Currency) -> Option<AccountId> {
        let fits = |account: &&MerchantAccount| account.kind == kind && account.currency == currency;
        self.accounts.iter().find(fits).map(|account| account.id)
    }
}
