//! Table maps: the shape of a table, carried in front of its rows.
//!
//! Format: <https://dev.mysql.com/doc/dev/mysql-server/latest/classbinary__log_1_1Table__map__event.html>; MariaDB writes the same.

use super::{
    bytes::{Bitmap, Bytes, DecodeError},
    charset::Charset,
    column::{ColumnKind, Flavour, RawColumn, Told, ToldColumn, types},
    kind::{Facts, kind_of},
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
    /// Whether `information_schema` says that the server computes it.
    pub generated: bool,
    /// `,"name":` with the name escaped: written in front of every value.
    pub json_prefix: Vec<u8>,
}

impl Column {
    /// An error in one of its values, with its name.
    pub(super) fn blame(&self, error: DecodeError) -> DecodeError {
        match error {
            DecodeError::Unsupported(reason) => {
                DecodeError::Unsupported(format!("column `{}`: {reason}", self.name))
            }
            other => other,
        }
    }
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

impl TableShape {
    /// Takes in what `information_schema` says of columns. One that is not there, or not as its type is kept, stays what the log
    /// says: the table was another one when the rows were written.
    pub fn apply(&mut self, name: &TableName<'_>, columns: &[ToldColumn]) {
        let of_table: Vec<_> = columns
            .iter()
            .filter(|told| told.database == name.database && told.table == name.table)
            .collect();
        for column in &mut self.columns {
            let Some(told) = of_table.iter().find(|told| told.column == column.name) else { continue };
            column.generated = told.generated;
            match (&mut column.kind, told.told) {
                (ColumnKind::Fixed { size: 16, told: kept }, Some(told @ (Told::Uuid | Told::Inet6)))
                | (ColumnKind::Fixed { size: 4, told: kept }, Some(told @ Told::Inet4)) => *kept = Some(told),
                (ColumnKind::Chars { length_bytes, charset: Charset::Binary }, Some(Told::Vector)) => {
                    column.kind = ColumnKind::Vector { length_bytes: *length_bytes };
                }
                _ => {}
            }
        }
    }
}

/// Reads the shape behind the name.
pub fn parse_shape(mut body: Bytes<'_>, flavour: Flavour) -> Result<TableShape, DecodeError> {
    let count = body.lenenc_len()?;
    let type_codes = body.take(count)?;
    let mut metadata = Bytes(body.lenenc_bytes()?);
    let raw = type_codes
        .iter()
        .map(|code| RawColumn::parse(*code, &mut metadata))
        .collect::<Result<Vec<_>, _>>()?;
    let nullable = Bitmap(body.take(count.div_ceil(8))?);
    let optional = Optional::parse(body, &raw)?;
    optional.into_shape(&raw, nullable, flavour)
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
    set_values: Vec<Vec<Vec<u8>>>,
    /// OGC's type number per geometry column, in order.
    geometry_types: Vec<u64>,
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
                5 => found.set_values = value_lists(&mut value)?,
                6 => found.enum_values = value_lists(&mut value)?,
                7 => found.geometry_types = numbers(&mut value)?,
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
                // visibility and vector dimensions: a row has all columns, and each vector its length
                _ => {}
            }
        }
        Ok(found)
    }

    fn into_shape(
        self,
        raw: &[RawColumn],
        nullable: Bitmap<'_>,
        flavour: Flavour,
    ) -> Result<TableShape, DecodeError> {
        if self.names.len() != raw.len() {
            return Err(DecodeError::Unsupported(
                "the table map carries no column names: set binlog_row_metadata=FULL on the source; rows written before that cannot be read".to_owned(),
            ));
        }
        let mut text = collation_per_column(
            raw,
            |column| column.is_character(flavour),
            &self.collations,
            self.default_collation.as_ref(),
        );
        let mut enums = collation_per_column(
            raw,
            RawColumn::is_enum_or_set,
            &self.enum_collations,
            self.enum_default_collation.as_ref(),
        );
        let (mut enum_values, mut set_values) = (self.enum_values.into_iter(), self.set_values.into_iter());
        let mut geometry_types = self.geometry_types.into_iter();
        let mut columns = Vec::with_capacity(raw.len());
        for (index, (column, name)) in raw.iter().zip(self.names).enumerate() {
            let collation = if column.is_character(flavour) {
                text.next().flatten()
            } else if column.is_enum_or_set() {
                enums.next().flatten()
            } else {
                None
            };
            let facts = Facts {
                column: *column,
                unsigned: self.unsigned.get(index).copied().unwrap_or(false),
                collation,
                values: match column.type_code {
                    types::ENUM => enum_values.next(),
                    types::SET => set_values.next(),
                    _ => None,
                },
                geometry: if column.type_code == types::GEOMETRY { geometry_types.next() } else { None },
            };
            let kind = kind_of(facts)
                .map_err(|reason| DecodeError::Unsupported(format!("column `{name}`: {reason}")))?;
            let mut json_prefix = Vec::with_capacity(name.len() + 4);
            json_prefix.push(b',');
            serde_json::to_writer(&mut json_prefix, &name)
                .map_err(|_| DecodeError::Malformed("a column name that is no text"))?;
            json_prefix.push(b':');
            columns.push(Column { name, kind, nullable: nullable.get(index), generated: false, json_prefix });
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
    which: impl Fn(RawColumn) -> bool + 'a,
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
                let _ = parse_shape(body, Flavour::MySql);
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
        let found: Vec<_> = collation_per_column(
            &columns,
            |column| column.is_character(Flavour::MariaDb),
            &[],
            Some(&default),
        )
        .collect();
        assert_eq!(found, [Some(45), Some(63)]);
    }
}
