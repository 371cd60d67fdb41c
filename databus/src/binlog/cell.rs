//! One cell's bytes to its value, without a copy. What becomes of it is the caller's; JSON is [`Value::write_json`].

use super::{
    bytes::{Bytes, DecodeError},
    column::ColumnKind,
    decimal::Decimal,
    table_map::Column,
    value::Value,
};
use crate::render::{Civil, Clock};

/// Reads one cell that is not NULL.
// always: the value then lives in registers on its way to JSON, and a row costs a sixth less
#[inline(always)]
pub(super) fn decode<'a>(column: &'a Column, cells: &mut Bytes<'a>) -> Result<Value<'a>, DecodeError> {
    Ok(match &column.kind {
        ColumnKind::Int { width, unsigned } => {
            let raw = cells.uint(usize::from(*width))?;
            if *unsigned { Value::Unsigned(raw) } else { Value::Integer(sign_extend(raw, *width)) }
        }
        ColumnKind::Year => Value::Integer(match cells.u8()? {
            0 => 0,
            year => 1900 + i64::from(year),
        }),
        ColumnKind::Decimal { precision, scale } => Value::Decimal(Decimal::read(*precision, *scale, cells)?),
        ColumnKind::Float => Value::Float(f32::from_le_bytes(cells.array()?)),
        ColumnKind::Double => Value::Double(f64::from_le_bytes(cells.array()?)),
        ColumnKind::Bit { width } => {
            Value::Bits { bits: cells.uint_be(usize::from(*width).div_ceil(8))?, width: *width }
        }
        ColumnKind::Date => {
            let packed = cells.uint(3)? as u32;
            Value::Date(Civil { year: packed >> 9, month: packed >> 5 & 15, day: packed & 31 })
        }
        ColumnKind::Time { fraction } => Value::Time(time_micros(cells, *fraction)?),
        ColumnKind::DateTime { fraction } => {
            // 40 bits, big-endian: 1 sign (always set), 17 year*13+month, 5 day, 5 hour, 6 minute, 6 second
            let packed = cells.uint_be(5)? & 0x7f_ffff_ffff;
            let micros = fraction_micros(cells, *fraction)?;
            let (year_month, rest) = ((packed >> 22) as u32, packed as u32 & 0x3f_ffff);
            let date = Civil { year: year_month / 13, month: year_month % 13, day: rest >> 17 };
            let clock = Clock { hour: rest >> 12 & 31, minute: rest >> 6 & 63, second: rest & 63, micros };
            Value::DateTime { date, clock, digits: *fraction }
        }
        ColumnKind::Timestamp { fraction } => {
            let seconds = cells.uint_be(4)? as u32;
            Value::Timestamp { seconds, micros: fraction_micros(cells, *fraction)?, digits: *fraction }
        }
        ColumnKind::Chars { length_bytes, charset } => {
            Value::Text { bytes: prefixed(cells, *length_bytes)?, charset: *charset }
        }
        ColumnKind::Fixed { size, told } => Value::Fixed {
            kept: prefixed(cells, if *size > 255 { 2 } else { 1 })?,
            size: usize::from(*size),
            told: *told,
        },
        ColumnKind::Compressed { length_bytes, charset } => {
            Value::Compressed { bytes: prefixed(cells, *length_bytes)?, charset: *charset }
        }
        ColumnKind::Enum { width, values } => {
            let index = cells.uint(usize::from(*width))? as usize;
            // index 0 is the empty string that the server stores for a value it could not accept
            Value::Enum(match index.checked_sub(1) {
                None => b"\"\"",
                Some(at) => values
                    .get(at)
                    .map(Vec::as_slice)
                    .ok_or(DecodeError::Malformed("an ENUM index past its values"))?,
            })
        }
        ColumnKind::Set { width, values } => Value::Set { bits: cells.uint(usize::from(*width))?, values },
        ColumnKind::Json { length_bytes } => Value::Json(prefixed(cells, *length_bytes)?),
        ColumnKind::Geometry { length_bytes, point } => {
            Value::Geometry { bytes: prefixed(cells, *length_bytes)?, point: *point }
        }
        ColumnKind::Vector { length_bytes } => Value::Vector(prefixed(cells, *length_bytes)?),
    })
}

/// Bytes behind their length.
#[inline(always)]
fn prefixed<'a>(cells: &mut Bytes<'a>, length_bytes: u8) -> Result<&'a [u8], DecodeError> {
    let len = cells.uint(usize::from(length_bytes))? as usize;
    cells.take(len)
}

#[inline(always)]
fn sign_extend(raw: u64, width: u8) -> i64 {
    let shift = 64 - 8 * u32::from(width.clamp(1, 8));
    ((raw << shift) as i64) >> shift
}

/// Bytes of so many digits of a second's fraction, and the microseconds that each unit stands for.
#[inline(always)]
fn fraction_form(digits: u8) -> (usize, u32) {
    match digits {
        0 => (0, 0),
        1 | 2 => (1, 10_000),
        3 | 4 => (2, 100),
        _ => (3, 1),
    }
}

/// Big-endian hundredths, ten-thousandths or millionths, as many bytes as the digits need.
#[inline(always)]
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
