//! App secrets at rest: AES-256-GCM under the master key, with the key's id authenticated, so that a sealed secret
//! copied to another key's row does not open.

use aes_gcm::{
    Aes256Gcm, KeyInit, Nonce,
    aead::{Aead, Payload},
};
use anyhow::{Context, ensure};
use base64::{Engine, engine::general_purpose::STANDARD};
use secrecy::{ExposeSecret, SecretSlice, SecretString};

const NONCE_BYTES: usize = 12;

/// Seals and opens app secrets. `Debug` shows nothing.
#[derive(Clone)]
pub(crate) struct SealedSecrets {
    cipher: Aes256Gcm,
}

/// A sealed secret that does not open: another master key, another row, or damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the sealed secret does not open: is this the master key that sealed it?")]
pub(crate) struct DoesNotOpen;

impl SealedSecrets {
    /// `master_key` is 32 bytes in base64.
    pub(crate) fn new(master_key: &SecretString) -> anyhow::Result<Self> {
        let bytes = STANDARD.decode(master_key.expose_secret().trim()).ok().context("it is not base64")?;
        ensure!(bytes.len() == 32, "it has {} bytes, and 32 are needed", bytes.len());
        let cipher = Aes256Gcm::new_from_slice(&bytes).ok().context("it is not a key")?;
        Ok(Self { cipher })
    }

    /// Nonce, ciphertext and tag.
    pub(crate) fn seal(&self, key_id: &str, secret: &SecretSlice<u8>) -> anyhow::Result<Vec<u8>> {
        let nonce: [u8; NONCE_BYTES] = rand::random();
        let payload = Payload { msg: secret.expose_secret(), aad: key_id.as_bytes() };
        let sealed = self.cipher.encrypt(&Nonce::from(nonce), payload).ok().context("seal an app secret")?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// The secret that [`Self::seal`] got with the same key id.
    pub(crate) fn open(&self, key_id: &str, sealed: &[u8]) -> Result<SecretSlice<u8>, DoesNotOpen> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or(DoesNotOpen)?;
        let payload = Payload { msg: sealed, aad: key_id.as_bytes() };
        let secret = self.cipher.decrypt(&Nonce::from(*nonce), payload).map_err(|_| DoesNotOpen)?;
        Ok(SecretSlice::from(secret))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed_secrets(byte: u8) -> SealedSecrets {
        SealedSecrets::new(&SecretString::from(STANDARD.encode([byte; 32]))).unwrap()
    }

    #[test]
    fn a_secret_opens_only_under_its_master_key_and_key_id() {
        let secret = SecretSlice::from(vec![9; 32]);
        let sealed = sealed_secrets(1).seal("key_a", &secret).unwrap();
        assert_eq!(sealed.len(), 12 + 32 + 16);
        assert_eq!(sealed_secrets(1).open("key_a", &sealed).unwrap().expose_secret(), secret.expose_secret());
        assert!(sealed_secrets(1).open("key_b", &sealed).is_err());
        assert!(sealed_secrets(2).open("key_a", &sealed).is_err());
        for cut in 0..sealed.len() {
            assert!(sealed_secrets(1).open("key_a", &sealed[..cut]).is_err(), "{cut}");
        }
        assert_ne!(sealed, sealed_secrets(1).seal("key_a", &secret).unwrap());
    }

    #[test]
    fn a_master_key_is_32_bytes_in_base64() {
        for bad in [String::new(), "not base64!".into(), STANDARD.encode([1; 31])] {
            assert!(SealedSecrets::new(&SecretString::from(bad)).is_err());
        }
    }
}
