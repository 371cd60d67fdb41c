//! Table maps: the shape of a table, carried in front of its rows.
//!
//! Format: <https://dev.mysql.com/doc/dev/mysql-server/latest/classbinary__log_1_1Table__map__event.html>; MariaDB writes the same.

use super::{
    bytes::{Bitmap, Bytes, DecodeError},
    column::{Charset, ColumnKind, RawColumn, types},
};

/// A table's id and name: all that is read of tables nobody captures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableName<'a> {
    /// The id that rows events use until the next file.
    pub table_id: u64,
    /// Database.
    pub database: &'a str,
    /// Table.
    pub table: &'a str,
}

/// A column of a captured table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What its bytes mean.
    pub kind: ColumnKind,
    /// Whether it may be NULL.
    pub nullable: bool,
    /// `"name":` with the name escaped: written in front of every value.
    pub json_prefix: Vec<u8>,
}

/// A captured table's shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableShape {
    /// Columns in table order.
    pub columns: Vec<Column>,
    /// Indexes of the primary key's columns, in key order.
    pub primary_key: Vec<usize>,
}

/// Reads the table's id and name and leaves `body` at its columns.
pub fn parse_name<'a>(body: &mut Bytes<'a>) -> Result<TableName<'a>, DecodeError> {
    let table_id = body.uint(6)?;
    body.take(2)?;
    let mut name = || -> Result<&'a str, DecodeError> {
        let len = usize::from(body.u8()?);
        let text = body.take(len)?;
        if body.u8()? != 0 {
            return Err(DecodeError::Malformed("a table map's name does not end in zero"));
        }
        std::str::from_utf8(text).map_err(|_| DecodeError::Malformed("a table map's name is not UTF-8"))
    };
    Ok(TableName { table_id, database: name()?, table: name()? })
}

/// Reads the shape behind the name.
pub fn parse_shape(mut body: Bytes<'_>) -> Result<TableShape, DecodeError> {
    let count = body.lenenc_len()?;
    let type_codes = body.take(count)?;
    let mut metadata = Bytes(body.lenenc_bytes()?);
    let raw = type_codes
        .iter()
        .map(|code| RawColumn::parse(*code, &mut metadata))
        .collect::<Result<Vec<_>, _>>()?;
    let nullable = Bitmap(body.take(count.div_ceil(8))?);
    let optional = Optional::parse(body, &raw)?;
    optional.into_shape(&raw, nullable)
}

/// The optional metadata that `binlog_row_metadata=FULL` adds.
#[derive(Default)]
struct Optional {
    unsigned: Vec<bool>,
    names: Vec<String>,
    /// Collation per character column, in order.
    collations: Vec<u64>,
    default_collation: Option<(u64, Vec<(usize, u64)>)>,
    enum_collations: Vec<u64>,
    enum_default_collation: Option<(u64, Vec<(usize, u64)>)>,
    enum_values: Vec<Vec<Vec<u8>>>,
    primary_key: Vec<usize>,
}

impl Optional {
    fn parse(mut body: Bytes<'_>, raw: &[RawColumn]) -> Result<Self, DecodeError> {
        let mut found = Self::default();
        while !body.is_empty() {
            let field = body.u8()?;
            let mut value = Bytes(body.lenenc_bytes()?);
            match field {
                1 => found.unsigned = signedness(value.0, raw),
                2 => found.default_collation = Some(default_collation(&mut value)?),
                3 => found.collations = numbers(&mut value)?,
                4 => {
                    while !value.is_empty() {
                        let name = value.lenenc_bytes()?;
                        found.names.push(utf8(name, "a column name is not UTF-8")?.to_owned());
                    }
                }
                6 => found.enum_values = value_lists(&mut value)?,
                8 => {
                    found.primary_key =
                        numbers(&mut value)?.into_iter().map(|index| index as usize).collect();
                }
                9 => {
                    found.primary_key = numbers(&mut value)?
                        .chunks_exact(2)
                        .filter_map(|pair| pair.first())
                        .map(|index| *index as usize)
                        .collect();
                }
                10 => found.enum_default_collation = Some(default_collation(&mut value)?),
                11 => found.enum_collations = numbers(&mut value)?,
                // SET values, geometry types, visibility, vector dimensions: not needed for the types that are decoded
                _ => {}
            }
        }
        Ok(found)
    }

    fn into_shape(self, raw: &[RawColumn], nullable: Bitmap<'_>) -> Result<TableShape, DecodeError> {
        if self.names.len() != raw.len() {
            return Err(DecodeError::Unsupported(
                "the table map carries no column names: set binlog_row_metadata=FULL on the source; rows written before that cannot be read".to_owned(),
            ));
        }
        let mut text = collation_per_column(
            raw,
            RawColumn::is_character,
            &self.collations,
            self.default_collation.as_ref(),
        );
        let mut enums = collation_per_column(
            raw,
            RawColumn::is_enum_or_set,
            &self.enum_collations,
            self.enum_default_collation.as_ref(),
        );
        let mut enum_values = self.enum_values.into_iter();
        let mut columns = Vec::with_capacity(raw.len());
        for (index, (column, name)) in raw.iter().zip(self.names).enumerate() {
            let collation = if column.is_character() {
                text.next().flatten()
            } else if column.is_enum_or_set() {
                enums.next().flatten()
            } else {
                None
            };
            let values = if column.type_code == types::ENUM { enum_values.next() } else { None };
            let unsigned = self.unsigned.get(index).copied().unwrap_or(false);
            let kind = kind_of(*column, unsigned, collation, values)
                .map_err(|reason| DecodeError::Unsupported(format!("column `{name}`: {reason}")))?;
            let mut json_prefix = serde_json::to_vec(&name)
                .map_err(|_| DecodeError::Malformed("a column name that is no text"))?;
            json_prefix.push(b':');
            columns.push(Column { name, kind, nullable: nullable.get(index), json_prefix });
        }
        if self.primary_key.iter().any(|index| *index >= columns.len()) {
            return Err(DecodeError::Malformed("the primary key names a column that is not there"));
        }
        Ok(TableShape { columns, primary_key: self.primary_key })
    }
}

/// One flag per column; bits stand for numeric columns only, the highest bit first.
fn signedness(bits: &[u8], raw: &[RawColumn]) -> Vec<bool> {
    let mut numeric = 0;
    raw.iter()
        .map(|column| {
            let unsigned = column.is_numeric()
                && bits.get(numeric / 8).is_some_and(|byte| byte >> (7 - numeric % 8) & 1 == 1);
            numeric += usize::from(column.is_numeric());
            unsigned
        })
        .collect()
}

fn numbers(value: &mut Bytes<'_>) -> Result<Vec<u64>, DecodeError> {
    let mut list = Vec::new();
    while !value.is_empty() {
        list.push(value.lenenc()?);
    }
    Ok(list)
}

fn default_collation(value: &mut Bytes<'_>) -> Result<(u64, Vec<(usize, u64)>), DecodeError> {
    let default = value.lenenc()?;
    let exceptions = numbers(value)?;
    let pairs = exceptions
        .chunks_exact(2)
        .filter_map(|pair| Some((*pair.first()? as usize, *pair.get(1)?)))
        .collect();
    Ok((default, pairs))
}

fn value_lists(value: &mut Bytes<'_>) -> Result<Vec<Vec<Vec<u8>>>, DecodeError> {
    let mut lists = Vec::new();
    while !value.is_empty() {
        let count = value.lenenc_len()?;
        let mut list = Vec::new();
        for _ in 0..count {
            list.push(value.lenenc_bytes()?.to_vec());
        }
        lists.push(list);
    }
    Ok(lists)
}

/// The collation of each column that `which` selects, in order: from the full list, or from the default and its exceptions,
/// whose indexes count the selected columns only.
fn collation_per_column<'a>(
    raw: &'a [RawColumn],
    which: fn(RawColumn) -> bool,
    listed: &'a [u64],
    default: Option<&'a (u64, Vec<(usize, u64)>)>,
) -> impl Iterator<Item = Option<u64>> + 'a {
    raw.iter().filter(move |column| which(**column)).enumerate().map(move |(ordinal, _)| {
        listed.get(ordinal).copied().or_else(|| {
            let (default, exceptions) = default?;
            Some(
                exceptions
                    .iter()
                    .find(|(at, _)| *at == ordinal)
                    .map_or(*default, |(_, collation)| *collation),
            )
        })
    })
}

fn kind_of(
    column: RawColumn,
    unsigned: bool,
    collation: Option<u64>,
    enum_values: Option<Vec<Vec<u8>>>,
) -> Result<ColumnKind, String> {
    let int = |width| Ok(ColumnKind::Int { width, unsigned });
    let charset = || {
        let id = collation
            .ok_or("the table map says nothing about its charset (binlog_row_metadata=FULL is needed)")?;
        Charset::of_collation(id).ok_or_else(|| {
            format!(
                "collation {id} is not of a charset that is converted yet (utf8mb4, utf8mb3, ascii, binary)"
            )
        })
    };
    let fraction = || {
        u8::try_from(column.meta)
            .ok()
            .filter(|digits| *digits <= 6)
            .ok_or("a fraction of more than 6 digits".to_owned())
    };
    match column.type_code {
        types::TINY => int(1),
        types::SHORT => int(2),
        types::INT24 => int(3),
        types::LONG => int(4),
        types::LONGLONG => int(8),
        types::YEAR => Ok(ColumnKind::Year),
        types::NEWDECIMAL => {
            let (precision, scale) = ((column.meta & 0xff) as u8, (column.meta >> 8) as u8);
            if precision == 0 || precision > 65 || scale > precision {
                return Err(format!("DECIMAL({precision},{scale}) does not exist"));
            }
            Ok(ColumnKind::Decimal { precision, scale })
        }
        types::DATE => Ok(ColumnKind::Date),
        types::DATETIME2 => Ok(ColumnKind::DateTime { fraction: fraction()? }),
        types::TIMESTAMP2 => Ok(ColumnKind::Timestamp { fraction: fraction()? }),
        types::VARCHAR | types::VAR_STRING => Ok(ColumnKind::Chars {
            length_bytes: if column.meta > 255 { 2 } else { 1 },
            charset: charset()?,
            pad_to: 0,
        }),
        types::STRING => {
            let charset = charset()?;
            let pad_to = if charset == Charset::Binary { column.meta } else { 0 };
            Ok(ColumnKind::Chars { length_bytes: if column.meta > 255 { 2 } else { 1 }, charset, pad_to })
        }
        types::BLOB if (1..=4).contains(&column.meta) => {
            Ok(ColumnKind::Chars { length_bytes: column.meta as u8, charset: charset()?, pad_to: 0 })
        }
        types::ENUM if (1..=2).contains(&column.meta) => {
            let values = enum_values
                .ok_or("the table map carries no ENUM values (binlog_row_metadata=FULL is needed)")?;
            if charset()? == Charset::Binary {
                return Err("an ENUM of binary values is not decoded yet".to_owned());
            }
            let values = values
                .into_iter()
                .map(|value| String::from_utf8(value).map_err(|_| "an ENUM value is not UTF-8".to_owned()))
                .collect::<Result<_, _>>()?;
            Ok(ColumnKind::Enum { width: column.meta as u8, values })
        }
        types::FLOAT | types::DOUBLE => Err("FLOAT and DOUBLE are not decoded yet".to_owned()),
        types::BIT => Err("BIT is not decoded yet".to_owned()),
        types::SET => Err("SET is not decoded yet".to_owned()),
        types::TIME2 => Err("TIME is not decoded yet".to_owned()),
        types::GEOMETRY => Err("GEOMETRY is not decoded yet".to_owned()),
        245 => Err("JSON in MySQL's binary form is not decoded yet".to_owned()),
        140 | 141 => Err("COMPRESSED columns are not decoded yet".to_owned()),
        other => Err(format!("type number {other} is not decoded yet")),
    }
}

fn utf8<'a>(bytes: &'a [u8], otherwise: &'static str) -> Result<&'a str, DecodeError> {
    std::str::from_utf8(bytes).map_err(|_| DecodeError::Malformed(otherwise))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_a_shape_or_an_error_and_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..96)) {
            let mut body = Bytes(&bytes);
            if parse_name(&mut body).is_ok() {
                let _ = parse_shape(body);
            }
        }
    }

    #[test]
    fn signedness_counts_numeric_columns_only_and_year_is_one_of_them() {
        let raw = |type_code| RawColumn { type_code, meta: 0 };
        let columns = [types::TINY, types::YEAR, types::VARCHAR, types::LONGLONG].map(raw);
        // bits: TINY 0, YEAR 1, LONGLONG 1
        assert_eq!(signedness(&[0b0110_0000], &columns), [false, true, false, true]);
    }

    #[test]
    fn a_default_collation_has_exceptions_by_the_ordinal_of_text_columns() {
        let raw = |type_code| RawColumn { type_code, meta: 0 };
        let columns = [types::LONG, types::VARCHAR, types::ENUM, types::BLOB].map(raw);
        let default = (45, vec![(1, 63)]);
        let found: Vec<_> =
            collation_per_column(&columns, RawColumn::is_character, &[], Some(&default)).collect();
        assert_eq!(found, [Some(45), Some(63)]);
    }
}
