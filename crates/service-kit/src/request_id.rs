//! The id that ties one request's answer, logs and calls to other services together.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};

/// Header that carries the id in and out.
pub const REQUEST_ID_HEADER: HeaderName = HeaderName::from_static("x-request-id");
const LONGEST: usize = 64;

/// 1 to 64 characters of `A-Z a-z 0-9 . _ -`: safe in a header, a log line and a file name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(String);

impl RequestId {
    /// A new id: a UUID version 7, so ids sort by time.
    pub fn generate() -> RequestId {
        RequestId(uuid::Uuid::now_v7().to_string())
    }

    /// The caller's id when it is safe and the only one, else a new one.
    pub fn accept(headers: &HeaderMap) -> RequestId {
        let mut values = headers.get_all(REQUEST_ID_HEADER).iter();
        let (first, second) = (values.next(), values.next());
        match (first.and_then(|value| value.to_str().ok()), second) {
            (Some(text), None) if is_safe(text) => RequestId(text.to_owned()),
            _ => RequestId::generate(),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id as a header value.
    pub fn header_value(&self) -> HeaderValue {
        // safe characters only, so this cannot fail; an empty value is still better than a panic
        HeaderValue::from_str(&self.0).unwrap_or_else(|_| HeaderValue::from_static(""))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

fn is_safe(text: &str) -> bool {
    (1..=LONGEST).contains(&text.len()) && text.bytes().all(is_safe_byte)
}

/// Whether a byte may stand in a request id, an app id or a nonce.
pub(crate) fn is_safe_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(values: &[&'static [u8]]) -> RequestId {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(REQUEST_ID_HEADER, HeaderValue::from_bytes(value).unwrap());
        }
        RequestId::accept(&headers)
    }

    #[test]
    fn a_safe_id_is_kept_and_any_other_replaced() {
        assert_eq!(accepted(&[b"order-7.retry_2"]).as_str(), "order-7.retry_2");
        let long: &'static [u8] = &[b'a'; 65];
        for refused in [&[b"a b" as &[u8]] as &[&[u8]], &[b""], &[long], &[b"\xff"], &[b"a", b"b"], &[]] {
            let id = accepted(refused);
            assert_eq!(id.as_str().len(), 36, "{refused:?} gave {id}");
        }
    }
}
