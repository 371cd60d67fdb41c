//! Page cursors: the last row's place in the order, sealed, so that nobody can make one up or carry it to another list.
//!
//! ```text
//! base64url( micros i64 | account u64 | filters' digest 8 | bill id | HMAC-SHA256 of all that and the merchant, 16 )
//! ```
//!
//! A cursor names a place between rows, not a row: rows that come or go on either side neither shift nor repeat others.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use change_event::Timestamp;
use hmac::{Hmac, KeyInit, Mac};
use money::{AccountId, MerchantId};
use secrecy::{ExposeSecret, SecretBox};
use sha2::Sha256;

use super::filters::{DIGEST_BYTES, Filters};
use crate::settings::CURSOR_KEY_BYTES;

const TAG_BYTES: usize = 16;
/// Parts the cursors of one use of the key from those of any later use.
const CONTEXT: &[u8] = b"bill-api list cursor 1";

/// A row's place in the order: newest moment first, then larger bill id, then larger account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) occurred_at: Timestamp,
    pub(crate) bill_id: String,
    pub(crate) account: AccountId,
}

/// Why a cursor is refused; both are a 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CursorError {
    #[error("the cursor is not one that this service gave to this merchant")]
    Invalid,
    #[error("the cursor belongs to a list with other filters: begin that list without a cursor")]
    OtherFilters,
}

/// Seals and opens cursors.
pub(crate) struct Cursors {
    key: SecretBox<[u8; CURSOR_KEY_BYTES]>,
}

impl Cursors {
    pub(crate) fn new(key: &SecretBox<[u8; CURSOR_KEY_BYTES]>) -> Cursors {
        Cursors { key: SecretBox::new(Box::new(*key.expose_secret())) }
    }

    /// The cursor of the page after `position`.
    pub(crate) fn seal(&self, merchant: MerchantId, filters: &Filters, position: &Position) -> String {
        let mut bytes = Vec::with_capacity(48 + position.bill_id.len());
        bytes.extend(position.occurred_at.micros().to_be_bytes());
        bytes.extend(position.account.0.to_be_bytes());
        bytes.extend(filters.digest());
        bytes.extend(position.bill_id.bytes());
        let tag = self.mac(merchant, &bytes).finalize().into_bytes();
        bytes.extend(&tag[..TAG_BYTES]);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The place that a cursor names.
    pub(crate) fn open(
        &self,
        merchant: MerchantId,
        filters: &Filters,
        text: &str,
    ) -> Result<Position, CursorError> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| CursorError::Invalid)?;
        let end = bytes.len().checked_sub(TAG_BYTES).ok_or(CursorError::Invalid)?;
        let (sealed, tag) = bytes.split_at(end);
        self.mac(merchant, sealed).verify_truncated_left(tag).map_err(|_| CursorError::Invalid)?;

        let (micros, rest) = sealed.split_first_chunk::<8>().ok_or(CursorError::Invalid)?;
        let (account, rest) = rest.split_first_chunk::<8>().ok_or(CursorError::Invalid)?;
        let (digest, bill_id) = rest.split_first_chunk::<DIGEST_BYTES>().ok_or(CursorError::Invalid)?;
        if *digest != filters.digest() {
            return Err(CursorError::OtherFilters);
        }
        Ok(Position {
            occurred_at: Timestamp::from_micros(i64::from_be_bytes(*micros))
                .map_err(|_| CursorError::Invalid)?,
            bill_id: String::from_utf8(bill_id.to_vec()).map_err(|_| CursorError::Invalid)?,
            account: AccountId(u64::from_be_bytes(*account)),
        })
    }

    fn mac(&self, merchant: MerchantId, sealed: &[u8]) -> Hmac<Sha256> {
        #[expect(clippy::expect_used, reason = "HMAC takes a key of any length: RFC 2104 section 2")]
        let mut mac =
            Hmac::<Sha256>::new_from_slice(self.key.expose_secret()).expect("any key length is fine");
        mac.update(CONTEXT);
        mac.update(&merchant.0.to_be_bytes());
        mac.update(sealed);
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bills::Direction;

    const MERCHANT: MerchantId = MerchantId(7);

    fn cursors(key: u8) -> Cursors {
        Cursors::new(&SecretBox::new(Box::new([key; CURSOR_KEY_BYTES])))
    }

    fn filters() -> Filters {
        let (account, from) = (Some(AccountId(9)), Some(Timestamp::from_micros(1).unwrap()));
        Filters { pipeline: "orders".to_owned(), account, from, to: None, bill_type: None, direction: None }
    }

    fn position() -> Position {
        Position {
            occurred_at: "2026-11-22T18:20:00.123456Z".parse().unwrap(),
            bill_id: "orders.accounting.payee.1042".to_owned(),
            account: AccountId(9),
        }
    }

    #[test]
    fn a_cursor_keeps_the_place_to_the_microsecond() {
        let text = cursors(1).seal(MERCHANT, &filters(), &position());
        assert_eq!(cursors(1).open(MERCHANT, &filters(), &text), Ok(position()));
        assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')));
    }

    #[test]
    fn a_changed_cursor_is_refused_at_every_byte() {
        let text = cursors(1).seal(MERCHANT, &filters(), &position());
        let sealed = URL_SAFE_NO_PAD.decode(&text).unwrap();
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            let changed = URL_SAFE_NO_PAD.encode(changed);
            assert_eq!(
                cursors(1).open(MERCHANT, &filters(), &changed),
                Err(CursorError::Invalid),
                "byte {at}"
            );
        }
        for short in ["", "AAAA", &text[..text.len() - 4], "not base64!"] {
            assert_eq!(cursors(1).open(MERCHANT, &filters(), short), Err(CursorError::Invalid), "{short:?}");
        }
        assert_eq!(cursors(2).open(MERCHANT, &filters(), &text), Err(CursorError::Invalid), "another key");
        assert_eq!(
            cursors(1).open(MerchantId(8), &filters(), &text),
            Err(CursorError::Invalid),
            "another merchant"
        );
    }

    #[test]
    fn a_cursor_does_not_serve_other_filters() {
        let text = cursors(1).seal(MERCHANT, &filters(), &position());
        let moment = Some(Timestamp::from_micros(2).unwrap());
        let others = [
            Filters { pipeline: "movements".to_owned(), ..filters() },
            Filters { account: None, ..filters() },
            Filters { account: Some(AccountId(10)), ..filters() },
            Filters { from: moment, ..filters() },
            Filters { from: None, to: filters().from, ..filters() },
            Filters { bill_type: Some("collect".to_owned()), ..filters() },
            Filters { direction: Some(Direction::In), ..filters() },
        ];
        for other in others {
            assert_eq!(cursors(1).open(MERCHANT, &other, &text), Err(CursorError::OtherFilters), "{other:?}");
        }
    }
}
