//! The `Authorization` header of a signed request, parsed strictly: what is not exactly right is refused.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, header};

use super::{SCHEME, SIGNATURE_BYTES, SignatureError};
use crate::request_id::is_safe_byte;

/// A parsed header. The timestamp keeps its text too, as the signature covers the text.
#[derive(Clone, PartialEq, Eq)]
pub struct Authorization {
    pub app_id: String,
    pub key_id: String,
    /// Unix seconds.
    pub timestamp: i64,
    /// 8 to 64 safe characters.
    pub nonce: String,
    pub signature: [u8; SIGNATURE_BYTES],
}

// a signature is no secret, but a log line with one is an invitation to replay it
impl std::fmt::Debug for Authorization {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Authorization { app_id, key_id, timestamp, .. } = self;
        write!(
            formatter,
            "Authorization {{ app_id: {app_id:?}, key_id: {key_id:?}, timestamp: {timestamp} }}"
        )
    }
}

const NAMES: [&str; 5] = ["app_id", "key_id", "timestamp", "nonce", "signature"];

impl Authorization {
    /// Takes the one `Authorization` header of a request.
    pub fn of(headers: &HeaderMap) -> Result<Authorization, SignatureError> {
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let value = values.next().ok_or(SignatureError::Missing)?;
        if values.next().is_some() {
            return Err(SignatureError::Repeated);
        }
        Authorization::parse(value.to_str().map_err(|_| SignatureError::Malformed)?)
    }

    /// Parses a header's value: the scheme, then each parameter exactly once, in any order.
    pub fn parse(text: &str) -> Result<Authorization, SignatureError> {
        let (scheme, parameters) = text.split_once(' ').unwrap_or((text, ""));
        if !scheme.eq_ignore_ascii_case(SCHEME) {
            return Err(SignatureError::Scheme);
        }
        let mut found: [Option<&str>; NAMES.len()] = [None; NAMES.len()];
        for parameter in parameters.split(',') {
            let (name, value) =
                parameter.trim_matches([' ', '\t']).split_once('=').ok_or(SignatureError::Malformed)?;
            let value = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
            // no value of ours needs a quote, a backslash or a comma, so there is nothing to unescape
            let value =
                value.filter(|value| !value.contains(['"', '\\'])).ok_or(SignatureError::Malformed)?;
            let place =
                NAMES.iter().position(|known| *known == name).ok_or(SignatureError::UnknownParameter)?;
            if found[place].replace(value).is_some() {
                return Err(SignatureError::DuplicateParameter(NAMES[place]));
            }
        }
        let take = |place: usize| found[place].ok_or(SignatureError::MissingParameter(NAMES[place]));
        Ok(Authorization {
            app_id: safe(take(0)?, 1, "app_id")?,
            key_id: safe(take(1)?, 1, "key_id")?,
            timestamp: seconds(take(2)?)?,
            nonce: safe(take(3)?, 8, "nonce")?,
            signature: signature(take(4)?)?,
        })
    }

    /// The header's value, for a client.
    pub fn format(&self) -> String {
        let Authorization { app_id, key_id, timestamp, nonce, signature } = self;
        let signature = STANDARD.encode(signature);
        format!(
            "{SCHEME} app_id=\"{app_id}\",key_id=\"{key_id}\",timestamp=\"{timestamp}\",nonce=\"{nonce}\",signature=\"{signature}\""
        )
    }

    /// The timestamp as the client signed it; [`Authorization::parse`] takes no other spelling of the number.
    pub fn timestamp_text(&self) -> String {
        self.timestamp.to_string()
    }
}

fn safe(text: &str, shortest: usize, name: &'static str) -> Result<String, SignatureError> {
    let fine = (shortest..=64).contains(&text.len()) && text.bytes().all(is_safe_byte);
    if fine { Ok(text.to_owned()) } else { Err(SignatureError::InvalidParameter(name)) }
}

// plain digits without a leading zero: one number, one text
fn seconds(text: &str) -> Result<i64, SignatureError> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !(text.len() > 1 && text.starts_with('0'));
    let number = if plain { text.parse().ok() } else { None };
    number.ok_or(SignatureError::InvalidParameter("timestamp"))
}

fn signature(text: &str) -> Result<[u8; SIGNATURE_BYTES], SignatureError> {
    let bytes = STANDARD.decode(text).ok();
    bytes.and_then(|bytes| bytes.try_into().ok()).ok_or(SignatureError::InvalidParameter("signature"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Authorization {
        Authorization {
            app_id: "app_1".to_owned(),
            key_id: "key-2".to_owned(),
            timestamp: 1_795_372_800,
            nonce: "abcdefgh".to_owned(),
            signature: [7; SIGNATURE_BYTES],
        }
    }

    #[test]
    fn format_and_parse_are_inverse() {
        let text = example().format();
        assert_eq!(Authorization::parse(&text), Ok(example()));
        assert_eq!(Authorization::parse(&text.replace(',', ", \t")), Ok(example()));
        assert_eq!(Authorization::parse(&text.replace(SCHEME, "databus-hmac-sha256")), Ok(example()));
    }

    #[test]
    fn each_defect_has_its_own_error() {
        use SignatureError as E;
        let good = example().format();
        let check = |from: &str, to: &str, expected: E| {
            let text = good.replace(from, to);
            assert_eq!(Authorization::parse(&text), Err(expected), "{text}");
        };
        check("DATABUS-HMAC-SHA256", "Bearer", E::Scheme);
        check(" app_id", " app_id=\"app_1\",app_id", E::DuplicateParameter("app_id"));
        check(" app_id", " extra=\"1\",app_id", E::UnknownParameter);
        check("app_id=\"app_1\",", "", E::MissingParameter("app_id"));
        check("timestamp=\"1795372800\",", "", E::MissingParameter("timestamp"));
        check("\"app_1\"", "app_1", E::Malformed);
        check("\"app_1\"", "\"app 1\"", E::InvalidParameter("app_id"));
        check("\"app_1\"", "\"\"", E::InvalidParameter("app_id"));
        check("\"abcdefgh\"", "\"abcdefg\"", E::InvalidParameter("nonce"));
        check("1795372800", "99999999999999999999", E::InvalidParameter("timestamp"));
        check("1795372800", "01795372800", E::InvalidParameter("timestamp"));
        check("1795372800", "+1795372800", E::InvalidParameter("timestamp"));
        check("1795372800", "now", E::InvalidParameter("timestamp"));
        check("BwcHBw", "Bw", E::InvalidParameter("signature"));
        check("\",key_id", "\",,key_id", E::Malformed);
        assert_eq!(Authorization::parse(SCHEME), Err(E::Malformed));
        assert_eq!(Authorization::parse(""), Err(E::Scheme));
    }

    #[test]
    fn exactly_one_header_is_taken() {
        let mut headers = HeaderMap::new();
        assert_eq!(Authorization::of(&headers), Err(SignatureError::Missing));
        headers.append(header::AUTHORIZATION, example().format().parse().unwrap());
        assert_eq!(Authorization::of(&headers), Ok(example()));
        headers.append(header::AUTHORIZATION, example().format().parse().unwrap());
        assert_eq!(Authorization::of(&headers), Err(SignatureError::Repeated));
    }
}
