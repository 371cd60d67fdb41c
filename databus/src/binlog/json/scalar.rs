//! JSON's scalars as MySQL prints them.

use crate::binlog::{
    bytes::{Bytes, DecodeError},
    column::types,
    decimal::Decimal,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use std::io::Write;

/// Appends a value of the kinds 4 to 15.
pub(super) fn put(kind: u8, bytes: &[u8], text: &mut Vec<u8>) -> Result<(), DecodeError> {
    let mut bytes = Bytes(bytes);
    match kind {
        4 => text.extend_from_slice(match bytes.u8()? {
            0 => b"null",
            1 => b"true",
            2 => b"false",
            _ => return Err(DecodeError::Malformed("a JSON literal that is none")),
        }),
        5 => put_integer(i64::from(i16::from_le_bytes(bytes.array()?)), text),
        6 => put_unsigned(u64::from(u16::from_le_bytes(bytes.array()?)), text),
        7 => put_integer(i64::from(i32::from_le_bytes(bytes.array()?)), text),
        8 => put_unsigned(u64::from(u32::from_le_bytes(bytes.array()?)), text),
        9 => put_integer(i64::from_le_bytes(bytes.array()?), text),
        10 => put_unsigned(u64::from_le_bytes(bytes.array()?), text),
        11 => put_double(f64::from_le_bytes(bytes.array()?), text)?,
        12 => put_quoted(variable(&mut bytes)?, text),
        15 => {
            let column_type = bytes.u8()?;
            put_opaque(column_type, variable(&mut bytes)?, text)?;
        }
        _ => return Err(DecodeError::Unsupported(format!("a JSON value of kind {kind}"))),
    }
    Ok(())
}

/// Bytes behind a length of 7 bits a byte, low ones first; the high bit says that another follows.
fn variable<'a>(bytes: &mut Bytes<'a>) -> Result<&'a [u8], DecodeError> {
    let mut len = 0_usize;
    for shift in (0..35).step_by(7) {
        let byte = bytes.u8()?;
        len |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return bytes.take(len);
        }
    }
    Err(DecodeError::Malformed("a JSON length of more than 5 bytes"))
}

fn put_integer(number: i64, text: &mut Vec<u8>) {
    text.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

fn put_unsigned(number: u64, text: &mut Vec<u8>) {
    text.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// A string or key. MySQL escapes what JSON demands and nothing else.
pub(super) fn put_quoted(bytes: &[u8], text: &mut Vec<u8>) {
    text.push(b'"');
    for byte in bytes {
        match byte {
            b'"' => text.extend_from_slice(b"\\\""),
            b'\\' => text.extend_from_slice(b"\\\\"),
            0x08 => text.extend_from_slice(b"\\b"),
            0x09 => text.extend_from_slice(b"\\t"),
            0x0a => text.extend_from_slice(b"\\n"),
            0x0c => text.extend_from_slice(b"\\f"),
            0x0d => text.extend_from_slice(b"\\r"),
            0..=0x1f => {
                let hex = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
                text.extend_from_slice(&[b'\\', b'u', b'0', b'0', hex(byte >> 4), hex(byte & 15)]);
            }
            _ => text.push(*byte),
        }
    }
    text.push(b'"');
}

/// As `my_gcvt` prints it: the shortest digits that read back, plain from 1e-15 to 1e15 and where digits are not only zeros before the
/// point, else with an exponent; a whole number keeps `.0`.
fn put_double(number: f64, text: &mut Vec<u8>) -> Result<(), DecodeError> {
    let failed = |_| DecodeError::Malformed("a JSON number that cannot be written");
    if !number.is_finite() {
        return Err(DecodeError::Malformed("a JSON number that is not finite"));
    }
    if number == 0.0 {
        text.extend_from_slice(if number.is_sign_negative() { b"-0.0" } else { b"0.0" });
        return Ok(());
    }
    // of two texts equally near, this and the server take the one that ends in an even digit
    let mut buffer = ryu::Buffer::new();
    let form = buffer.format_finite(number.abs());
    let (mantissa, exponent) = form.split_once('e').unwrap_or((form, "0"));
    let (before, after) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut digits = [0_u8; 32];
    let mut count = 0;
    for (slot, digit) in digits.iter_mut().zip(before.bytes().chain(after.bytes())) {
        *slot = digit;
        count += 1;
    }
    let digits = digits.get(..count).unwrap_or_default();
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    let trailing = digits.iter().rev().take_while(|digit| **digit == b'0').count();
    let digits = digits.get(zeros..count.saturating_sub(trailing)).unwrap_or_default();
    let count = digits.len();
    // where the point stands, counted from the first digit
    let point = before.len() as i32 - zeros as i32 + exponent.parse::<i32>().unwrap_or_default();
    let exponent = point - 1;
    if number < 0.0 {
        text.push(b'-');
    }
    let whole = usize::try_from(point).unwrap_or_default();
    if point >= -14 && (point <= 15 || count > whole) {
        if point <= 0 {
            text.extend_from_slice(b"0.");
            text.resize(text.len() + point.unsigned_abs() as usize, b'0');
            text.extend_from_slice(digits);
        } else {
            let (before, after) = digits.split_at(whole.min(count));
            text.extend_from_slice(before);
            text.resize(text.len() + whole.saturating_sub(count), b'0');
            text.push(b'.');
            text.extend_from_slice(if after.is_empty() { b"0" } else { after });
        }
    } else {
        let (first, more) = digits.split_at(1.min(count));
        text.extend_from_slice(first);
        if !more.is_empty() {
            text.push(b'.');
            text.extend_from_slice(more);
        }
        write!(text, "e{exponent}").map_err(failed)?;
    }
    Ok(())
}

/// Values of SQL's own types within JSON.
fn put_opaque(column_type: u8, bytes: &[u8], text: &mut Vec<u8>) -> Result<(), DecodeError> {
    let failed = |_| DecodeError::Malformed("a JSON value that cannot be written");
    match column_type {
        types::NEWDECIMAL => {
            let mut bytes = Bytes(bytes);
            let (precision, scale) = (bytes.u8()?, bytes.u8()?);
            if precision == 0 || precision > 65 || scale > precision {
                return Err(DecodeError::Malformed("a DECIMAL in JSON that does not exist"));
            }
            Decimal::read(precision, scale, &mut bytes)?.write(text)
        }
        // DATE, DATETIME, TIMESTAMP: year*13+month, day, hour, minute, second, microseconds, as one number
        types::DATE | 12 | 7 => {
            let packed = i64::from_le_bytes(Bytes(bytes).array()?);
            let (ymd, hms) = (packed >> 41, packed >> 24 & 0x1_ffff);
            let (year, month, day) = ((ymd >> 5) / 13, (ymd >> 5) % 13, ymd & 31);
            let written = if column_type == types::DATE {
                write!(text, "\"{year:04}-{month:02}-{day:02}\"")
            } else {
                let (hour, minute, second, micros) = (hms >> 12, hms >> 6 & 63, hms & 63, packed & 0xff_ffff);
                write!(
                    text,
                    "\"{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{micros:06}\""
                )
            };
            written.map_err(failed)
        }
        // TIME
        11 => {
            let packed = i64::from_le_bytes(Bytes(bytes).array()?);
            let sign = if packed < 0 { "-" } else { "" };
            let size = packed.unsigned_abs();
            let (hms, micros) = (size >> 24, size & 0xff_ffff);
            let (hour, minute, second) = (hms >> 12 & 0x3ff, hms >> 6 & 63, hms & 63);
            write!(text, "\"{sign}{hour:02}:{minute:02}:{second:02}.{micros:06}\"").map_err(failed)
        }
        other => {
            write!(text, "\"base64:type{other}:").map_err(failed)?;
            // the server breaks its lines after 76 characters, and JSON escapes the break
            for (at, line) in bytes.chunks(57).enumerate() {
                if at > 0 {
                    text.extend_from_slice(b"\\n");
                }
                let start = text.len();
                text.resize(start + line.len().div_ceil(3) * 4, 0);
                let fits = text.get_mut(start..).map(|target| STANDARD.encode_slice(line, target));
                debug_assert!(matches!(fits, Some(Ok(_))), "the target is as long as base64 needs");
            }
            text.push(b'"');
            Ok(())
        }
    }
}
