//! From what a table map says of a column to what its bytes mean.

use super::{
    charset::Charset,
    column::{ColumnKind, RawColumn, types},
};

/// What a table map says of one column.
pub(super) struct Facts {
    pub(super) column: RawColumn,
    pub(super) unsigned: bool,
    pub(super) collation: Option<u64>,
    /// Of an ENUM or SET, in the column's charset.
    pub(super) values: Option<Vec<Vec<u8>>>,
    /// OGC's type number.
    pub(super) geometry: Option<u64>,
}

/// The meaning, or why this version does not decode it.
pub(super) fn kind_of(facts: Facts) -> Result<ColumnKind, String> {
    let (meta, unsigned) = (facts.column.meta, facts.unsigned);
    let int = |width| Ok(ColumnKind::Int { width, unsigned });
    let charset = || charset_of(facts.collation);
    let fraction = || {
        u8::try_from(meta)
            .ok()
            .filter(|digits| *digits <= 6)
            .ok_or("a fraction of more than 6 digits".to_owned())
    };
    // of VARCHAR and its like the metadata is the longest length, of BLOB and its like the bytes of the length
    let for_length = if meta > 255 { 2 } else { 1 };
    let length_bytes = || {
        u8::try_from(meta)
            .ok()
            .filter(|bytes| (1..=4).contains(bytes))
            .ok_or("a length of no 1 to 4 bytes".to_owned())
    };
    match facts.column.type_code {
        types::TINY => int(1),
        types::SHORT => int(2),
        types::INT24 => int(3),
        types::LONG => int(4),
        types::LONGLONG => int(8),
        types::YEAR => Ok(ColumnKind::Year),
        types::FLOAT if meta == 4 => Ok(ColumnKind::Float),
        types::DOUBLE if meta == 8 => Ok(ColumnKind::Double),
        types::NEWDECIMAL => {
            let (precision, scale) = ((meta & 0xff) as u8, (meta >> 8) as u8);
            if precision == 0 || precision > 65 || scale > precision {
                return Err(format!("DECIMAL({precision},{scale}) does not exist"));
            }
            Ok(ColumnKind::Decimal { precision, scale })
        }
        types::BIT => match (meta & 0xff) + (meta >> 8) * 8 {
            width @ 1..=64 => Ok(ColumnKind::Bit { width: width as u8 }),
            width => Err(format!("BIT({width}) does not exist")),
        },
        types::DATE => Ok(ColumnKind::Date),
        types::TIME2 => Ok(ColumnKind::Time { fraction: fraction()? }),
        types::DATETIME2 => Ok(ColumnKind::DateTime { fraction: fraction()? }),
        types::TIMESTAMP2 => Ok(ColumnKind::Timestamp { fraction: fraction()? }),
        7 | 11 | 12 => Err(
            "TIME, DATETIME or TIMESTAMP in the form of before MySQL 5.6: ALTER TABLE .. FORCE brings it up to date"
                .to_owned(),
        ),
        types::VARCHAR | types::VAR_STRING => {
            Ok(ColumnKind::Chars { length_bytes: for_length, charset: charset()? })
        }
        types::STRING => match charset()? {
            Charset::Binary => Ok(ColumnKind::Fixed { size: meta, told: None }),
            charset => Ok(ColumnKind::Chars { length_bytes: for_length, charset }),
        },
        types::BLOB => Ok(ColumnKind::Chars { length_bytes: length_bytes()?, charset: charset()? }),
        types::VARCHAR_COMPRESSED => {
            Ok(ColumnKind::Compressed { length_bytes: for_length, charset: charset()? })
        }
        types::BLOB_COMPRESSED => {
            Ok(ColumnKind::Compressed { length_bytes: length_bytes()?, charset: charset()? })
        }
        types::ENUM if (1..=2).contains(&meta) => {
            Ok(ColumnKind::Enum { width: meta as u8, values: json_values(facts.values, charset()?, true)? })
        }
        types::SET if (1..=8).contains(&meta) => {
            Ok(ColumnKind::Set { width: meta as u8, values: json_values(facts.values, charset()?, false)? })
        }
        types::JSON => Ok(ColumnKind::Json { length_bytes: length_bytes()? }),
        // https://www.ogc.org/standard/sfa/: 1 is POINT
        types::GEOMETRY => {
            Ok(ColumnKind::Geometry { length_bytes: length_bytes()?, point: facts.geometry == Some(1) })
        }
        types::VECTOR => Ok(ColumnKind::Vector { length_bytes: length_bytes()? }),
        other => Err(format!("type number {other} with metadata {meta} is not decoded by this version")),
    }
}

fn charset_of(collation: Option<u64>) -> Result<Charset, String> {
    let id = collation
        .ok_or("the table map says nothing about its charset (binlog_row_metadata=FULL is needed)")?;
    Charset::of_collation(id)
        .ok_or_else(|| format!("collation {id} is of no charset that this version knows"))
}

/// The values of an ENUM or SET as JSON strings, without the quotes if not `quoted`. Values of the charset `binary` are taken as text,
/// which they nearly always are.
fn json_values(values: Option<Vec<Vec<u8>>>, charset: Charset, quoted: bool) -> Result<Vec<Vec<u8>>, String> {
    let charset = if charset == Charset::Binary { Charset::Utf8 } else { charset };
    let values = values.ok_or("the table map carries no values (binlog_row_metadata=FULL is needed)")?;
    values
        .into_iter()
        .map(|value| {
            let mut json = Vec::with_capacity(value.len() + 2);
            charset.put_json(&value, &mut json).map_err(|error| error.to_string())?;
            let inner = json.get(1..json.len() - 1).filter(|_| !quoted).map(<[u8]>::to_vec);
            Ok(inner.unwrap_or(json))
        })
        .collect()
}
