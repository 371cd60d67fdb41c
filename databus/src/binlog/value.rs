//! A cell's value, and its JSON. What the JSON looks like is `render`'s.

use super::{
    bytes::DecodeError, charset::Charset, column::Told, compressed, decimal::Decimal, table_map::Column,
};
use crate::render::{self, Civil, Clock};
use std::{io::Write, net::Ipv4Addr};

/// A value that is not NULL, as the binlog has it. Texts and documents are bytes that nothing has looked at yet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// TINYINT to BIGINT, YEAR.
    Integer(i64),
    /// TINYINT UNSIGNED to BIGINT UNSIGNED.
    Unsigned(u64),
    /// DECIMAL.
    Decimal(Decimal<'a>),
    /// FLOAT.
    Float(f32),
    /// DOUBLE.
    Double(f64),
    /// BIT(width).
    Bits {
        /// Its bits; the column's first is the highest.
        bits: u64,
        /// How many.
        width: u8,
    },
    /// DATE.
    Date(Civil),
    /// TIME, in signed microseconds.
    Time(i64),
    /// DATETIME(digits), in the column's own clock.
    DateTime {
        /// Its day.
        date: Civil,
        /// Its time of day.
        clock: Clock,
        /// Digits of a second's fraction.
        digits: u8,
    },
    /// TIMESTAMP(digits), since 1970-01-01 in UTC.
    Timestamp {
        /// Whole seconds.
        seconds: u32,
        /// And so much more.
        micros: u32,
        /// Digits of a second's fraction.
        digits: u8,
    },
    /// CHAR, VARCHAR, TEXT; with the charset `binary` VARBINARY and BLOB.
    Text {
        /// In the column's charset.
        bytes: &'a [u8],
        /// Which that is.
        charset: Charset,
    },
    /// BINARY(size), and types of MariaDB that it logs as such.
    Fixed {
        /// Without trailing zeros.
        kept: &'a [u8],
        /// Bytes with them.
        size: usize,
        /// The type that `information_schema` names.
        told: Option<Told>,
    },
    /// A COMPRESSED column of MariaDB.
    Compressed {
        /// As it is stored.
        bytes: &'a [u8],
        /// Of what it is when plain.
        charset: Charset,
    },
    /// ENUM: the member's JSON string.
    Enum(&'a [u8]),
    /// SET: one bit for each member.
    Set {
        /// Those that are in it.
        bits: u64,
        /// All members' texts, escaped for JSON, without quotes.
        values: &'a [Vec<u8>],
    },
    /// JSON in MySQL's binary form.
    Json(&'a [u8]),
    /// A geometry: its SRID and WKB.
    Geometry {
        /// As the server keeps it.
        bytes: &'a [u8],
        /// Whether the column is a POINT.
        point: bool,
    },
    /// VECTOR: 32-bit numbers.
    Vector(&'a [u8]),
}

impl Value<'_> {
    /// Appends it as JSON to `out`. After an error, which names the column, `out` may end in part of a value.
    #[inline(always)]
    pub fn write_json(&self, column: &Column, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        self.write(column.nullable, out).map_err(|error| column.blame(error))
    }

    #[inline(always)]
    fn write(&self, nullable: bool, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        match *self {
            Self::Integer(number) => render::integer(out, number),
            Self::Unsigned(number) => render::unsigned(out, number),
            Self::Decimal(decimal) => {
                out.push(b'"');
                decimal.write(out)?;
                out.push(b'"');
            }
            Self::Float(number) => render::float(out, number)?,
            Self::Double(number) => render::double(out, number)?,
            Self::Bits { bits, width } => render::bits(out, bits, width),
            Self::Date(date) => render::date(out, date, nullable)?,
            Self::Time(micros) => render::time(out, micros),
            Self::DateTime { date, clock, digits } => render::datetime(out, date, clock, digits, nullable)?,
            Self::Timestamp { seconds, micros, digits } => {
                render::timestamp(out, seconds, micros, digits, nullable)?;
            }
            Self::Text { bytes, charset } => charset.put_json(bytes, out)?,
            Self::Fixed { kept, size, told } => write_fixed(kept, size, told, out)?,
            Self::Compressed { bytes, charset } => compressed::write(bytes, charset, out)?,
            Self::Enum(json) => out.extend_from_slice(json),
            Self::Set { bits, values } => write_set(bits, values, out)?,
            Self::Json(bytes) => super::json::write(bytes, out)?,
            Self::Geometry { bytes, point } => render::geometry(out, bytes, point)?,
            Self::Vector(bytes) => render::vector(out, bytes)?,
        }
        Ok(())
    }
}

/// Their bytes lie in the order of their text.
fn write_fixed(kept: &[u8], size: usize, told: Option<Told>, out: &mut Vec<u8>) -> Result<(), DecodeError> {
    // 255 is the longest BINARY; the format has room for two bits more
    let mut padded = [0; 1024];
    let whole = padded.get_mut(..size).ok_or(DecodeError::Malformed("a BINARY column too long"))?;
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
