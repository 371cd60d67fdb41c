//! One cell's bytes to JSON, written straight into the record being built. What the JSON looks like is `render`'s.

use super::{
    bytes::{Bytes, DecodeError},
    column::{ColumnKind, Told},
    compressed, decimal,
    table_map::Column,
};
use crate::render::{self, Civil, Clock};
use std::{io::Write, net::Ipv4Addr};

/// Reads one cell that is not NULL and appends its JSON value to `out`. After an error, which names the column, `out` may end in part
/// of a value.
pub(super) fn write_json(
    column: &Column,
    cells: &mut Bytes<'_>,
    out: &mut Vec<u8>,
) -> Result<(), DecodeError> {
    write_value(column, cells, out).map_err(|error| match error {
        DecodeError::Unsupported(reason) => {
            DecodeError::Unsupported(format!("column `{}`: {reason}", column.name))
        }
        other => other,
    })
}

fn write_value(column: &Column, cells: &mut Bytes<'_>, out: &mut Vec<u8>) -> Result<(), DecodeError> {
    match &column.kind {
        ColumnKind::Int { width, unsigned } => {
            let raw = cells.uint(usize::from(*width))?;
            if *unsigned {
                render::unsigned(out, raw);
            } else {
                render::integer(out, sign_extend(raw, *width));
            }
        }
        ColumnKind::Year => match cells.u8()? {
            0 => render::integer(out, 0),
            year => render::integer(out, 1900 + i64::from(year)),
        },
        ColumnKind::Decimal { precision, scale } => {
            out.push(b'"');
            decimal::write(*precision, *scale, cells, out)?;
            out.push(b'"');
        }
        ColumnKind::Float => render::float(out, f32::from_le_bytes(cells.array()?))?,
        ColumnKind::Double => render::double(out, f64::from_le_bytes(cells.array()?))?,
        ColumnKind::Bit { width } => {
            render::bits(out, cells.uint_be(usize::from(*width).div_ceil(8))?, *width);
        }
        ColumnKind::Date => {
            let packed = cells.uint(3)? as u32;
            let at = Civil { year: packed >> 9, month: packed >> 5 & 15, day: packed & 31 };
            render::date(out, at, column.nullable)?;
        }
        ColumnKind::Time { fraction } => render::time(out, time_micros(cells, *fraction)?),
        ColumnKind::DateTime { fraction } => {
            // 40 bits, big-endian: 1 sign (always set), 17 year*13+month, 5 day, 5 hour, 6 minute, 6 second
            let packed = cells.uint_be(5)? & 0x7f_ffff_ffff;
            let micros = fraction_micros(cells, *fraction)?;
            let (year_month, rest) = ((packed >> 22) as u32, packed as u32 & 0x3f_ffff);
            let at = Civil { year: year_month / 13, month: year_month % 13, day: rest >> 17 };
            let clock = Clock { hour: rest >> 12 & 31, minute: rest >> 6 & 63, second: rest & 63, micros };
            render::datetime(out, at, clock, *fraction, column.nullable)?;
        }
        ColumnKind::Timestamp { fraction } => {
            let seconds = cells.uint_be(4)? as u32;
            let micros = fraction_micros(cells, *fraction)?;
            render::timestamp(out, seconds, micros, *fraction, column.nullable)?;
        }
        ColumnKind::Chars { length_bytes, charset } => {
            charset.put_json(prefixed(cells, *length_bytes)?, out)?;
        }
        ColumnKind::Fixed { size, told } => write_fixed(cells, *size, *told, out)?,
        ColumnKind::Compressed { length_bytes, charset } => {
            compressed::write(prefixed(cells, *length_bytes)?, *charset, out)?;
        }
        ColumnKind::Enum { width, values } => {
            let index = cells.uint(usize::from(*width))? as usize;
            // index 0 is the empty string that the server stores for a value it could not accept
            let json = match index.checked_sub(1) {
                None => b"\"\"",
                Some(at) => values
                    .get(at)
                    .map(Vec::as_slice)
                    .ok_or(DecodeError::Malformed("an ENUM index past its values"))?,
            };
            out.extend_from_slice(json);
        }
        ColumnKind::Set { width, values } => write_set(cells.uint(usize::from(*width))?, values, out)?,
        ColumnKind::Json { length_bytes } => super::json::write(prefixed(cells, *length_bytes)?, out)?,
        ColumnKind::Geometry { length_bytes, point } => {
            render::geometry(out, prefixed(cells, *length_bytes)?, *point)?;
        }
        ColumnKind::Vector { length_bytes } => render::vector(out, prefixed(cells, *length_bytes)?)?,
    }
    Ok(())
}

/// Bytes behind their length.
fn prefixed<'a>(cells: &mut Bytes<'a>, length_bytes: u8) -> Result<&'a [u8], DecodeError> {
    let len = cells.uint(usize::from(length_bytes))? as usize;
    cells.take(len)
}

/// BINARY(size), and the types of MariaDB that it logs as such. Their bytes lie in the order of their text.
fn write_fixed(
    cells: &mut Bytes<'_>,
    size: u16,
    told: Option<Told>,
    out: &mut Vec<u8>,
) -> Result<(), DecodeError> {
    let kept = prefixed(cells, if size > 255 { 2 } else { 1 })?;
    // 255 is the longest BINARY; the format has room for two bits more
    let mut padded = [0; 1024];
    let whole =
        padded.get_mut(..usize::from(size)).ok_or(DecodeError::Malformed("a BINARY column too long"))?;
    whole
        .get_mut(..kept.len())
        .ok_or(DecodeError::Malformed("a BINARY longer than its column"))?
        .copy_from_slice(kept);
    match told {
        Some(Told::Uuid) => put_uuid(whole, out),
        Some(Told::Inet6) => {
            let bytes: [u8; 16] = (&*whole).try_into().map_err(|_| DecodeError::Truncated)?;
            put_inet6(bytes, out)?;
        }
        Some(Told::Inet4) => {
            let bytes: [u8; 4] = (&*whole).try_into().map_err(|_| DecodeError::Truncated)?;
            write!(out, "\"{}\"", Ipv4Addr::from(bytes))
                .map_err(|_| DecodeError::Malformed("writing to memory failed"))?;
        }
        Some(Told::Vector) | None => render::binary(out, whole),
    }
    Ok(())
}

fn put_uuid(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or_default();
    out.push(b'"');
    for (at, byte) in bytes.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            out.push(b'-');
        }
        out.extend_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
    }
    out.push(b'"');
}

/// An address as MariaDB's SELECT shows it (`Inet6::to_string`): the longest run of zeros is `::`, the first of equals, and also one of
/// a single zero; an IPv4 address behind zeros alone or behind `ffff` is in its own form.
fn put_inet6(bytes: [u8; 16], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let failed = |_| DecodeError::Malformed("writing to memory failed");
    let mut words = [0_u16; 8];
    for (word, pair) in words.iter_mut().zip(bytes.as_chunks::<2>().0) {
        *word = u16::from_be_bytes(*pair);
    }
    let (mut gap, mut gap_len, mut run) = (words.len(), 0, 0);
    for (at, word) in words.iter().enumerate() {
        run = if *word == 0 { run + 1 } else { 0 };
        if run > gap_len {
            (gap, gap_len) = (at + 1 - run, run);
        }
    }
    let [.., a, b, c, d] = bytes;
    let ends_in_ipv4 = gap == 0 && (gap_len == 6 || (gap_len == 5 && words.get(5) == Some(&0xffff)));
    out.push(b'"');
    for (at, word) in words.iter().enumerate() {
        match at {
            at if at == gap => out.extend_from_slice(if at == 0 { b"::" } else { b":" }),
            at if at > gap && at < gap + gap_len => {}
            6 if ends_in_ipv4 => {
                write!(out, "{}", Ipv4Addr::new(a, b, c, d)).map_err(failed)?;
                break;
            }
            at => {
                write!(out, "{word:x}").map_err(failed)?;
                if at < 7 {
                    out.push(b':');
                }
            }
        }
    }
    out.push(b'"');
    Ok(())
}

fn write_set(bits: u64, values: &[Vec<u8>], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    out.push(b'"');
    let mut left = bits;
    while left != 0 {
        let value = values
            .get(left.trailing_zeros() as usize)
            .ok_or(DecodeError::Malformed("a SET bit past its values"))?;
        if left != bits {
            out.push(b',');
        }
        out.extend_from_slice(value);
        left &= left - 1;
    }
    out.push(b'"');
    Ok(())
}

fn sign_extend(raw: u64, width: u8) -> i64 {
    let shift = 64 - 8 * u32::from(width.clamp(1, 8));
    ((raw << shift) as i64) >> shift
}

/// Bytes of so many digits of a second's fraction, and the microseconds that each unit stands for.
fn fraction_form(digits: u8) -> (usize, u32) {
    match digits {
        0 => (0, 0),
        1 | 2 => (1, 10_000),
        3 | 4 => (2, 100),
        _ => (3, 1),
    }
}

/// Big-endian hundredths, ten-thousandths or millionths, as many bytes as the digits need.
fn fraction_micros(cells: &mut Bytes<'_>, digits: u8) -> Result<u32, DecodeError> {
    let (bytes, unit) = fraction_form(digits);
    let micros = cells.uint_be(bytes)? as u32 * unit;
    if micros < 1_000_000 {
        Ok(micros)
    } else {
        Err(DecodeError::Malformed("a fraction of a second of a second or more"))
    }
}

/// TIME2: one big-endian number of 1 sign (set: not negative), 1 unused, 10 hour, 6 minute, 6 second and the fraction's bits, kept with
/// an offset so that negative times sort below others.
fn time_micros(cells: &mut Bytes<'_>, digits: u8) -> Result<i64, DecodeError> {
    let (bytes, unit) = fraction_form(digits);
    let bits = 8 * bytes as u32;
    let packed = cells.uint_be(3 + bytes)? as i64 - (0x80_0000 << bits);
    let size = packed.unsigned_abs();
    let (clock, fraction) = (size >> bits, (size & ((1 << bits) - 1)) as i64 * i64::from(unit));
    let (hour, minute, second) = (clock >> 12 & 0x3ff, clock >> 6 & 63, clock & 63);
    if minute > 59 || second > 59 || fraction > 999_999 {
        return Err(DecodeError::Malformed("a time that no clock shows"));
    }
    let micros = (hour * 3_600 + minute * 60 + second) as i64 * 1_000_000 + fraction;
    Ok(if packed < 0 { -micros } else { micros })
}

#[cfg(test)]
mod tests;
