use super::*;
use proptest::prelude::*;

fn text(bytes: &[u8]) -> String {
    let mut out = Vec::new();
    write(bytes, &mut out).unwrap();
    serde_json::from_slice(&out).unwrap()
}

fn hex(digits: &str) -> Vec<u8> {
    hex_bytes(&digits.replace(' ', ""))
}

fn hex_bytes(digits: &str) -> Vec<u8> {
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn documents_of_a_mysql_9_7_binlog_print_as_its_select_does_scenario_12() {
    let nested = hex(
        "00 02 00 2e 00 12 00 01 00 13 00 01 00 05 01 00 02 14 00 61 62 04 00 1a 00 0b 10 00 04 01 00 04 00 00 0c 18 00 \
         00 00 00 00 00 00 f8 3f 01 78",
    );
    assert_eq!(text(&nested), r#"{"a": 1, "b": [1.5, true, null, "x"]}"#);
}

fn double(number: f64) -> String {
    let mut bytes = vec![11];
    bytes.extend_from_slice(&number.to_le_bytes());
    text(&bytes)
}

#[test]
fn doubles_print_as_my_gcvt_does() {
    assert_eq!(double(1.0), "1.0");
    assert_eq!(double(-1.5), "-1.5");
    assert_eq!(double(1e14), "100000000000000.0");
    assert_eq!(double(1e15), "1e15");
    assert_eq!(double(123_456_789_012_345_680.0), "1.2345678901234568e17");
    assert_eq!(double(1e-15), "0.000000000000001");
    assert_eq!(double(1e-16), "1e-16");
    assert_eq!(double(1.5e300), "1.5e300");
    assert_eq!(double(5e-324), "5e-324");
    assert_eq!(double(970_329_978_524_017.0 + 0.25), "970329978524017.2");
    assert_eq!(double(10.0), "10.0");
    assert_eq!(double(0.001), "0.001");
    assert_eq!(double(0.1 + 0.2), "0.30000000000000004");
}

#[test]
fn integers_literals_and_opaque_values_keep_their_type() {
    assert_eq!(text(&[10, 255, 255, 255, 255, 255, 255, 255, 255]), "18446744073709551615");
    assert_eq!(text(&[9, 0, 0, 0, 0, 0, 0, 0, 0x80]), "-9223372036854775808");
    assert_eq!(text(&[4, 1]), "true");
    assert_eq!(text(&hex("0f 0a 08 00 00 00 00 00 44 a5 19")), "\"2020-01-02\"");
    assert_eq!(text(&hex("0f f6 04 03 02 81 19")), "1.25");
    assert_eq!(text(&hex("0f 0f 02 ff 00")), "\"base64:type15:/wA=\"");
    let mut long = hex("0f 0f 3a");
    long.resize(3 + 58, 0);
    assert_eq!(text(&long), format!("\"base64:type15:{}\\nAA==\"", "A".repeat(76)));
    assert_eq!(text(&[]), "null");
    assert_eq!(text(&hex("0c 04 22 5c 01 0a")), r#""\"\\\u0001\n""#);
}

#[test]
fn elements_that_overlap_are_refused_and_not_doubled_with_every_level() {
    // each level is an array of two that both point to the next
    let mut bytes = Vec::new();
    for _ in 0..60 {
        let size: u16 = 10 + bytes.len() as u16;
        let mut array = vec![2, 0];
        array.extend_from_slice(&size.to_le_bytes());
        for _ in 0..2 {
            array.push(2);
            array.extend_from_slice(&10u16.to_le_bytes());
        }
        array.extend_from_slice(&bytes);
        bytes = array;
        if bytes.len() == 10 {
            // the innermost has nothing to point to
            bytes = vec![0, 0, 4, 0];
        }
    }
    bytes.insert(0, 2);
    assert!(write(&bytes, &mut Vec::new()).is_err());
}

proptest! {
    #[test]
    fn any_bytes_are_text_or_an_error_and_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64), kind in 0u8..16) {
        let mut document = vec![kind];
        document.extend_from_slice(&bytes);
        let _ = write(&document, &mut Vec::new());
    }
}
