//! The header `Idempotency-Key`.

use http::HeaderMap;

const HEADER: &str = "idempotency-key";
const LONGEST: usize = 64;

/// 1 to 64 visible ASCII characters. A key in quotes (as the IETF draft writes it) is the same as without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IdempotencyKey(String);

/// Why the header is not a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyError {
    Missing,
    Repeated,
    Invalid,
}

impl IdempotencyKey {
    /// The request's one key.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, KeyError> {
        let mut values = headers.get_all(HEADER).iter();
        let first = values.next().ok_or(KeyError::Missing)?;
        if values.next().is_some() {
            return Err(KeyError::Repeated);
        }
        Self::parse(first.as_bytes()).ok_or(KeyError::Invalid)
    }

    fn parse(raw: &[u8]) -> Option<Self> {
        let inner = match raw {
            [b'"', inner @ .., b'"'] if !inner.contains(&b'"') && !inner.contains(&b'\\') => inner,
            [b'"', ..] => return None,
            bare => bare,
        };
        let fine = (1..=LONGEST).contains(&inner.len()) && inner.iter().all(u8::is_ascii_graphic);
        if !fine {
            return None;
        }
        String::from_utf8(inner.to_vec()).ok().map(Self)
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn a_key_is_visible_ascii_bare_or_quoted() {
        let long = "k".repeat(64);
        for (raw, key) in
            [("a", "a"), ("\"a\"", "a"), ("order-7/{1}", "order-7/{1}"), (long.as_str(), long.as_str())]
        {
            assert_eq!(IdempotencyKey::parse(raw.as_bytes()).unwrap().as_str(), key);
        }
        let too_long = "k".repeat(65);
        for bad in ["", "\"\"", "\"", "\"a", "a b", "钥匙", "\"a\\\"\"", "\"a\"b\"", too_long.as_str()] {
            assert_eq!(IdempotencyKey::parse(bad.as_bytes()), None, "{bad:?}");
        }
    }

    #[test]
    fn exactly_one_key_is_taken() {
        let mut headers = HeaderMap::new();
        assert_eq!(IdempotencyKey::of(&headers), Err(KeyError::Missing));
        headers.append(HEADER, HeaderValue::from_static("k"));
        assert_eq!(IdempotencyKey::of(&headers).unwrap().as_str(), "k");
        headers.append(HEADER, HeaderValue::from_static("k"));
        assert_eq!(IdempotencyKey::of(&headers), Err(KeyError::Repeated));
    }
}
