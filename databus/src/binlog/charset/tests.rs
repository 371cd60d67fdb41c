use super::*;
use proptest::prelude::*;

fn utf8(charset: &str, bytes: &[u8]) -> Result<String, DecodeError> {
    let mut out = Vec::new();
    Charset::of_name(charset).unwrap().put_json(bytes, &mut out)?;
    Ok(serde_json::from_slice(&out).unwrap())
}

const ALL: [&str; 41] = [
    "armscii8", "ascii", "big5", "cp1250", "cp1251", "cp1256", "cp1257", "cp850", "cp852", "cp866", "cp932",
    "dec8", "eucjpms", "euckr", "gb18030", "gb2312", "gbk", "geostd8", "greek", "hebrew", "hp8", "keybcs2",
    "koi8r", "koi8u", "latin1", "latin2", "latin5", "latin7", "macce", "macroman", "sjis", "swe7", "tis620",
    "ucs2", "ujis", "utf16", "utf16le", "utf32", "utf8mb3", "utf8mb4", "utf8",
];

#[test]
fn texts_of_all_kinds_of_charsets_become_utf8_scenario_12() {
    for (charset, bytes, text) in [
        ("latin1", &b"\x80\xe9\x81"[..], "€é\u{81}"),
        ("gbk", b"\xca\xd5\xbf\xee\\", "收款\\"),
        ("gb18030", b"\x81\x30\x81\x30\xa3\xa0\xfe\x59", "\u{80}\u{e5e5}\u{e81e}"),
        ("gb2312", b"\xa1\xa4\xa1\xaa", "・―"),
        ("big5", b"\xa1\xc2\xc6\xa1\xc7\xfca\xa4\xa4", "‾ヾ⑽a中"),
        ("sjis", b"\x81\x5f\x81\x60\xb1\\", "\\〜ｱ\\"),
        ("cp932", b"\x81\x60\x87\x40", "～①"),
        ("ujis", b"\xa1\xc1\xf5\xa1\x8f\xf5\xa1\x8f\xa2\xb7\xb0\xa1", "〜\u{e000}\u{e3ac}~亜"),
        ("eucjpms", b"\x8f\xf3\xf3\x8f\xf4\xfe\xa1\xc1\x8e\xb1", "ⅰ黑～ｱ"),
        ("euckr", b"\xb0\xa1", "가"),
        ("koi8u", b"\x95\xae", "•╝"),
        ("cp850", b"\x80\xff", "Ç\u{a0}"),
        ("swe7", b"@{", "Éä"),
        // the server's own mapping
        ("tis620", b"\xa1\xfc", "ก\u{fffd}"),
        ("ucs2", b"\x20\xac", "€"),
        ("utf16", b"\xd8\x3d\xde\x00", "😀"),
        ("utf16le", b"\x3d\xd8\x00\xde", "😀"),
        ("utf32", b"\x00\x01\xf6\x00", "😀"),
    ] {
        assert_eq!(utf8(charset, bytes).as_deref(), Ok(text), "{charset}");
    }
}

#[test]
fn bytes_without_a_character_are_an_error_that_shows_them() {
    for (charset, bytes) in [
        ("ascii", &b"\x80"[..]),
        ("hebrew", b"a\xff"),
        ("swe7", b"\x7f"),
        ("gbk", b"\xca"),
        ("utf16", b"\xd8\x3d"),
        ("ucs2", b"\x20"),
        ("utf32", b"\x00\x11\x00\x00"),
        ("utf8mb4", b"\xff"),
    ] {
        let error = utf8(charset, bytes).unwrap_err().to_string();
        assert!(error.contains("0x"), "{charset}: {error}");
    }
}

#[test]
fn every_collation_number_leads_to_a_charset_that_is_converted() {
    for id in 0..4_000 {
        if let Some(name) = collation_charset(id) {
            assert!(Charset::of_name(name).is_some(), "{name}");
        }
    }
    assert_eq!(Charset::of_collation(8), Some(Charset::Same(encoding_rs::WINDOWS_1252)));
    assert_eq!(Charset::of_collation(63), Some(Charset::Binary));
    assert_eq!(Charset::of_collation(2304), Some(Charset::Utf8));
    assert_eq!(Charset::of_collation(4_000), None);
}

proptest! {
    #[test]
    fn any_bytes_are_json_or_an_error_and_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
        for charset in ALL {
            let mut out = Vec::new();
            if Charset::of_name(charset).unwrap().put_json(&bytes, &mut out).is_ok() {
                prop_assert!(serde_json::from_slice::<String>(&out).is_ok(), "{charset} {bytes:02x?}");
            }
        }
    }
}
