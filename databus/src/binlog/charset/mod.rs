//! Text of every charset that MySQL and MariaDB have, to UTF-8: by `encoding_rs` where it maps as the servers do, with tables of our own
//! where it does not. A character that the servers cannot convert (they show `?`) but `encoding_rs` can is converted; bytes that nobody
//! can convert are an error, never a replacement character.

mod tables;
mod wide;

use super::bytes::DecodeError;
use crate::render;
use encoding_rs::Encoding;

/// How a text column's bytes become UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Charset {
    /// utf8mb4, utf8mb3 and ascii: the bytes are UTF-8 already.
    Utf8,
    /// The pseudo-charset `binary`: not text at all.
    Binary,
    /// `encoding_rs` has the servers' mapping.
    Same(&'static Encoding),
    /// `encoding_rs` has it but for some characters.
    Patched(&'static Encoding, Patch),
    /// One byte a character, ASCII below 0x80.
    Upper(&'static tables::Upper),
    /// 7 bits, with letters in place of some of ASCII's signs.
    Swe7,
    /// UTF-16, big-endian.
    Utf16,
    /// UTF-16, little-endian.
    Utf16Le,
    /// UTF-32, big-endian.
    Utf32,
}

/// Which characters the servers map otherwise than `encoding_rs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the servers' own")]
pub enum Patch {
    Big5,
    Sjis,
    Ujis,
    Eucjpms,
    Gb2312,
    Gb18030,
}

impl Charset {
    /// The charset behind a collation id (`information_schema.collation_character_set_applicability` of MariaDB 10.11 and 11.8 and
    /// `collations` of MySQL 9.7, which agree).
    pub fn of_collation(id: u64) -> Option<Self> {
        Self::of_name(collation_charset(id)?)
    }

    /// The charset of a name, as `information_schema.columns.character_set_name` has it; `None` for one that no server had when this was written.
    pub fn of_name(name: &str) -> Option<Self> {
        use encoding_rs::*;
        Some(match name.to_ascii_lowercase().as_str() {
            "utf8mb4" | "utf8mb3" | "utf8" | "ascii" => Self::Utf8,
            "binary" => Self::Binary,
            "latin1" => Self::Same(WINDOWS_1252),
            "latin2" => Self::Same(ISO_8859_2),
            "latin7" => Self::Same(ISO_8859_13),
            "cp1250" => Self::Same(WINDOWS_1250),
            "cp1251" => Self::Same(WINDOWS_1251),
            "cp1256" => Self::Same(WINDOWS_1256),
            "cp1257" => Self::Same(WINDOWS_1257),
            "koi8r" => Self::Same(KOI8_R),
            "macroman" => Self::Same(MACINTOSH),
            "euckr" => Self::Same(EUC_KR),
            "gbk" => Self::Same(GBK),
            "cp932" => Self::Same(SHIFT_JIS),
            "big5" => Self::Patched(BIG5, Patch::Big5),
            "sjis" => Self::Patched(SHIFT_JIS, Patch::Sjis),
            "ujis" => Self::Patched(EUC_JP, Patch::Ujis),
            "eucjpms" => Self::Patched(EUC_JP, Patch::Eucjpms),
            "gb2312" => Self::Patched(GBK, Patch::Gb2312),
            "gb18030" => Self::Patched(GB18030, Patch::Gb18030),
            "armscii8" => Self::Upper(&tables::ARMSCII8),
            "cp850" => Self::Upper(&tables::CP850),
            "cp852" => Self::Upper(&tables::CP852),
            "cp866" => Self::Upper(&tables::CP866),
            "dec8" => Self::Upper(&tables::DEC8),
            "geostd8" => Self::Upper(&tables::GEOSTD8),
            "greek" => Self::Upper(&tables::GREEK),
            "hebrew" => Self::Upper(&tables::HEBREW),
            "hp8" => Self::Upper(&tables::HP8),
            "keybcs2" => Self::Upper(&tables::KEYBCS2),
            "koi8u" => Self::Upper(&tables::KOI8U),
            "latin5" => Self::Upper(&tables::LATIN5),
            "macce" => Self::Upper(&tables::MACCE),
            "tis620" => Self::Upper(&tables::TIS620),
            "swe7" => Self::Swe7,
            "utf16" | "ucs2" => Self::Utf16,
            "utf16le" => Self::Utf16Le,
            "utf32" => Self::Utf32,
            _ => return None,
        })
    }

    /// Appends text of this charset as a JSON string; `binary` as base64.
    pub fn put_json(self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
        match self {
            Self::Utf8 if render::is_plain(bytes) => {
                out.reserve(bytes.len() + 2);
                out.push(b'"');
                out.extend_from_slice(bytes);
                out.push(b'"');
            }
            Self::Utf8 => {
                let text = std::str::from_utf8(bytes).map_err(|_| no_text(bytes))?;
                render::text(out, text);
            }
            Self::Binary => render::binary(out, bytes),
            _ => {
                out.push(b'"');
                let start = out.len();
                self.put_utf8(bytes, out)?;
                render::escape_from(out, start);
                out.push(b'"');
            }
        }
        Ok(())
    }

    /// Appends text of this charset as UTF-8.
    fn put_utf8(self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
        match self {
            Self::Utf8 | Self::Binary => {
                let text = std::str::from_utf8(bytes).map_err(|_| no_text(bytes))?;
                out.extend_from_slice(text.as_bytes());
                Ok(())
            }
            Self::Same(encoding) => put_run(encoding, bytes, out),
            Self::Patched(encoding, patch) => put_patched(encoding, patch, bytes, out),
            Self::Upper(table) => bytes.iter().try_for_each(|byte| {
                let code = match byte.checked_sub(0x80) {
                    None => Some(u16::from(*byte)),
                    Some(upper) => table.get(usize::from(upper)).copied().filter(|code| *code != 0),
                };
                put_code(code.map(u32::from), bytes, out)
            }),
            Self::Swe7 => bytes.iter().try_for_each(|byte| put_code(swe7(*byte), bytes, out)),
            Self::Utf16 => wide::put_utf16(bytes, u16::from_be_bytes, out),
            Self::Utf16Le => wide::put_utf16(bytes, u16::from_le_bytes, out),
            Self::Utf32 => wide::put_utf32(bytes, out),
        }
    }
}

/// G7's error for a text; it shows the bytes' start, so that whoever repairs the row can find them.
fn no_text(bytes: &[u8]) -> DecodeError {
    let shown: String = bytes.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let more = if bytes.len() > 16 { ".." } else { "" };
    DecodeError::Unsupported(format!(
        "a text that its column's charset has no characters for: 0x{shown}{more}"
    ))
}

fn put_code(code: Option<u32>, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    put_char(code.and_then(char::from_u32).ok_or_else(|| no_text(bytes))?, out);
    Ok(())
}

fn put_char(char: char, out: &mut Vec<u8>) {
    out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
}

fn put_run(encoding: &'static Encoding, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    if bytes.is_empty() {
        return Ok(());
    }
    let mut decoder = encoding.new_decoder_without_bom_handling();
    let start = out.len();
    let most =
        decoder.max_utf8_buffer_length_without_replacement(bytes.len()).ok_or(DecodeError::Truncated)?;
    out.resize(start + most, 0);
    let target = out.get_mut(start..).unwrap_or_default();
    let (result, _, written) = decoder.decode_to_utf8_without_replacement(bytes, target, true);
    out.truncate(start + written);
    match result {
        encoding_rs::DecoderResult::InputEmpty => Ok(()),
        _ => Err(no_text(bytes)),
    }
}

/// Decodes in runs between the characters that are mapped otherwise.
fn put_patched(
    encoding: &'static Encoding,
    patch: Patch,
    bytes: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), DecodeError> {
    let (mut run, mut at) = (0, 0);
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        let len = patch.char_len(rest).min(rest.len());
        let char = rest.get(..len).and_then(|code| patch.char(code));
        if let Some(char) = char {
            put_run(encoding, bytes.get(run..at).unwrap_or_default(), out)?;
            put_char(char, out);
            run = at + len;
        }
        at += len;
    }
    put_run(encoding, bytes.get(run..).unwrap_or_default(), out)
}

impl Patch {
    /// Bytes of the character that `rest` starts with; at least 1.
    fn char_len(self, rest: &[u8]) -> usize {
        match (self, rest) {
            (_, [0..=0x80, ..]) => 1,
            (Self::Sjis, [0xa0..=0xdf | 0xfd.., ..]) => 1,
            (Self::Ujis | Self::Eucjpms, [0x8f, ..]) => 3,
            (Self::Gb18030, [_, b'0'..=b'9', ..]) => 4,
            _ => 2,
        }
    }

    /// The servers' character for a code, where `encoding_rs` has another or none.
    fn char(self, code: &[u8]) -> Option<char> {
        let ujis = self == Self::Ujis;
        let code = match (self, code) {
            (Self::Big5, [high, low]) => match u16::from_be_bytes([*high, *low]) {
                0xa145 => 0x2022,
                0xa14e => 0xff64,
                0xa1c2 => 0x203e,
                0xa1e3 => 0x223c,
                0xa1f2 => 0x2641,
                0xa1f3 => 0x2609,
                0xa241 => 0xff0f,
                0xa242 => 0xff3c,
                0xa244 => 0x00a5,
                0xa246 => 0x00a2,
                0xa247 => 0x00a3,
                0xc6a1..=0xc7fc => {
                    let place = match low {
                        0x40..=0x7e => usize::from(low - 0x40),
                        0xa1..=0xfe => usize::from(low - 0xa1) + 63,
                        _ => return None,
                    };
                    // the table starts at 0xc6a1, a row has 157 codes
                    let place = usize::from(high - 0xc6) * 157 + place;
                    u32::from(*tables::BIG5_KANA.get(place.checked_sub(63)?)?)
                }
                _ => return None,
            },
            (Self::Sjis, [0x81, low]) => match low {
                0x5f => 0x5c,
                0x60 => 0x301c,
                0x61 => 0x2016,
                0x7c => 0x2212,
                0x91 => 0xa2,
                0x92 => 0xa3,
                0xca => 0xac,
                _ => return None,
            },
            (Self::Ujis, [0xa1, low]) => match low {
                0xc0 => 0x5c,
                0xc1 => 0x301c,
                0xc2 => 0x2016,
                0xdd => 0x2212,
                0xf1 => 0xa2,
                0xf2 => 0xa3,
                _ => return None,
            },
            (Self::Ujis, [0xa2, 0xcc]) => 0xac,
            (Self::Ujis, [0x8f, 0xa2, 0xb7]) => 0x7e,
            (Self::Eucjpms, [0x8f, 0xa2, 0xc3]) => 0xffe4,
            (Self::Eucjpms, [0x8f, row @ (0xf3 | 0xf4), low @ 0xa1..=0xfe]) => {
                // the table starts at 0xf3f3
                let place = usize::from(row - 0xf3) * 94 + usize::from(low - 0xa1);
                u32::from(*tables::EUCJPMS_IBM.get(place.checked_sub(0xf3 - 0xa1)?)?)
            }
            // users' own characters: ten rows of 94 in each of the two planes
            (_, [row @ 0xf5..=0xfe, low @ 0xa1..=0xfe]) if ujis || self == Self::Eucjpms => {
                0xe000 + u32::from(row - 0xf5) * 94 + u32::from(low - 0xa1)
            }
            (_, [0x8f, row @ 0xf5..=0xfe, low @ 0xa1..=0xfe]) if ujis || self == Self::Eucjpms => {
                0xe3ac + u32::from(row - 0xf5) * 94 + u32::from(low - 0xa1)
            }
            (Self::Gb2312, [0xa1, 0xa4]) => 0x30fb,
            (Self::Gb2312, [0xa1, 0xaa]) => 0x2015,
            (Self::Gb18030, [high, low]) => gb18030_2005(u16::from_be_bytes([*high, *low]))?,
            _ => return None,
        };
        char::from_u32(code)
    }
}

/// MySQL has GB 18030 of 2005, `encoding_rs` that of 2022, which moved 18 characters out of the private area; and 0xa3a0.
fn gb18030_2005(code: u16) -> Option<u32> {
    Some(match code {
        0xa3a0 => 0xe5e5,
        0xa6d9..=0xa6df => 0xe78d + u32::from(code - 0xa6d9),
        0xa6ec | 0xa6ed => 0xe794 + u32::from(code - 0xa6ec),
        0xa6f3 => 0xe796,
        0xfe59 => 0xe81e,
        0xfe61 => 0xe826,
        0xfe66 | 0xfe67 => 0xe82b + u32::from(code - 0xfe66),
        0xfe6d => 0xe832,
        0xfe7e => 0xe843,
        0xfe90 => 0xe854,
        0xfea0 => 0xe864,
        _ => return None,
    })
}

/// Swedish ISO 646.
fn swe7(byte: u8) -> Option<u32> {
    Some(match byte {
        b'@' => 0xc9,
        b'[' => 0xc4,
        b'\\' => 0xd6,
        b']' => 0xc5,
        b'^' => 0xdc,
        b'`' => 0xe9,
        b'{' => 0xe4,
        b'|' => 0xf6,
        b'}' => 0xe5,
        b'~' => 0xfc,
        0x7f.. => return None,
        _ => u32::from(byte),
    })
}

/// Which charset a collation is of. MariaDB numbers its NOPAD and UCA 14.0.0 collations in blocks of their own.
fn collation_charset(id: u64) -> Option<&'static str> {
    Some(match id {
        1 | 84 | 1025 | 1108 => "big5",
        2 | 9 | 21 | 27 | 77 | 1033 | 1101 => "latin2",
        3 | 69 | 1027 | 1093 => "dec8",
        4 | 80 | 1028 | 1104 => "cp850",
        5 | 8 | 15 | 31 | 47..=49 | 94 | 1032 | 1071 => "latin1",
        6 | 72 | 1030 | 1096 => "hp8",
        7 | 74 | 1031 | 1098 => "koi8r",
        10 | 82 | 1034 | 1106 => "swe7",
        11 | 65 | 1035 | 1089 => "ascii",
        12 | 91 | 1036 | 1115 => "ujis",
        13 | 88 | 1037 | 1112 => "sjis",
        14 | 23 | 50..=52 | 1074 | 1075 => "cp1251",
        16 | 71 | 1040 | 1095 => "hebrew",
        18 | 89 | 1042 | 1113 => "tis620",
        19 | 85 | 1043 | 1109 => "euckr",
        20 | 41 | 42 | 79 | 1065 | 1103 => "latin7",
        22 | 75 | 1046 | 1099 => "koi8u",
        24 | 86 | 1048 | 1110 => "gb2312",
        25 | 70 | 1049 | 1094 => "greek",
        26 | 34 | 44 | 66 | 99 | 1050 | 1090 => "cp1250",
        28 | 87 | 1052 | 1111 => "gbk",
        29 | 58 | 59 | 1082 | 1083 => "cp1257",
        30 | 78 | 1054 | 1102 => "latin5",
        32 | 64 | 1056 | 1088 => "armscii8",
        33 | 76 | 83 | 192..=223 | 576..=607 | 1057 | 1107 | 1216 | 1238 | 2048..=2303 => "utf8mb3",
        35 | 90 | 128..=159 | 640..=671 | 1059 | 1114 | 1152 | 1174 | 2560..=2815 => "ucs2",
        36 | 68 | 1060 | 1092 => "cp866",
        37 | 73 | 1061 | 1097 => "keybcs2",
        38 | 43 | 1062 | 1067 => "macce",
        39 | 53 | 1063 | 1077 => "macroman",
        40 | 81 | 1064 | 1105 => "cp852",
        45 | 46 | 224..=247 | 255..=323 | 608..=639 | 1069 | 1070 | 1248 | 1270 | 2304..=2559 => "utf8mb4",
        54 | 55 | 101..=124 | 672..=703 | 1078 | 1079 | 1125 | 1147 | 2816..=3071 => "utf16",
        56 | 62 | 1080 | 1086 => "utf16le",
        57 | 67 | 1081 | 1091 => "cp1256",
        60 | 61 | 160..=183 | 736..=767 | 1084 | 1085 | 1184 | 1206 | 3072..=3327 => "utf32",
        63 => "binary",
        92 | 93 | 1116 | 1117 => "geostd8",
        95 | 96 | 1119 | 1120 => "cp932",
        97 | 98 | 1121 | 1122 => "eucjpms",
        248..=250 => "gb18030",
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
