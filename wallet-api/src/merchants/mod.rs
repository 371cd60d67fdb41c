//! Merchants, their apps and keys: who may act for whom.
//!
//! ```text
//!  staff ─► Onboarding (create merchant, app, key; revoke) ─► MySQL `wallet` + audit row, one transaction
//!  requests, rpc ─► Directory (merchant, key; at most 1 s old) ─► MySQL
//!  secrets: SealedSecrets (AES-256-GCM under the master key, bound to the key's id)
//! ```

mod directory;
mod merchant;
mod onboarding;
mod scope;
mod sealed;

pub(crate) use directory::{AppKey, Directory, DirectoryError};
pub(crate) use merchant::Merchant;
pub(crate) use onboarding::{Onboarding, Revoked};
pub(crate) use scope::{Scope, Scopes};
pub(crate) use sealed::SealedSecrets;
