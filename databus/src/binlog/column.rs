//! A column's shape, from the table map alone: no schema is ever derived from DDL.

use super::{
    bytes::{Bytes, DecodeError},
    charset::Charset,
};

/// Whose binlog it is: table maps of the two differ in which columns their lists count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Flavour {
    /// MariaDB: YEAR has a sign bit, geometries a collation.
    #[default]
    MariaDb,
    /// MySQL: neither.
    MySql,
}

impl Flavour {
    /// From a format description event's body: two bytes of format version, then the server's version.
    pub fn of_description(body: &[u8]) -> Self {
        let version = body.get(2..52).unwrap_or_default();
        if version.windows(7).any(|part| part.eq_ignore_ascii_case(b"mariadb")) {
            Self::MariaDb
        } else {
            Self::MySql
        }
    }
}

/// What `information_schema` says of columns whose table map calls them BINARY or VARBINARY: MariaDB logs no more of these types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// UUID: 16 bytes.
    Uuid,
    /// INET6: 16 bytes.
    Inet6,
    /// INET4: 4 bytes.
    Inet4,
    /// VECTOR of MariaDB.
    Vector,
}

/// A column of which `information_schema` says what the table map does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToldColumn {
    /// Its database.
    pub database: String,
    /// Its table.
    pub table: String,
    /// Its name.
    pub column: String,
    /// Its type, where the log shows it as binary.
    pub told: Option<Told>,
    /// Whether the server computes it: row images may lack it then.
    pub generated: bool,
}

impl Told {
    /// From a column's `data_type`.
    pub fn of_data_type(data_type: &str) -> Option<Self> {
        match data_type.to_ascii_lowercase().as_str() {
            "uuid" => Some(Self::Uuid),
            "inet6" => Some(Self::Inet6),
            "inet4" => Some(Self::Inet4),
            "vector" => Some(Self::Vector),
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
    /// TIME(fraction).
    Time {
        /// Digits behind the second.
        fraction: u8,
    },
    /// FLOAT.
    Float,
    /// DOUBLE.
    Double,
    /// BIT(width).
    Bit {
        /// 1 to 64.
        width: u8,
    },
    /// CHAR, VARCHAR, TEXT, VARBINARY, BLOB: a length of so many bytes in front.
    Chars {
        /// Bytes of the length.
        length_bytes: u8,
        /// How the bytes are read.
        charset: Charset,
    },
    /// BINARY(size): the server cuts trailing zeros, so they are put back.
    Fixed {
        /// Bytes of the column.
        size: u16,
        /// What `information_schema` says it is.
        told: Option<Told>,
    },
    /// MariaDB's COMPRESSED text and binary columns.
    Compressed {
        /// Bytes of the length.
        length_bytes: u8,
        /// How the bytes are read once they are decompressed.
        charset: Charset,
    },
    /// ENUM: index of so many bytes into the values.
    Enum {
        /// 1 or 2.
        width: u8,
        /// The values as JSON, from index 1.
        values: Vec<Vec<u8>>,
    },
    /// SET: a bit for each value.
    Set {
        /// Bytes of the bits, up to 8.
        width: u8,
        /// The values as JSON without the quotes, from the lowest bit.
        values: Vec<Vec<u8>>,
    },
    /// JSON of MySQL, in its binary form.
    Json {
        /// Bytes of the length.
        length_bytes: u8,
    },
    /// Every spatial type.
    Geometry {
        /// Bytes of the length.
        length_bytes: u8,
        /// POINT, whose coordinates are shown too.
        point: bool,
    },
    /// VECTOR.
    Vector {
        /// Bytes of the length.
        length_bytes: u8,
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
    pub const BLOB_COMPRESSED: u8 = 140;
    pub const VARCHAR_COMPRESSED: u8 = 141;
    pub const VECTOR: u8 = 242;
    pub const JSON: u8 = 245;
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
            FLOAT | DOUBLE | TIMESTAMP2 | DATETIME2 | TIME2 | BLOB | BLOB_COMPRESSED | GEOMETRY | VECTOR
            | JSON => 1,
            VARCHAR | VARCHAR_COMPRESSED | BIT | NEWDECIMAL | VAR_STRING | STRING | ENUM | SET => 2,
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

    /// Whether the signedness bitmap has a bit for it.
    pub fn is_numeric(self) -> bool {
        use types::*;
        matches!(self.type_code, TINY | SHORT | INT24 | LONG | LONGLONG | FLOAT | DOUBLE | NEWDECIMAL | YEAR)
    }

    /// Whether the charset list has an entry for it.
    pub fn is_character(self, flavour: Flavour) -> bool {
        use types::*;
        match self.type_code {
            VARCHAR | VAR_STRING | STRING | BLOB | VARCHAR_COMPRESSED | BLOB_COMPRESSED | VECTOR => true,
            GEOMETRY => flavour == Flavour::MariaDb,
            _ => false,
        }
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
