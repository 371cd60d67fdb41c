//! One cell's bytes to JSON in the envelope's mapping, written straight into the record being built.
//!
//! Mapping: Debezium's with `decimal.handling.mode=string` and `time.precision.mode=adaptive_time_microseconds`
//! (<https://debezium.io/documentation/reference/stable/connectors/mariadb.html#mariadb-data-types>); see docs/message-contract.md.

use super::{
    bytes::{Bytes, DecodeError},
    column::{Charset, ColumnKind},
    decimal,
    table_map::Column,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use std::io::Write;

/// Reads one cell that is not NULL and appends its JSON value to `out`.
pub(super) fn write_json(
    column: &Column,
    cells: &mut Bytes<'_>,
    out: &mut Vec<u8>,
) -> Result<(), DecodeError> {
    match &column.kind {
        ColumnKind::Int { width, unsigned } => {
            let raw = cells.uint(usize::from(*width))?;
            if *unsigned { put_u64(out, raw) } else { put_i64(out, sign_extend(raw, *width)) }
        }
        ColumnKind::Year => match cells.u8()? {
            0 => put_i64(out, 0),
            year => put_i64(out, 1900 + i64::from(year)),
        },
        ColumnKind::Decimal { precision, scale } => {
            out.push(b'"');
            decimal::write(*precision, *scale, cells, out)?;
            out.push(b'"');
        }
        ColumnKind::Date => {
            let packed = cells.uint(3)?;
            let (year, month, day) = ((packed >> 9) as i64, packed >> 5 & 15, packed & 31);
            match days_since_epoch(year, month, day) {
                Some(days) => put_i64(out, days),
                None => put_zero(column, out, b"0"),
            }
        }
        ColumnKind::DateTime { fraction } => {
            // 40 bits, big-endian: 1 sign (always set), 17 year*13+month, 5 day, 5 hour, 6 minute, 6 second
            let packed = cells.uint_be(5)? & 0x7f_ffff_ffff;
            let micros = fraction_micros(cells, *fraction)?;
            let (year_month, day) = (packed >> 22, packed >> 17 & 31);
            let (hour, minute, second) = (packed >> 12 & 31, packed >> 6 & 63, packed & 63);
            let days = days_since_epoch((year_month / 13) as i64, year_month % 13, day);
            match days {
                Some(days) => {
                    let seconds = days * 86_400 + (hour * 3_600 + minute * 60 + second) as i64;
                    let micros = seconds * 1_000_000 + micros as i64;
                    put_i64(out, if *fraction > 3 { micros } else { micros.div_euclid(1_000) });
                }
                None => put_zero(column, out, b"0"),
            }
        }
        ColumnKind::Timestamp { fraction } => {
            let seconds = cells.uint_be(4)?;
            let micros = fraction_micros(cells, *fraction)?;
            if seconds == 0 && micros == 0 {
                put_zero(column, out, b"\"1970-01-01T00:00:00Z\"");
            } else {
                put_timestamp(seconds as i64, micros, *fraction, out)?;
            }
        }
        ColumnKind::Chars { length_bytes, charset, pad_to } => {
            let len = cells.uint(usize::from(*length_bytes))? as usize;
            let bytes = cells.take(len)?;
            match charset {
                Charset::Utf8 => put_text(bytes, out)?,
                Charset::Binary => put_base64(bytes, usize::from(*pad_to), out),
            }
        }
        ColumnKind::Enum { width, values } => {
            let index = cells.uint(usize::from(*width))? as usize;
            // index 0 is the empty string that MySQL stores for a value it could not accept
            let text = match index.checked_sub(1) {
                None => "",
                Some(at) => values.get(at).ok_or(DecodeError::Malformed("an ENUM index past its values"))?,
            };
            put_text(text.as_bytes(), out)?;
        }
    }
    Ok(())
}

fn put_u64(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

fn put_i64(out: &mut Vec<u8>, number: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

fn sign_extend(raw: u64, width: u8) -> i64 {
    let shift = 64 - 8 * u32::from(width.clamp(1, 8));
    ((raw << shift) as i64) >> shift
}

/// A zero date has no place on the calendar: NULL where the column allows it, else the documented epoch value, as Debezium does.
fn put_zero(column: &Column, out: &mut Vec<u8>, epoch: &[u8]) {
    out.extend_from_slice(if column.nullable { b"null" } else { epoch });
}

/// Days from 1970-01-01 in the proleptic Gregorian calendar; `None` for MySQL's zero and partly zero dates.
fn days_since_epoch(year: i64, month: u64, day: u64) -> Option<i64> {
    let month = time::Month::try_from(u8::try_from(month).ok()?).ok()?;
    let date =
        time::Date::from_calendar_date(i32::try_from(year).ok()?, month, u8::try_from(day).ok()?).ok()?;
    let epoch = time::Date::from_ordinal_date(1970, 1).ok()?;
    Some((date - epoch).whole_days())
}

/// Big-endian hundredths, ten-thousandths or millionths, as many bytes as the digits need.
fn fraction_micros(cells: &mut Bytes<'_>, digits: u8) -> Result<u64, DecodeError> {
    let (bytes, unit) = match digits {
        0 => return Ok(0),
        1 | 2 => (1, 10_000),
        3 | 4 => (2, 100),
        _ => (3, 1),
    };
    let micros = cells.uint_be(bytes)? * unit;
    if micros < 1_000_000 {
        Ok(micros)
    } else {
        Err(DecodeError::Malformed("a fraction of a second of a second or more"))
    }
}

fn put_timestamp(seconds: i64, micros: u64, digits: u8, out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let at = time::OffsetDateTime::from_unix_timestamp(seconds)
        .map_err(|_| DecodeError::Malformed("a timestamp off the calendar"))?;
    let (year, month, day) = (at.year(), u8::from(at.month()), at.day());
    let (hour, minute, second) = at.to_hms();
    let written = write!(out, "\"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
    let written = written.and_then(|()| match digits {
        0 => Ok(()),
        digits => {
            let digits = usize::from(digits.min(6));
            let scaled = micros / 10_u64.pow(6 - digits as u32);
            write!(out, ".{scaled:0digits$}")
        }
    });
    written
        .and_then(|()| out.write_all(b"Z\""))
        .map_err(|_| DecodeError::Malformed("writing to memory failed"))
}

fn put_base64(bytes: &[u8], pad_to: usize, out: &mut Vec<u8>) {
    out.push(b'"');
    let start = out.len();
    let len = bytes.len().max(pad_to);
    out.resize(start + len.div_ceil(3) * 4, 0);
    if let Some(target) = out.get_mut(start..) {
        let fits = if bytes.len() < len {
            let mut padded = bytes.to_vec();
            padded.resize(len, 0);
            STANDARD.encode_slice(&padded, target)
        } else {
            STANDARD.encode_slice(bytes, target)
        };
        debug_assert!(fits.is_ok(), "the target is as long as base64 needs");
    }
    out.push(b'"');
}

/// A JSON string of UTF-8 bytes.
pub fn put_text(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    std::str::from_utf8(bytes)
        .map_err(|_| DecodeError::Malformed("a text that is not valid in its column's charset"))?;
    out.push(b'"');
    let mut plain = 0;
    for (at, byte) in bytes.iter().enumerate() {
        let escape: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0..=0x1f => b"",
            _ => continue,
        };
        out.extend_from_slice(bytes.get(plain..at).unwrap_or_default());
        if escape.is_empty() {
            let hex = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', hex(byte >> 4), hex(byte & 15)]);
        } else {
            out.extend_from_slice(escape);
        }
        plain = at + 1;
    }
    out.extend_from_slice(bytes.get(plain..).unwrap_or_default());
    out.push(b'"');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn column(kind: ColumnKind, nullable: bool) -> Column {
        Column { name: "c".to_owned(), kind, nullable, json_prefix: b"\"c\":".to_vec() }
    }

    fn check(kind: ColumnKind, bytes: &[u8], json: &str) {
        let mut out = Vec::new();
        let mut cells = Bytes(bytes);
        write_json(&column(kind.clone(), false), &mut cells, &mut out).unwrap();
        assert_eq!((String::from_utf8(out).unwrap().as_str(), cells.is_empty()), (json, true), "{kind:?}");
    }

    proptest! {
        #[test]
        fn text_comes_back_from_json_as_it_was(text in any::<String>()) {
            let mut out = Vec::new();
            put_text(text.as_bytes(), &mut out).unwrap();
            prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        }

        #[test]
        fn a_datetime_is_its_microseconds(micros in -62_135_596_800_000_000i64..253_402_300_800_000_000) {
            let at = time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1000).unwrap();
            let packed = ((at.year() as u64 * 13 + u64::from(u8::from(at.month()))) << 22)
                | u64::from(at.day()) << 17 | u64::from(at.hour()) << 12 | u64::from(at.minute()) << 6 | u64::from(at.second());
            let mut bytes = (packed | 0x80_0000_0000).to_be_bytes()[3..].to_vec();
            bytes.extend_from_slice(&at.microsecond().to_be_bytes()[1..]);
            let mut out = Vec::new();
            write_json(&column(ColumnKind::DateTime { fraction: 6 }, false), &mut Bytes(&bytes), &mut out).unwrap();
            prop_assert_eq!(String::from_utf8(out).unwrap(), micros.to_string());
        }
    }

    #[test]
    fn integers_take_their_sign_from_the_column() {
        let int = |width, unsigned| ColumnKind::Int { width, unsigned };
        check(int(1, false), &[0xff], "-1");
        check(int(1, true), &[0xff], "255");
        check(int(2, false), &[0, 0x80], "-32768");
        check(int(3, false), &[0xff, 0xff, 0xff], "-1");
        check(int(3, true), &[0xff, 0xff, 0xff], "16777215");
        check(int(4, false), &[0xff, 0xff, 0xff, 0x7f], "2147483647");
        check(int(8, false), &[0xff; 8], "-1");
        check(int(8, true), &[0xff; 8], "18446744073709551615");
    }

    #[test]
    fn dates_and_times_follow_the_documented_mapping() {
        check(ColumnKind::Year, &[0], "0");
        check(ColumnKind::Year, &[126], "2026");
        check(ColumnKind::Date, &(2026u32 << 9 | 11 << 5 | 22).to_le_bytes()[..3], "20779");
        check(ColumnKind::Date, &[0, 0, 0], "0");
        check(
            ColumnKind::Timestamp { fraction: 0 },
            &1_700_000_000u32.to_be_bytes(),
            "\"2023-11-14T22:13:20Z\"",
        );
        check(
            ColumnKind::Timestamp { fraction: 3 },
            &[0x65, 0x53, 0xf1, 0x00, 0x04, 0xce],
            "\"2023-11-14T22:13:20.123Z\"",
        );
        check(
            ColumnKind::Timestamp { fraction: 6 },
            &[0x65, 0x53, 0xf1, 0x00, 0x00, 0x00, 0x07],
            "\"2023-11-14T22:13:20.000007Z\"",
        );
    }

    #[test]
    fn a_zero_date_is_null_only_where_null_is_allowed() {
        let mut out = Vec::new();
        write_json(
            &column(ColumnKind::DateTime { fraction: 0 }, true),
            &mut Bytes(&[0x80, 0, 0, 0, 0]),
            &mut out,
        )
        .unwrap();
        assert_eq!(out, b"null");
        check(ColumnKind::DateTime { fraction: 0 }, &[0x80, 0, 0, 0, 0], "0");
    }

    #[test]
    fn binary_is_base64_with_its_trailing_zeros_put_back() {
        let chars = |charset, pad_to| ColumnKind::Chars { length_bytes: 1, charset, pad_to };
        check(chars(Charset::Binary, 4), &[2, 0xff, 0x01], "\"/wEAAA==\"");
        check(chars(Charset::Binary, 0), &[2, 0xff, 0x01], "\"/wE=\"");
        check(chars(Charset::Utf8, 0), &[3, b'a', b'"', 1], "\"a\\\"\\u0001\"");
    }

    #[test]
    fn an_enum_is_its_text_and_an_index_past_the_list_is_an_error() {
        let kind = ColumnKind::Enum { width: 1, values: vec!["credit".to_owned(), "debit".to_owned()] };
        check(kind.clone(), &[2], "\"debit\"");
        check(kind.clone(), &[0], "\"\"");
        assert!(write_json(&column(kind, false), &mut Bytes(&[3]), &mut Vec::new()).is_err());
    }
}
