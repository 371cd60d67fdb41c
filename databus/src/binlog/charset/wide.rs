//! Charsets of two and four bytes a character.

use super::{no_text, put_char};
use crate::binlog::bytes::DecodeError;

/// utf16, utf16le and ucs2 (which never has surrogates, so it is the same).
pub(super) fn put_utf16(
    bytes: &[u8],
    unit: fn([u8; 2]) -> u16,
    out: &mut Vec<u8>,
) -> Result<(), DecodeError> {
    let (units, rest) = bytes.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(no_text(bytes));
    }
    char::decode_utf16(units.iter().map(|pair| unit(*pair))).try_for_each(|char| {
        put_char(char.map_err(|_| no_text(bytes))?, out);
        Ok(())
    })
}

/// utf32.
pub(super) fn put_utf32(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let (units, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() {
        return Err(no_text(bytes));
    }
    units.iter().try_for_each(|unit| {
        put_char(char::from_u32(u32::from_be_bytes(*unit)).ok_or_else(|| no_text(bytes))?, out);
        Ok(())
    })
}
