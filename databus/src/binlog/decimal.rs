//! DECIMAL's packed form to its decimal text, exactly.
//!
//! Format: <https://dev.mysql.com/doc/dev/mysql-server/latest/namespacebinary__log.html> (decimal2bin): nine digits in four bytes,
//! fewer in fewer; the first bit inverted; negative numbers with every bit inverted.

use super::bytes::{Bytes, DecodeError};

/// Bytes that 0 to 8 leftover digits take.
const LEFTOVER_BYTES: [usize; 9] = [0, 1, 1, 2, 2, 3, 3, 4, 4];

/// Appends the number as text: optional minus, digits without leading zeros (at least one), and `scale` digits after a point.
pub(super) fn write(
    precision: u8,
    scale: u8,
    cells: &mut Bytes<'_>,
    out: &mut Vec<u8>,
) -> Result<(), DecodeError> {
    let (scale, whole) = (usize::from(scale), usize::from(precision.saturating_sub(scale)));
    let leftover = |digits: usize| LEFTOVER_BYTES.get(digits % 9).copied().unwrap_or_default();
    let len = whole / 9 * 4 + leftover(whole) + scale / 9 * 4 + leftover(scale);
    let packed = cells.take(len)?;
    // DECIMAL(65,30) is 30 bytes
    let mut buffer = [0u8; 32];
    let bytes = buffer.get_mut(..len).ok_or(DecodeError::Malformed("a DECIMAL of more than 65 digits"))?;
    bytes.copy_from_slice(packed);
    let negative = bytes.first().is_some_and(|first| first & 0x80 == 0);
    if negative {
        bytes.iter_mut().for_each(|byte| *byte = !*byte);
    }
    if let Some(first) = bytes.first_mut() {
        *first ^= 0x80;
    }
    let mut groups = Bytes(bytes);

    // the digits of one group, most significant first
    let mut digits = [0u8; 72];
    let mut count = 0;
    let mut group = |groups: &mut Bytes<'_>,
                     digits_in_group: usize,
                     bytes: usize|
     -> Result<(), DecodeError> {
        let mut value = groups.uint_be(bytes)?;
        let slot = digits
            .get_mut(count..count + digits_in_group)
            .ok_or(DecodeError::Malformed("a DECIMAL of more than 65 digits"))?;
        for digit in slot.iter_mut().rev() {
            *digit = b'0' + (value % 10) as u8;
            value /= 10;
        }
        count += digits_in_group;
        if value == 0 { Ok(()) } else { Err(DecodeError::Malformed("a DECIMAL group of too many digits")) }
    };
    group(&mut groups, whole % 9, leftover(whole))?;
    for _ in 0..whole / 9 {
        group(&mut groups, 9, 4)?;
    }
    for _ in 0..scale / 9 {
        group(&mut groups, 9, 4)?;
    }
    group(&mut groups, scale % 9, leftover(scale))?;

    let (whole_digits, rest) = digits.split_at_checked(whole).ok_or(DecodeError::Truncated)?;
    let fraction = rest.get(..scale).ok_or(DecodeError::Truncated)?;
    let zero = digits.iter().take(whole + scale).all(|digit| *digit == b'0');
    if negative && !zero {
        out.push(b'-');
    }
    let first = whole_digits.iter().position(|digit| *digit != b'0').unwrap_or(whole.saturating_sub(1));
    match whole_digits.get(first..) {
        Some(significant) if !significant.is_empty() => out.extend_from_slice(significant),
        _ => out.push(b'0'),
    }
    if scale > 0 {
        out.push(b'.');
        out.extend_from_slice(fraction);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_decimals_become_their_text() {
        let check = |precision, scale, bytes: &[u8], text: &str| {
            let mut out = Vec::new();
            write(precision, scale, &mut Bytes(bytes), &mut out).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), text);
        };
        // the manual's own example: 1234567890.1234 and its negative in DECIMAL(14,4)
        check(14, 4, &[0x81, 0x0d, 0xfb, 0x38, 0xd2, 0x04, 0xd2], "1234567890.1234");
        check(14, 4, &[0x7e, 0xf2, 0x04, 0xc7, 0x2d, 0xfb, 0x2d], "-1234567890.1234");
        check(4, 2, &[0x80, 0x00], "0.00");
        check(2, 2, &[0x80 | 29], "0.29");
        check(3, 0, &[0x80, 0x07], "7");
        assert!(write(14, 4, &mut Bytes(&[0x81]), &mut Vec::new()).is_err());
    }
}
