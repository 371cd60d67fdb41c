use super::*;
use crate::binlog::{charset::Charset, column::Told};
use proptest::prelude::*;

fn column(kind: ColumnKind, nullable: bool) -> Column {
    Column { name: "c".to_owned(), kind, nullable, generated: false, json_prefix: b",\"c\":".to_vec() }
}

fn json(kind: ColumnKind, bytes: &[u8]) -> Result<String, DecodeError> {
    let mut out = Vec::new();
    let mut cells = Bytes(bytes);
    let column = column(kind, false);
    decode(&column, &mut cells)?.write_json(&column, &mut out)?;
    assert!(cells.is_empty(), "bytes are left");
    Ok(String::from_utf8(out).unwrap())
}

fn check(kind: ColumnKind, bytes: &[u8], expected: &str) {
    assert_eq!(json(kind.clone(), bytes).as_deref(), Ok(expected), "{kind:?}");
}

proptest! {
    #[test]
    fn a_datetime_is_its_microseconds(micros in -62_135_596_800_000_000i64..253_402_300_800_000_000) {
        let at = time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1000).unwrap();
        let packed = ((at.year() as u64 * 13 + u64::from(u8::from(at.month()))) << 22)
            | u64::from(at.day()) << 17 | u64::from(at.hour()) << 12 | u64::from(at.minute()) << 6 | u64::from(at.second());
        let mut bytes = (packed | 0x80_0000_0000).to_be_bytes()[3..].to_vec();
        bytes.extend_from_slice(&at.microsecond().to_be_bytes()[1..]);
        prop_assert_eq!(json(ColumnKind::DateTime { fraction: 6 }, &bytes), Ok(micros.to_string()));
    }

    #[test]
    fn a_time_is_its_signed_microseconds(micros in -3_020_399_999_999i64..=3_020_399_999_999) {
        let size = micros.unsigned_abs();
        let seconds = size / 1_000_000;
        let clock = ((seconds / 3600) << 12) | ((seconds / 60 % 60) << 6) | (seconds % 60);
        let packed = (clock << 24) | (size % 1_000_000);
        let offset = if micros < 0 { 0x8000_0000_0000 - packed } else { 0x8000_0000_0000 + packed };
        prop_assert_eq!(json(ColumnKind::Time { fraction: 6 }, &offset.to_be_bytes()[2..]), Ok(micros.to_string()));
    }

    #[test]
    fn any_bytes_are_json_or_an_error_and_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40), size: u8, told in 0usize..5) {
        let told = [None, Some(Told::Uuid), Some(Told::Inet4), Some(Told::Inet6), Some(Told::Vector)][told];
        let values = vec![b"a".to_vec()];
        for kind in [
            ColumnKind::Float, ColumnKind::Double, ColumnKind::Bit { width: size }, ColumnKind::Time { fraction: size % 8 },
            ColumnKind::DateTime { fraction: size % 8 }, ColumnKind::Timestamp { fraction: size % 8 }, ColumnKind::Date,
            ColumnKind::Fixed { size: u16::from(size) * 9, told }, ColumnKind::Decimal { precision: size, scale: size / 2 },
            ColumnKind::Set { width: size % 9, values: values.clone() }, ColumnKind::Enum { width: 1 + size % 2, values },
            ColumnKind::Json { length_bytes: 1 }, ColumnKind::Geometry { length_bytes: 1, point: size.is_multiple_of(2) },
            ColumnKind::Vector { length_bytes: 1 }, ColumnKind::Int { width: size % 9, unsigned: false },
            ColumnKind::Compressed { length_bytes: 1, charset: Charset::Binary },
        ] {
            let column = column(kind, size.is_multiple_of(2));
            let _ = decode(&column, &mut Bytes(&bytes)).and_then(|value| value.write_json(&column, &mut Vec::new()));
        }
    }
}

#[test]
fn integers_take_their_sign_from_the_column_scenario_12() {
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
fn dates_and_times_follow_the_documented_mapping_scenario_12() {
    check(ColumnKind::Year, &[0], "0");
    check(ColumnKind::Year, &[126], "2026");
    check(ColumnKind::Date, &(2026u32 << 9 | 11 << 5 | 22).to_le_bytes()[..3], "20779");
    check(ColumnKind::Date, &[0, 0, 0], "0");
    let timestamp = |fraction| ColumnKind::Timestamp { fraction };
    check(timestamp(0), &1_700_000_000u32.to_be_bytes(), "\"2023-11-14T22:13:20Z\"");
    check(timestamp(3), &[0x65, 0x53, 0xf1, 0x00, 0x04, 0xce], "\"2023-11-14T22:13:20.123Z\"");
    // '-01:02:03.5' and '-838:59:59' as MariaDB 10.11 logged them
    check(ColumnKind::Time { fraction: 3 }, &[0x7f, 0xef, 0x7c, 0xec, 0x78], "-3723500000");
    check(ColumnKind::Time { fraction: 0 }, &[0x4b, 0x91, 0x05], "-3020399000000");
    check(ColumnKind::Time { fraction: 0 }, &[0x80, 0, 0], "0");
}

#[test]
fn a_date_that_is_on_no_calendar_is_refused_scenario_12() {
    let error = json(ColumnKind::Date, &(2023u32 << 9 | 2 << 5 | 30).to_le_bytes()[..3]).unwrap_err();
    assert!(error.to_string().contains("2023-02-30"), "{error}");
}

#[test]
fn binary_is_base64_with_its_trailing_zeros_put_back_scenario_12() {
    let chars = |charset| ColumnKind::Chars { length_bytes: 1, charset };
    check(ColumnKind::Fixed { size: 4, told: None }, &[2, 0xff, 0x01], "\"/wEAAA==\"");
    check(chars(Charset::Binary), &[2, 0xff, 0x01], "\"/wE=\"");
    check(chars(Charset::Utf8), &[3, b'a', b'"', 1], "\"a\\\"\\u0001\"");
    assert!(json(ColumnKind::Fixed { size: 2, told: None }, &[3, 1, 2, 3]).is_err());
}

#[test]
fn a_uuid_and_an_address_are_their_text_where_information_schema_tells() {
    let fixed = |size, told| ColumnKind::Fixed { size, told: Some(told) };
    // as MariaDB 10.11 logged them, without their trailing zeros
    let uuid = [13, 0x12, 0x3e, 0x45, 0x67, 0xe8, 0x9b, 0x42, 0xd3, 0xa4, 0x56, 0x42, 0x66, 0x14];
    check(fixed(16, Told::Uuid), &uuid, "\"123e4567-e89b-42d3-a456-426614000000\"");
    check(fixed(4, Told::Inet4), &[1, 1], "\"1.0.0.0\"");
    check(fixed(16, Told::Inet6), &[2, 0, 1], "\"1::\"");
    check(fixed(16, Told::Inet6), &[0], "\"::\"");
    let inet6 = |words: [u16; 8]| {
        let bytes: Vec<u8> =
            std::iter::once(16).chain(words.iter().flat_map(|word| word.to_be_bytes())).collect();
        json(fixed(16, Told::Inet6), &bytes).unwrap()
    };
    // as MariaDB 10.11 and 11.8 select them
    assert_eq!(
        inet6([0x3bf3, 0x1b6b, 0xc5b9, 0, 0x669f, 0x826f, 0x5bd0, 0]),
        "\"3bf3:1b6b:c5b9::669f:826f:5bd0:0\""
    );
    assert_eq!(inet6([1, 0, 0, 2, 0, 0, 0, 3]), "\"1:0:0:2::3\"");
    assert_eq!(inet6([0, 0, 0, 0, 0, 0xffff, 0x102, 0x304]), "\"::ffff:1.2.3.4\"");
    assert_eq!(inet6([0, 0, 0, 0, 0, 0, 0x102, 0x304]), "\"::1.2.3.4\"");
    assert_eq!(inet6([0, 0, 0, 0, 0, 0, 0, 1]), "\"::1\"");
}

#[test]
fn enums_and_sets_are_their_texts_and_what_is_past_the_list_is_an_error_scenario_12() {
    let kind = ColumnKind::Enum { width: 1, values: vec![b"\"credit\"".to_vec(), b"\"debit\"".to_vec()] };
    check(kind.clone(), &[2], "\"debit\"");
    check(kind.clone(), &[0], "\"\"");
    assert!(json(kind, &[3]).is_err());
    let values: Vec<_> = (0..64).map(|at| format!("v{at}").into_bytes()).collect();
    let kind = ColumnKind::Set { width: 8, values };
    check(kind.clone(), &[0; 8], "\"\"");
    check(kind.clone(), &[1, 0, 0, 0, 0, 0, 0, 0x80], "\"v0,v63\"");
    assert!(json(ColumnKind::Set { width: 1, values: vec![b"a".to_vec()] }, &[2]).is_err());
}

#[test]
fn bits_and_floats_follow_the_documented_mapping_scenario_12() {
    check(ColumnKind::Bit { width: 1 }, &[1], "true");
    check(ColumnKind::Bit { width: 9 }, &[1, 1], "\"AQE=\"");
    check(ColumnKind::Float, &[0xcd, 0xcc, 0x8c, 0x3f], "1.1");
    check(ColumnKind::Double, &1.5f64.to_le_bytes(), "1.5");
    check(ColumnKind::Vector { length_bytes: 4 }, &[4, 0, 0, 0, 0, 0, 0x80, 0x3f], "[1.0]");
}
