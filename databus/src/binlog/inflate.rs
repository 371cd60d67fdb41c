//! What MariaDB compresses with `log_bin_compress=ON`: the text of statements and the images of rows events, each by itself.
//!
//! Format: a byte `1aaa_0lll` (`aaa` the algorithm, 0 is zlib; `lll` how many bytes the length has), the plain length in big-endian
//! order, a zlib stream: `binlog_buf_compress` in <https://github.com/MariaDB/server/blob/10.11/sql/log_event.cc>.

use super::{
    bytes::{Bytes, DecodeError},
    rows,
};
use std::io::Read;

/// Longest plain content: what `max_allowed_packet` can be at most (1 GiB), so no event of a server is longer.
const LONGEST: usize = 1 << 30;
/// deflate makes nothing smaller than this share: a length beyond it is a lie, and is not believed with memory.
const BEST_RATIO: usize = 1032;

/// Appends the plain content of `packed` to `out`. Takes as much memory as that content, which the stream cannot exceed.
pub fn inflate(mut packed: Bytes<'_>, out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let head = packed.u8()?;
    let length_bytes = usize::from(head & 0x07);
    if head & 0x80 == 0 || !(1..=4).contains(&length_bytes) {
        return Err(DecodeError::Malformed("compressed content without its mark"));
    }
    if head >> 4 & 0x07 != 0 {
        return Err(DecodeError::Unsupported("content is compressed in another way than by zlib".to_owned()));
    }
    let length = packed.uint_be(length_bytes)? as usize;
    if length > LONGEST || length > packed.0.len().saturating_mul(BEST_RATIO) {
        return Err(DecodeError::Malformed("compressed content announces more than it can hold"));
    }
    let start = out.len();
    out.reserve_exact(length);
    // one byte more than announced would show that the announcement is wrong
    let mut plain = flate2::read::ZlibDecoder::new(packed.0).take(length as u64 + 1);
    plain.read_to_end(out).map_err(|_| DecodeError::Malformed("compressed content that zlib cannot read"))?;
    if out.len() - start != length {
        return Err(DecodeError::Malformed("compressed content has another length than it announces"));
    }
    Ok(())
}

/// Writes the plain form of a compressed rows event's body to `out`. `extra` and `pairs` as in [`rows::Images::parse`].
pub fn inflate_rows(body: Bytes<'_>, extra: bool, pairs: bool, out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let mut rest = body;
    rows::parse_table_id(&mut rest)?;
    if extra {
        let len = rest.uint(2)? as usize;
        rest.take(len.checked_sub(2).ok_or(DecodeError::Truncated)?)?;
    }
    let columns = rest.lenenc_len()?;
    for _ in 0..=usize::from(pairs) {
        rest.take(columns.div_ceil(8))?;
    }
    out.clear();
    let head = body.0.len() - rest.0.len();
    out.extend_from_slice(body.0.get(..head).unwrap_or_default());
    inflate(rest, out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    /// As the server writes it.
    pub(crate) fn deflate(plain: &[u8]) -> Vec<u8> {
        let mut packed = vec![0x84];
        packed.extend((plain.len() as u32).to_be_bytes());
        let mut encoder = flate2::write::ZlibEncoder::new(packed, flate2::Compression::default());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    proptest! {
        #[test]
        fn what_was_compressed_comes_back(plain in proptest::collection::vec(any::<u8>(), 0..999)) {
            let mut out = vec![7];
            inflate(Bytes(&deflate(&plain)), &mut out).unwrap();
            prop_assert_eq!(&out[1..], plain);
        }

        #[test]
        fn any_bytes_are_content_or_an_error_and_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut out = Vec::new();
            let _ = inflate(Bytes(&bytes), &mut out);
            let _ = inflate_rows(Bytes(&bytes), true, true, &mut out);
        }
    }

    #[test]
    fn a_length_that_lies_is_not_believed() {
        let honest = deflate(b"abc");
        for (at, byte) in [(0, 0x04), (0, 0x94), (1, 0x3f), (4, 2), (4, 4)] {
            let mut lying = honest.clone();
            lying[at] = byte;
            assert!(inflate(Bytes(&lying), &mut Vec::new()).is_err(), "{at}");
        }
        // a little that unfolds to very much stops at what it announced
        let mut bomb = deflate(&[0; 1 << 20]);
        bomb[1..5].copy_from_slice(&9u32.to_be_bytes());
        let mut out = Vec::new();
        assert!(inflate(Bytes(&bomb), &mut out).is_err());
        assert!(out.len() <= 10);
    }
}
