//! An account's row while it is locked.

use std::str::FromStr;

use change_event::Timestamp;
use money::{AccountId, Currency, MerchantId, Minor};

/// What an account is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum AccountKind {
    /// A merchant's money that can be spent.
    Available,
    /// Coming in, not yet a merchant's to spend.
    PendingIn,
    /// Going out, reserved.
    PendingOut,
    /// Between institutions.
    Clearing,
    /// What the platform earned.
    Fee,
    /// Mirrors money outside the platform.
    Institution,
}

impl AccountKind {
    /// The text of the column `account.kind`.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::PendingIn => "pending_in",
            Self::PendingOut => "pending_out",
            Self::Clearing => "clearing",
            Self::Fee => "fee",
            Self::Institution => "institution",
        }
    }

    /// True where the balance mirrors money outside, which flows both ways; every other account holds what it has.
    pub(crate) fn may_be_negative(self) -> bool {
        matches!(self, Self::Clearing | Self::Institution)
    }
}

impl FromStr for AccountKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Available, Self::PendingIn, Self::PendingOut, Self::Clearing, Self::Fee, Self::Institution]
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| {
                format!("{text:?} is not an account kind: was the table account migrated by another version?")
            })
    }
}

/// An account that this transaction holds the lock of.
#[derive(Debug, Clone)]
pub(crate) struct LockedAccount {
    pub(crate) id: AccountId,
    /// None: an account of the platform.
    pub(crate) merchant_id: Option<MerchantId>,
    pub(crate) kind: AccountKind,
    pub(crate) currency: Currency,
    pub(crate) balance: Minor,
    pub(crate) updated_at: Timestamp,
}
