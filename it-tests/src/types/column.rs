//! A random column.

use super::{canon::Canon, literal};
use crate::harness::Flavour;
use crate::rng::Rng;

/// Every charset of MariaDB that holds text.
pub const CHARSETS: [&str; 39] = [
    "armscii8", "ascii", "big5", "cp1250", "cp1251", "cp1256", "cp1257", "cp850", "cp852", "cp866", "cp932",
    "dec8", "eucjpms", "euckr", "gb2312", "gbk", "geostd8", "greek", "hebrew", "hp8", "keybcs2", "koi8r",
    "koi8u", "latin1", "latin2", "latin5", "latin7", "macce", "macroman", "sjis", "swe7", "tis620", "ucs2",
    "ujis", "utf16", "utf16le", "utf32", "utf8mb3", "utf8mb4",
];

pub struct Column {
    pub name: String,
    /// Type and everything behind it.
    pub ddl: String,
    pub nullable: bool,
    pub canon: Canon,
    /// Small enough, and never NULL.
    pub fits_a_key: bool,
    values: Values,
}

/// Where its values come from.
enum Values {
    /// The server makes them.
    Generated,
    Random(literal::Literal),
}

impl Column {
    pub fn random(name: &str, flavour: Flavour, rng: &mut Rng) -> Self {
        let canonical = Canon::Plain;
        if rng.one_in(12) {
            let kind = *rng.pick(&["VIRTUAL", "STORED"]);
            let ddl = format!("BIGINT AS (id * {}) {kind}", rng.below(1_000));
            return Self {
                name: name.to_owned(),
                ddl,
                nullable: true,
                canon: canonical,
                fits_a_key: false,
                values: Values::Generated,
            };
        }
        let (mut ddl, canon, literal) = typed(flavour, rng);
        let nullable = rng.one_in(2);
        let fits_a_key = !nullable
            && matches!(
                canon,
                Canon::Plain | Canon::Date | Canon::Time(_) | Canon::DateTime(_) | Canon::Year
            )
            && !ddl.contains("VECTOR");
        // a TIMESTAMP is NOT NULL on its own, and updates itself
        ddl.push_str(match (nullable, canon) {
            (true, _) => " NULL",
            (false, Canon::Timestamp(_)) => " NOT NULL DEFAULT '1970-01-01 00:00:01'",
            (false, _) => " NOT NULL",
        });
        // an INVISIBLE column needs a default; NULL is one
        if nullable && rng.one_in(6) {
            ddl.push_str(" INVISIBLE");
        }
        Self { name: name.to_owned(), ddl, nullable, canon, fits_a_key, values: Values::Random(literal) }
    }

    /// A column of one type that may be NULL, with the canonical form of its values and where they come from.
    pub fn of(name: &str, ddl: &str, canon: Canon, literal: literal::Literal) -> Self {
        let nullable = !ddl.contains("NOT NULL");
        let values = Values::Random(literal);
        Self { name: name.to_owned(), ddl: ddl.to_owned(), nullable, canon, fits_a_key: false, values }
    }

    /// Whether the server computes it.
    pub fn is_generated(&self) -> bool {
        matches!(self.values, Values::Generated)
    }

    /// A value to insert; `None` where the server makes it.
    pub fn literal(&self, rng: &mut Rng) -> Option<String> {
        match &self.values {
            Values::Generated => None,
            Values::Random(_) if self.nullable && rng.one_in(5) => Some("NULL".to_owned()),
            Values::Random(literal) => Some(literal(rng)),
        }
    }
}

/// A type with what follows it, the canonical form of its values, and a source of values.
fn typed(flavour: Flavour, rng: &mut Rng) -> (String, Canon, literal::Literal) {
    let mariadb = !flavour.is_mysql();
    let digits = rng.below(7) as u8;
    let charset = |rng: &mut Rng| match flavour.is_mysql() && rng.one_in(8) {
        true => "gb18030",
        false => *rng.pick(&CHARSETS),
    };
    match rng.below(24) {
        0..=2 => {
            let at = rng.below(5);
            let (name, bits) =
                [("TINYINT", 8), ("SMALLINT", 16), ("MEDIUMINT", 24), ("INT", 32), ("BIGINT", 64)][at];
            let unsigned = rng.one_in(2);
            let sign = if unsigned { " UNSIGNED" } else { "" };
            (format!("{name}{sign}"), Canon::Plain, literal::integer(bits, unsigned))
        }
        3 => ("YEAR".to_owned(), Canon::Year, literal::year()),
        4 | 5 => {
            let precision = 1 + rng.below(65);
            let scale = rng.below(precision.min(30) + 1);
            let unsigned = rng.one_in(3);
            let sign = if unsigned { " UNSIGNED" } else { "" };
            (
                format!("DECIMAL({precision},{scale}){sign}"),
                Canon::Plain,
                literal::decimal(precision, scale, unsigned),
            )
        }
        6 => ("FLOAT".to_owned(), Canon::Float, literal::float()),
        7 => ("DOUBLE".to_owned(), Canon::Double, literal::double()),
        8 => {
            let width = 1 + rng.below(64) as u8;
            (format!("BIT({width})"), Canon::Bits(width), literal::bits(width))
        }
        9 => ("DATE".to_owned(), Canon::Date, literal::date()),
        10 => (format!("TIME({digits})"), Canon::Time(digits), literal::time()),
        11 => (format!("DATETIME({digits})"), Canon::DateTime(digits), literal::datetime()),
        12 => (format!("TIMESTAMP({digits})"), Canon::Timestamp(digits), literal::timestamp()),
        13 => (format!("BINARY({})", 1 + rng.below(60)), Canon::Binary, literal::binary(40)),
        14 => {
            let kind =
                *rng.pick(&["VARBINARY(60)", "VARBINARY(300)", "TINYBLOB", "BLOB", "MEDIUMBLOB", "LONGBLOB"]);
            (kind.to_owned(), Canon::Binary, literal::binary(60))
        }
        15 | 16 => {
            let kind = *rng.pick(&[
                "CHAR(9)",
                "CHAR(255)",
                "VARCHAR(40)",
                "TINYTEXT",
                "TEXT",
                "MEDIUMTEXT",
                "LONGTEXT",
            ]);
            let charset = charset(rng);
            (format!("{kind} CHARACTER SET {charset}"), Canon::Text, literal::text(charset))
        }
        17 => {
            let charset = charset(rng);
            let count = if rng.one_in(4) { 300 } else { 1 + rng.below(20) };
            let values = literal::members(count);
            (
                format!("ENUM({}) CHARACTER SET {charset}", values.join(", ")),
                Canon::Text,
                literal::one_of(values),
            )
        }
        18 => {
            let count = *rng.pick(&[1, 8, 9, 17, 33, 64]);
            let values = literal::members(count);
            (
                format!("SET({}) CHARACTER SET {}", values.join(", "), charset(rng)),
                Canon::Text,
                literal::set(count),
            )
        }
        19 => {
            let kind = *rng.pick(&["GEOMETRY", "POINT", "LINESTRING", "POLYGON", "GEOMETRYCOLLECTION"]);
            (kind.to_owned(), Canon::Geometry { mysql: !mariadb }, literal::geometry(kind, mariadb))
        }
        20 if mariadb => ("JSON".to_owned(), Canon::Text, literal::json_text()),
        20 => ("JSON".to_owned(), Canon::Json, literal::json_value()),
        21 if mariadb => {
            let kind = *rng.pick(&["UUID", "INET4", "INET6"]);
            (kind.to_owned(), Canon::Plain, literal::address(kind))
        }
        22 if mariadb => {
            if rng.one_in(2) {
                let kind = *rng.pick(&["VARBINARY(400) COMPRESSED", "BLOB COMPRESSED"]);
                (kind.to_owned(), Canon::Binary, literal::binary(300))
            } else {
                let kind = *rng.pick(&["VARCHAR(400) COMPRESSED", "TEXT COMPRESSED"]);
                let charset = charset(rng);
                (format!("{kind} CHARACTER SET {charset}"), Canon::Text, literal::long_text(charset))
            }
        }
        23 if flavour != Flavour::MariaDb1011 => {
            ("VECTOR(5)".to_owned(), Canon::Vector, literal::vector(5, mariadb))
        }
        _ => ("VARCHAR(60)".to_owned(), Canon::Text, literal::text("utf8mb4")),
    }
}
