//! Values to JSON, in the mapping of docs/message-contract.md: what the stream and a snapshot both write, so that a row reads the same
//! wherever it came from.
//!
//! Mapping: Debezium's with `decimal.handling.mode=string` and `time.precision.mode=adaptive_time_microseconds`
//! (<https://debezium.io/documentation/reference/stable/connectors/mariadb.html#mariadb-data-types>).
//!
//! A reader of the binlog has numbers and bytes and calls the functions here. Who reads rows with SELECT uses
//! [`SelectedColumn`](crate::binlog::selected::SelectedColumn) instead, which says what to select and calls these.

mod calendar;
mod text;

pub use calendar::{Civil, Clock, date, datetime, time, timestamp};
pub use text::{escape_from, is_plain, text};

use crate::binlog::DecodeError;
use base64::{Engine, engine::general_purpose::STANDARD};

/// SQL's NULL.
pub fn null(out: &mut Vec<u8>) {
    out.extend_from_slice(b"null");
}

/// TINYINT to BIGINT, YEAR.
pub fn integer(out: &mut Vec<u8>, number: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// TINYINT UNSIGNED to BIGINT UNSIGNED, exact to 2^64-1.
pub fn unsigned(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// FLOAT: the shortest text that reads back as the same 32-bit number.
pub fn float(out: &mut Vec<u8>, number: f32) -> Result<(), DecodeError> {
    if !number.is_finite() {
        return Err(DecodeError::Malformed("a FLOAT that is not a finite number"));
    }
    out.extend_from_slice(ryu::Buffer::new().format_finite(number).as_bytes());
    Ok(())
}

/// DOUBLE: the shortest text that reads back as the same 64-bit number.
pub fn double(out: &mut Vec<u8>, number: f64) -> Result<(), DecodeError> {
    if !number.is_finite() {
        return Err(DecodeError::Malformed("a DOUBLE that is not a finite number"));
    }
    out.extend_from_slice(ryu::Buffer::new().format_finite(number).as_bytes());
    Ok(())
}

/// BIT(width): BIT(1) is a boolean, a wider one its bytes in little-endian order as base64.
pub fn bits(out: &mut Vec<u8>, value: u64, width: u8) {
    if width == 1 {
        out.extend_from_slice(if value == 0 { b"false" } else { b"true" });
        return;
    }
    let bytes = value.to_le_bytes();
    let len = usize::from(width).div_ceil(8);
    binary(out, bytes.get(..len).unwrap_or(&bytes));
}

/// BINARY (with its trailing zeros), VARBINARY, BLOB: base64.
pub fn binary(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    if let Some(target) = out.get_mut(start..) {
        let fits = STANDARD.encode_slice(bytes, target);
        debug_assert!(fits.is_ok(), "the target is as long as base64 needs");
    }
    out.push(b'"');
}

/// A geometry in the server's own form, 4 bytes of SRID and then WKB: `{"wkb":"…","srid":4326}`, where SRID 0 is null. A column of type
/// POINT has its coordinates in front, as Debezium's `Point` has.
pub fn geometry(out: &mut Vec<u8>, bytes: &[u8], point: bool) -> Result<(), DecodeError> {
    let (srid, wkb) =
        bytes.split_first_chunk::<4>().ok_or(DecodeError::Malformed("a geometry shorter than its SRID"))?;
    out.push(b'{');
    if point {
        let (x, y) = coordinates(wkb).ok_or(DecodeError::Malformed("a POINT that is none"))?;
        out.extend_from_slice(b"\"x\":");
        double(out, x)?;
        out.extend_from_slice(b",\"y\":");
        double(out, y)?;
        out.push(b',');
    }
    out.extend_from_slice(b"\"wkb\":");
    binary(out, wkb);
    out.extend_from_slice(b",\"srid\":");
    match u32::from_le_bytes(*srid) {
        0 => null(out),
        srid => unsigned(out, u64::from(srid)),
    }
    out.push(b'}');
    Ok(())
}

/// The coordinates of a WKB point: byte order, type 1, x, y.
fn coordinates(wkb: &[u8]) -> Option<(f64, f64)> {
    let (head, numbers) = wkb.split_first_chunk::<5>()?;
    let (x, y) = numbers.split_first_chunk::<8>()?;
    let y: &[u8; 8] = y.try_into().ok()?;
    match head {
        [1, 1, 0, 0, 0] => Some((f64::from_le_bytes(*x), f64::from_le_bytes(*y))),
        [0, 0, 0, 0, 1] => Some((f64::from_be_bytes(*x), f64::from_be_bytes(*y))),
        _ => None,
    }
}

/// VECTOR: an array of 32-bit numbers, from their little-endian bytes.
pub fn vector(out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), DecodeError> {
    let (numbers, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() {
        return Err(DecodeError::Malformed("a VECTOR that is not of whole numbers"));
    }
    out.push(b'[');
    for (at, number) in numbers.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        float(out, f32::from_le_bytes(*number))?;
    }
    out.push(b']');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_are_the_shortest_text_that_reads_back() {
        assert_eq!(rendered(|out| float(out, 1.1).unwrap()), "1.1");
        assert_eq!(rendered(|out| float(out, 16_777_216.0).unwrap()), "16777216.0");
        assert_eq!(rendered(|out| double(out, 0.1 + 0.2).unwrap()), "0.30000000000000004");
        assert_eq!(rendered(|out| double(out, -0.0).unwrap()), "-0.0");
        assert!(double(&mut Vec::new(), f64::NAN).is_err());
        assert_eq!(rendered(|out| unsigned(out, u64::MAX)), "18446744073709551615");
    }

    #[test]
    fn one_bit_is_a_boolean_and_more_are_little_endian_bytes() {
        assert_eq!(rendered(|out| bits(out, 1, 1)), "true");
        assert_eq!(rendered(|out| bits(out, 0, 1)), "false");
        assert_eq!(rendered(|out| bits(out, 0x0102, 9)), "\"AgE=\"");
        assert_eq!(rendered(|out| bits(out, 1, 64)), "\"AQAAAAAAAAA=\"");
    }

    #[test]
    fn a_geometry_is_wkb_and_srid_and_a_point_has_its_coordinates() {
        let mut bytes = vec![0xe6, 0x10, 0, 0, 1, 1, 0, 0, 0];
        bytes.extend_from_slice(&1.5f64.to_le_bytes());
        bytes.extend_from_slice(&(-2.0f64).to_le_bytes());
        let wkb = STANDARD.encode(&bytes[4..]);
        assert_eq!(
            rendered(|out| geometry(out, &bytes, false).unwrap()),
            format!(r#"{{"wkb":"{wkb}","srid":4326}}"#)
        );
        bytes[..4].fill(0);
        assert_eq!(
            rendered(|out| geometry(out, &bytes, true).unwrap()),
            format!(r#"{{"x":1.5,"y":-2.0,"wkb":"{wkb}","srid":null}}"#)
        );
        assert!(geometry(&mut Vec::new(), &bytes[..20], true).is_err());
        assert!(geometry(&mut Vec::new(), &[1, 2], false).is_err());
    }

    #[test]
    fn a_vector_is_an_array() {
        let bytes: Vec<u8> = [1.0f32, -2.5].iter().flat_map(|n| n.to_le_bytes()).collect();
        assert_eq!(rendered(|out| vector(out, &bytes).unwrap()), "[1.0,-2.5]");
        assert!(vector(&mut Vec::new(), &bytes[..5]).is_err());
    }
}
