//! The Thrift contract of `idl/wallet.thrift`: a client, a server and the types that both speak.
//!
//! ```text
//!  bill-api ── Client::authenticate ──► framed binary Thrift ──► serve(): token checked ──► impl MerchantAccess (wallet-api)
//!              RpcError: transient?                               panic caught, errors mapped
//! ```
//!
//! [`generated`] is written by `codegen/` from the IDL and committed (see `README.md`); nothing else in the project
//! touches it. [`Grant`] is its checked form: ids and currencies are parsed, and the verification key cannot be printed.

mod client;
mod error;
#[expect(unsafe_code, reason = "pilota's generated codec reads and writes without bounds checks after sizing")]
#[rustfmt::skip]
pub mod generated;
mod grant;
mod server;

pub use client::{Client, ClientSettings};
pub use error::{Denial, Refusal, RpcError};
pub use grant::{AccountRef, Grant};
pub use server::{Call, MerchantAccess, serve};

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    #[test]
    fn the_committed_code_was_generated_from_the_committed_idl() {
        let idl = include_bytes!("../../../idl/wallet.thrift");
        let wanted = format!("// idl-sha256: {}", hex::encode(Sha256::digest(idl)));
        let recorded = include_str!("generated.rs").lines().nth(1).unwrap_or_default();
        assert_eq!(recorded, wanted, "generated.rs is stale: run `cargo run` in crates/wallet-rpc/codegen");
    }
}
