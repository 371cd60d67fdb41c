//! A record of the quarantine topic.

use change_event::quarantine::{Facts, HEADER, Key};
use rdkafka::{
    Message as _,
    message::{BorrowedMessage, Headers as _},
};

/// What it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Recorded {
    /// The record's key as it is.
    pub(crate) key_text: String,
    /// The same, read.
    pub(crate) key: Key,
    /// `None`: healed.
    pub(crate) set_aside: Option<(Facts, Vec<u8>)>,
    /// The record's offset.
    pub(crate) offset: i64,
}

impl Recorded {
    /// Reads a record; an error says what about it is not ours.
    pub(crate) fn read(message: &BorrowedMessage<'_>) -> Result<Self, String> {
        let key_text = message
            .key()
            .and_then(|key| std::str::from_utf8(key).ok())
            .ok_or("a key that is no text")?
            .to_owned();
        let key = serde_json::from_str(&key_text).map_err(|error| error.to_string())?;
        let set_aside = match message.payload() {
            None => None,
            Some(bytes) => {
                let header =
                    message.headers().and_then(|headers| headers.iter().find(|header| header.key == HEADER));
                let facts =
                    header.and_then(|header| header.value).ok_or_else(|| format!("no header {HEADER}"))?;
                Some((serde_json::from_slice(facts).map_err(|error| error.to_string())?, bytes.to_vec()))
            }
        };
        Ok(Self { key_text, key, set_aside, offset: message.offset() })
    }
}
