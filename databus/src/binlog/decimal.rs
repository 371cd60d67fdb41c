//! DECIMAL's packed form to its decimal text, exactly.
//!
//! Format: <https://dev.mysql.com/doc/dev/mysql-server/latest/namespacebinary__log.html> (decimal2bin): nine digits in four bytes,
//! fewer in fewer; the first bit inverted; negative numbers with every bit inverted.

use super::bytes::{Bytes, DecodeError};

/// A number in its packed form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decimal<'a> {
    packed: &'a [u8],
    whole: usize,
    scale: usize,
}

impl<'a> Decimal<'a> {
    /// Reads a DECIMAL(precision, scale).
    #[inline]
    pub(super) fn read(precision: u8, scale: u8, cells: &mut Bytes<'a>) -> Result<Self, DecodeError> {
        let (scale, whole) = (usize::from(scale), usize::from(precision.saturating_sub(scale)));
        let len_of = |digits: usize| digits / 9 * 4 + leftover_bytes(digits % 9);
        Ok(Self { packed: cells.take(len_of(whole) + len_of(scale))?, whole, scale })
    }

    /// Appends the number as text: optional minus, digits without leading zeros (at least one), and `scale` digits after a point.
    pub fn write(self, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        let Self { packed, whole, scale } = self;
        // DECIMAL(65,30) is 30 bytes
        let mut buffer = [0u8; 32];
        let bytes = buffer
            .get_mut(..packed.len())
            .ok_or(DecodeError::Malformed("a DECIMAL of more than 65 digits"))?;
        bytes.copy_from_slice(packed);
        let negative = bytes.first().is_some_and(|first| first & 0x80 == 0);
        if negative {
            bytes.iter_mut().for_each(|byte| *byte = !*byte);
        }
        if let Some(first) = bytes.first_mut() {
            *first ^= 0x80;
        }
        let mut groups = Bytes(bytes);
        if negative && groups.0.iter().any(|byte| *byte != 0) {
            out.push(b'-');
        }
        let start = out.len();
        // two groups at a time fit into one number
        let (mut number, mut digits) = (read_group(&mut groups, whole % 9)?, whole % 9);
        for _ in 0..whole / 9 {
            if digits > 9 {
                put_digits(number, digits, start, out);
                (number, digits) = (0, 0);
            }
            number = number * 1_000_000_000 + read_group(&mut groups, 9)?;
            digits += 9;
        }
        put_digits(number, digits, start, out);
        if out.len() == start {
            out.push(b'0');
        }
        if scale > 0 {
            out.push(b'.');
            for _ in 0..scale / 9 {
                put_digits(read_group(&mut groups, 9)?, 9, 0, out);
            }
            put_digits(read_group(&mut groups, scale % 9)?, scale % 9, 0, out);
        }
        Ok(())
    }
}

/// The number of so many digits, at most 9, that comes next.
fn read_group(groups: &mut Bytes<'_>, digits: usize) -> Result<u64, DecodeError> {
    const LIMITS: [u64; 10] =
        [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000];
    let value = groups.uint_be(if digits == 9 { 4 } else { leftover_bytes(digits) })?;
    match LIMITS.get(digits) {
        Some(limit) if value < *limit => Ok(value),
        _ => Err(DecodeError::Malformed("a DECIMAL group of too many digits")),
    }
}

/// Appends so many digits, at most 18, with their leading zeros unless nothing was to show yet since `start`.
fn put_digits(value: u64, digits: usize, start: usize, out: &mut Vec<u8>) {
    const ZEROS: &[u8] = b"000000000000000000";
    let mut buffer = itoa::Buffer::new();
    let significant = if value == 0 { "" } else { buffer.format(value) };
    if out.len() > start {
        let missing = digits.saturating_sub(significant.len());
        out.extend_from_slice(ZEROS.get(..missing).unwrap_or_default());
    }
    out.extend_from_slice(significant.as_bytes());
}

/// Bytes that 0 to 8 leftover digits take.
fn leftover_bytes(digits: usize) -> usize {
    digits.div_ceil(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_decimals_become_their_text() {
        let check = |precision, scale, bytes: &[u8], text: &str| {
            let mut out = Vec::new();
            Decimal::read(precision, scale, &mut Bytes(bytes)).unwrap().write(&mut out).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), text);
        };
        // the manual's own example: 1234567890.1234 and its negative in DECIMAL(14,4)
        check(14, 4, &[0x81, 0x0d, 0xfb, 0x38, 0xd2, 0x04, 0xd2], "1234567890.1234");
        check(14, 4, &[0x7e, 0xf2, 0x04, 0xc7, 0x2d, 0xfb, 0x2d], "-1234567890.1234");
        check(4, 2, &[0x80, 0x00], "0.00");
        check(2, 2, &[0x80 | 29], "0.29");
        check(27, 0, &[0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 5], "1000000000000000005");
        check(20, 0, &[0x80 | 12, 0, 0, 0, 3, 0, 0, 0, 4], "12000000003000000004");
        check(3, 0, &[0x80, 0x07], "7");
        check(3, 0, &[0x7f, 0xff], "0");
        check(20, 0, &[0x80, 0, 0, 0, 1, 0, 0, 0, 2], "1000000002");
        check(20, 0, &[0x80 | 7, 0, 0, 0, 0, 0, 0, 0, 0], "7000000000000000000");
        check(18, 18, &[0x80, 0, 0, 0, 0x3b, 0x9a, 0xc9, 0xff], "0.000000000999999999");
        check(12, 11, &[0x80, 0, 0, 0, 0, 5], "0.00000000005");
        assert_eq!(Decimal::read(14, 4, &mut Bytes(&[0x81])), Err(DecodeError::Truncated));
    }
}
