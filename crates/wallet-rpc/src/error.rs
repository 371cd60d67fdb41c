//! What can go wrong in a call, split by what the caller should do about it.

use std::time::Duration;

use crate::generated::volo_gen::wallet::DenialReason;

/// Why access was denied; definite until somebody changes the key or the merchant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denial {
    /// No such app or key.
    UnknownKey,
    /// The key existed and was revoked.
    RevokedKey,
    /// The merchant may not act now.
    MerchantSuspended,
    /// The calling service showed a wrong token: a configuration error of that service, not of the merchant.
    BadServiceToken,
    /// A reason that this build does not know; newer servers may add some.
    Other(i32),
}

impl From<DenialReason> for Denial {
    fn from(reason: DenialReason) -> Self {
        match reason {
            DenialReason::UNKNOWN_KEY => Self::UnknownKey,
            DenialReason::REVOKED_KEY => Self::RevokedKey,
            DenialReason::MERCHANT_SUSPENDED => Self::MerchantSuspended,
            DenialReason::BAD_SERVICE_TOKEN => Self::BadServiceToken,
            other => Self::Other(other.inner()),
        }
    }
}

impl From<Denial> for DenialReason {
    fn from(denial: Denial) -> Self {
        match denial {
            Denial::UnknownKey => Self::UNKNOWN_KEY,
            Denial::RevokedKey => Self::REVOKED_KEY,
            Denial::MerchantSuspended => Self::MERCHANT_SUSPENDED,
            Denial::BadServiceToken => Self::BAD_SERVICE_TOKEN,
            Denial::Other(code) => Self::from(code),
        }
    }
}

/// What a server answers in place of a grant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The declared exception `AccessDenied`.
    #[error("access denied ({reason:?}): {message}")]
    Denied {
        /// Stable reason.
        reason: Denial,
        /// For people; holds no secret.
        message: String,
    },
    /// The declared exception `Unavailable`: a dependency of the server is gone.
    #[error("the service cannot answer now: {message}")]
    Unavailable {
        /// For people; holds no secret.
        message: String,
        /// When to ask again.
        retry_after: Duration,
    },
}

/// Why a call gave no grant.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RpcError {
    /// The server answered with a declared exception.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// No answer in time; the server may be slow or gone.
    #[error("no answer from {address} within {waited:?}")]
    Timeout {
        /// Whom we asked.
        address: String,
        /// How long we waited.
        waited: Duration,
    },
    /// The address does not resolve, the connection was refused or broke.
    #[error("cannot reach {address}: {cause}")]
    Unreachable {
        /// Whom we asked.
        address: String,
        /// What the system said.
        cause: String,
    },
    /// The server does not speak this contract, or sent a value that the contract forbids.
    #[error("{address} broke the contract: {cause}")]
    Contract {
        /// Whom we asked.
        address: String,
        /// What was wrong; holds no secret.
        cause: String,
    },
}

impl RpcError {
    /// True if the same call may succeed later without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Refused(Refusal::Unavailable { .. }) | Self::Timeout { .. } | Self::Unreachable { .. } => {
                true
            }
            Self::Refused(Refusal::Denied { .. }) | Self::Contract { .. } => false,
        }
    }

    /// The stable reason, if access was denied.
    pub fn denial(&self) -> Option<Denial> {
        match self {
            Self::Refused(Refusal::Denied { reason, .. }) => Some(*reason),
            _ => None,
        }
    }
}
