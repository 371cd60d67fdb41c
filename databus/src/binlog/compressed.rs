//! MariaDB's COMPRESSED columns (`sql/field_comp.cc`): a header byte, the length before compression (big-endian, as many bytes as the
//! header's low three bits say), then zlib's stream, without its own header if bit 3 is set. Header 0: the bytes follow as they are.

use super::{
    bytes::{Bytes, DecodeError},
    charset::Charset,
};
use flate2::{Decompress, FlushDecompress, Status};
use std::cell::RefCell;

/// The longest value that a column can hold.
const LONGEST: usize = u32::MAX as usize;
/// How far one deflate block can grow: 1032 bytes from each byte of input. A header that announces more is corrupt.
const MOST_GROWTH: usize = 1_032;

/// Appends a compressed column's value as JSON.
pub(super) fn write(bytes: &[u8], charset: Charset, out: &mut Vec<u8>) -> Result<(), DecodeError> {
    thread_local! {
        /// Reused from value to value.
        static PLAIN: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    }
    let mut rest = Bytes(bytes);
    if rest.is_empty() {
        return charset.put_json(b"", out);
    }
    let header = rest.u8()?;
    if header == 0 {
        return charset.put_json(rest.0, out);
    }
    if header >> 4 != 8 {
        return Err(DecodeError::Unsupported(format!("a COMPRESSED column of method {}", header >> 4)));
    }
    let len = rest.uint_be(usize::from(header & 7))? as usize;
    if len > LONGEST.min(rest.0.len().saturating_mul(MOST_GROWTH).saturating_add(64)) {
        return Err(DecodeError::Malformed(
            "a COMPRESSED column that announces more than its bytes can hold",
        ));
    }
    PLAIN.with_borrow_mut(|plain| {
        plain.clear();
        plain.resize(len, 0);
        let status = Decompress::new(header & 8 == 0).decompress(rest.0, plain, FlushDecompress::Finish);
        match status {
            Ok(Status::StreamEnd) => charset.put_json(plain, out),
            _ => Err(DecodeError::Malformed("a COMPRESSED column that does not decompress")),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(bytes: &[u8], charset: Charset, json: &str) {
        let mut out = Vec::new();
        write(bytes, charset, &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), json);
    }

    #[test]
    fn what_mariadb_wrote_comes_back() {
        // MariaDB 10.11: '', 'short', REPEAT('q', 100) and, with column_compression_zlib_wrap=ON, REPEAT('w', 200)
        check(&[], Charset::Utf8, "\"\"");
        check(b"\0short", Charset::Utf8, "\"short\"");
        check(
            &[0x89, 0x64, 0x2b, 0x2c, 0xa4, 0x3d, 0, 0],
            Charset::Utf8,
            &format!("\"{}\"", "q".repeat(100)),
        );
        let wrapped = [0x81, 0xc8, 0x78, 0x9c, 0x2b, 0x2f, 0x1f, 0x1e, 0, 0, 0x82, 0x40, 0x5c, 0xf9];
        check(&wrapped, Charset::Utf8, &format!("\"{}\"", "w".repeat(200)));
    }

    #[test]
    fn damage_is_an_error() {
        for bytes in [&[0x89][..], &[0x8c, 0xff, 0xff, 0xff, 0xff, 0], &[0x89, 0x65, 0x2b], &[0x19, 1, 0]] {
            assert!(write(bytes, Charset::Utf8, &mut Vec::new()).is_err(), "{bytes:02x?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_json_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = write(&bytes, Charset::Binary, &mut Vec::new());
        }
    }
}
