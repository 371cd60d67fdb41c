//! Signed requests: HMAC-SHA256 over a canonical string of the bytes that were sent.
//!
//! ```text
//! METHOD \n PATH[?QUERY] \n TIMESTAMP \n NONCE \n BODY \n
//! Authorization: DATABUS-HMAC-SHA256 app_id="..",key_id="..",timestamp="<unix s>",nonce="..",signature="<base64>"
//! ```

mod authorization;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hmac::{Hmac, KeyInit, Mac};
use http::StatusCode;
use sha2::Sha256;

use crate::problem::Problem;

pub use authorization::Authorization;

/// The scheme's name in `Authorization` and in the challenge of a 401.
pub const SCHEME: &str = "DATABUS-HMAC-SHA256";
/// Bytes of a signature.
pub const SIGNATURE_BYTES: usize = 32;
/// How far a request's timestamp may be from our clock, either way.
pub const TIMESTAMP_WINDOW: Duration = Duration::from_secs(300);

/// What the client signs: everything of the request that means something, as raw bytes.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    pub method: &'a str,
    /// `PATH[?QUERY]` as in the request line.
    pub target: &'a str,
    /// Unix seconds, as sent.
    pub timestamp: &'a str,
    pub nonce: &'a str,
    pub body: &'a [u8],
}

impl Signed<'_> {
    fn lines(&self) -> [&[u8]; 5] {
        [
            self.method.as_bytes(),
            self.target.as_bytes(),
            self.timestamp.as_bytes(),
            self.nonce.as_bytes(),
            self.body,
        ]
    }
}

/// The canonical string: each part followed by a line feed, the body's included.
pub fn canonical(signed: &Signed<'_>) -> Vec<u8> {
    signed.lines().into_iter().flat_map(|line| line.iter().copied().chain([b'\n'])).collect()
}

/// Signs with an app's secret bytes.
pub fn sign(secret: &[u8], signed: &Signed<'_>) -> [u8; SIGNATURE_BYTES] {
    mac(secret, signed).finalize().into_bytes().into()
}

/// Whether `signature` is the one of `signed` under `secret`; takes as long for a near miss as for a far one.
pub fn verify(
    secret: &[u8],
    signed: &Signed<'_>,
    signature: &[u8; SIGNATURE_BYTES],
) -> Result<(), SignatureError> {
    mac(secret, signed).verify_slice(signature).map_err(|_| SignatureError::Mismatch)
}

fn mac(secret: &[u8], signed: &Signed<'_>) -> Hmac<Sha256> {
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length: RFC 2104 section 2")]
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("any key length is fine");
    for line in signed.lines() {
        mac.update(line);
        mac.update(b"\n");
    }
    mac
}

/// Whether a timestamp (Unix seconds) is within [`TIMESTAMP_WINDOW`] of `now`, the edge included.
pub fn check_timestamp(timestamp: i64, now: SystemTime) -> Result<(), SignatureError> {
    let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs().cast_signed());
    let away = now.abs_diff(timestamp);
    if away <= TIMESTAMP_WINDOW.as_secs() { Ok(()) } else { Err(SignatureError::OutsideWindow { away }) }
}

/// Why a request does not count as signed. Each has a stable code, and all are a 401.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    #[error("sign the request: the Authorization header is missing")]
    Missing,
    #[error("send one Authorization header, not several")]
    Repeated,
    #[error("use the authorization scheme {SCHEME}")]
    Scheme,
    #[error("the Authorization header is not a comma-separated list of name=\"value\"")]
    Malformed,
    #[error("the Authorization header has a parameter that is not known")]
    UnknownParameter,
    #[error("the Authorization header has the parameter {0} twice")]
    DuplicateParameter(&'static str),
    #[error("the Authorization header lacks the parameter {0}")]
    MissingParameter(&'static str),
    #[error("the Authorization parameter {0} is not valid")]
    InvalidParameter(&'static str),
    #[error("the timestamp is {away} s away from our clock: at most 300 are allowed")]
    OutsideWindow { away: u64 },
    #[error("this nonce was used before: use a new one for every request, a retry too")]
    NonceReused,
    #[error("no such key, or it is revoked")]
    KeyRefused,
    #[error("the signature does not match the request: see the canonical string and the secret")]
    Mismatch,
}

impl SignatureError {
    /// The stable code in the problem.
    pub fn code(&self) -> &'static str {
        match self {
            SignatureError::Missing => "signature_missing",
            SignatureError::Repeated => "signature_repeated",
            SignatureError::Scheme => "signature_scheme_unsupported",
            SignatureError::Malformed => "signature_malformed",
            SignatureError::UnknownParameter => "signature_parameter_unknown",
            SignatureError::DuplicateParameter(_) => "signature_parameter_duplicate",
            SignatureError::MissingParameter(_) => "signature_parameter_missing",
            SignatureError::InvalidParameter(_) => "signature_parameter_invalid",
            SignatureError::OutsideWindow { .. } => "signature_timestamp_outside_window",
            SignatureError::NonceReused => "signature_nonce_reused",
            SignatureError::KeyRefused => "signature_key_refused",
            SignatureError::Mismatch => "signature_mismatch",
        }
    }
}

impl From<SignatureError> for Problem {
    fn from(error: SignatureError) -> Problem {
        let problem = Problem::unauthorized(error.code(), error.to_string(), SCHEME);
        debug_assert_eq!(problem.status(), StatusCode::UNAUTHORIZED);
        match error {
            SignatureError::DuplicateParameter(name) => problem.error(name, "duplicate"),
            SignatureError::MissingParameter(name) => problem.error(name, "missing"),
            SignatureError::InvalidParameter(name) => problem.error(name, "invalid"),
            _ => problem,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNED: Signed<'static> = Signed {
        method: "POST",
        target: "/v1/payments?a=%2F",
        timestamp: "1795372800",
        nonce: "n-12345678",
        body: b"{\"amount\":1}",
    };

    #[test]
    fn the_canonical_string_ends_every_part_with_a_line_feed() {
        let expected = "POST\n/v1/payments?a=%2F\n1795372800\nn-12345678\n{\"amount\":1}\n";
        assert_eq!(String::from_utf8(canonical(&SIGNED)).unwrap(), expected);
        let mut whole = Hmac::<Sha256>::new_from_slice(b"secret").unwrap();
        whole.update(expected.as_bytes());
        assert_eq!(sign(b"secret", &SIGNED).as_slice(), whole.finalize().into_bytes().as_slice());
    }

    #[test]
    fn a_signature_holds_for_its_bytes_alone() {
        let signature = sign(b"secret", &SIGNED);
        assert_eq!(verify(b"secret", &SIGNED, &signature), Ok(()));
        assert_eq!(verify(b"other", &SIGNED, &signature), Err(SignatureError::Mismatch));
        let changed = [
            Signed { method: "GET", ..SIGNED },
            Signed { target: "/v1/payments?a=/", ..SIGNED },
            Signed { timestamp: "1795372801", ..SIGNED },
            Signed { nonce: "n-12345679", ..SIGNED },
            Signed { body: b"{\"amount\": 1}", ..SIGNED },
        ];
        for other in changed {
            assert_eq!(verify(b"secret", &other, &signature), Err(SignatureError::Mismatch), "{other:?}");
        }
    }

    #[test]
    fn the_window_is_300_seconds_either_way() {
        let now = UNIX_EPOCH + Duration::from_secs(1_000_000);
        for (timestamp, fine) in [
            (1_000_000, true),
            (999_700, true),
            (1_000_300, true),
            (999_699, false),
            (1_000_301, false),
            (0, false),
        ] {
            assert_eq!(check_timestamp(timestamp, now).is_ok(), fine, "{timestamp}");
        }
        assert!(check_timestamp(i64::MAX, now).is_err() && check_timestamp(i64::MIN, now).is_err());
    }
}
