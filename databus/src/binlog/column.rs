//! A column's shape, from the table map alone: no schema is ever derived from DDL.

use super::bytes::{Bytes, DecodeError};

/// How a text column's bytes become UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Charset {
    /// utf8mb4, utf8mb3 and ascii: the bytes are UTF-8 already.
    Utf8,
    /// The pseudo-charset `binary`: not text at all.
    Binary,
}

impl Charset {
    /// The charset behind a collation id (`information_schema.collations`), where this version converts it.
    /// MariaDB numbers its extra collations of a charset within blocks of their own.
    pub fn of_collation(id: u64) -> Option<Self> {
        match id {
            63 => Some(Self::Binary),
            // ascii
            11 | 65 | 1035 | 1089 => Some(Self::Utf8),
            // utf8mb3: general, bin, unicode and language collations, MariaDB's nopad and myanmar/thai ones
            33 | 76 | 83 | 192..=223 | 576..=578 | 1057 | 1107 | 1216 | 1238 => Some(Self::Utf8),
            // utf8mb4
            45 | 46 | 224..=247 | 255..=323 | 608..=610 | 1069 | 1070 | 1248 | 1270 => Some(Self::Utf8),
            // MariaDB >= 10.10: uca1400 collations of utf8mb3 and utf8mb4
            2048..=2559 => Some(Self::Utf8),
            _ => None,
        }
    }
}

/// What the bytes of a cell mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnKind {
    /// TINYINT to BIGINT: bytes and sign.
    Int {
        /// 1, 2, 3, 4 or 8.
        width: u8,
        /// UNSIGNED.
        unsigned: bool,
    },
    /// YEAR.
    Year,
    /// DECIMAL(precision, scale).
    Decimal {
        /// All digits.
        precision: u8,
        /// Digits behind the point.
        scale: u8,
    },
    /// DATE.
    Date,
    /// DATETIME(fraction).
    DateTime {
        /// Digits behind the second.
        fraction: u8,
    },
    /// TIMESTAMP(fraction).
    Timestamp {
        /// Digits behind the second.
        fraction: u8,
    },
    /// CHAR, VARCHAR, TEXT, BINARY, VARBINARY, BLOB: a length of so many bytes in front.
    Chars {
        /// Bytes of the length.
        length_bytes: u8,
        /// How the bytes are read.
        charset: Charset,
        /// BINARY(n): the server cuts trailing zeros, so they are put back; 0 for every other type.
        pad_to: u16,
    },
    /// ENUM: index of so many bytes into the values, which are UTF-8.
    Enum {
        /// 1 or 2.
        width: u8,
        /// The values, from index 1.
        values: Vec<String>,
    },
}

/// A type number and its metadata as the table map lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawColumn {
    /// The type, after STRING is taken apart into CHAR, ENUM and SET.
    pub type_code: u8,
    /// The two bytes of metadata, low byte first; 0 where the type has none.
    pub meta: u16,
}

/// MySQL's type numbers, as far as they matter here.
pub mod types {
    #![expect(missing_docs, reason = "the names are MySQL's own, see enum_field_types in field_types.h")]
    pub const TINY: u8 = 1;
    pub const SHORT: u8 = 2;
    pub const LONG: u8 = 3;
    pub const FLOAT: u8 = 4;
    pub const DOUBLE: u8 = 5;
    pub const LONGLONG: u8 = 8;
    pub const INT24: u8 = 9;
    pub const DATE: u8 = 10;
    pub const YEAR: u8 = 13;
    pub const VARCHAR: u8 = 15;
    pub const BIT: u8 = 16;
    pub const TIMESTAMP2: u8 = 17;
    pub const DATETIME2: u8 = 18;
    pub const TIME2: u8 = 19;
    pub const NEWDECIMAL: u8 = 246;
    pub const ENUM: u8 = 247;
    pub const SET: u8 = 248;
    pub const BLOB: u8 = 252;
    pub const VAR_STRING: u8 = 253;
    pub const STRING: u8 = 254;
    pub const GEOMETRY: u8 = 255;
}

impl RawColumn {
    /// Reads one column's metadata.
    pub fn parse(type_code: u8, metadata: &mut Bytes<'_>) -> Result<Self, DecodeError> {
        use types::*;
        let meta_len = match type_code {
            FLOAT | DOUBLE | TIMESTAMP2 | DATETIME2 | TIME2 | BLOB | GEOMETRY | 242 | 245 => 1,
            VARCHAR | BIT | NEWDECIMAL | VAR_STRING | STRING | ENUM | SET => 2,
            // MariaDB's COMPRESSED columns
            140 => 1,
            141 => 2,
            TINY | SHORT | LONG | LONGLONG | INT24 | DATE | YEAR | 0 | 6 | 7 | 11 | 12 | 14 => 0,
            _ => {
                return Err(DecodeError::Unsupported(format!("column type number {type_code} is not known")));
            }
        };
        let meta = metadata.uint(meta_len)? as u16;
        if type_code != STRING {
            return Ok(Self { type_code, meta });
        }
        // CHAR, ENUM and SET share STRING: the low byte is the real type, but for CHAR above 255 bytes two bits of the length are folded into it
        let (low, high) = (meta & 0xff, meta >> 8);
        if low & 0x30 == 0x30 {
            Ok(Self { type_code: low as u8, meta: high })
        } else {
            Ok(Self { type_code: (low | 0x30) as u8, meta: high | (((low & 0x30) ^ 0x30) << 4) })
        }
    }

    /// Whether the signedness bitmap has a bit for it. MariaDB counts YEAR too.
    pub fn is_numeric(self) -> bool {
        use types::*;
        matches!(self.type_code, TINY | SHORT | INT24 | LONG | LONGLONG | FLOAT | DOUBLE | NEWDECIMAL | YEAR)
    }

    /// Whether the charset list has an entry for it.
    pub fn is_character(self) -> bool {
        use types::*;
        matches!(self.type_code, VARCHAR | VAR_STRING | STRING | BLOB | GEOMETRY)
    }

    /// Whether the charset list of ENUM and SET has an entry for it.
    pub fn is_enum_or_set(self) -> bool {
        matches!(self.type_code, types::ENUM | types::SET)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_char_column_gets_its_folded_length_bits_back() {
        // CHAR(255) in utf8mb4 is 1020 bytes: 0x3fc, so the type byte is 0xfe ^ (0x300 >> 4) = 0xce
        assert_eq!(
            RawColumn::parse(types::STRING, &mut Bytes(&[0xce, 0xfc])),
            Ok(RawColumn { type_code: types::STRING, meta: 1020 })
        );
        assert_eq!(
            RawColumn::parse(types::STRING, &mut Bytes(&[0xfe, 12])),
            Ok(RawColumn { type_code: types::STRING, meta: 12 })
        );
        assert_eq!(
            RawColumn::parse(types::STRING, &mut Bytes(&[0xf7, 1])),
            Ok(RawColumn { type_code: types::ENUM, meta: 1 })
        );
        assert!(RawColumn::parse(99, &mut Bytes(&[])).is_err());
    }
}
