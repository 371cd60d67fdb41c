//! A table as the server describes it: what to select, and how a row of the answer becomes key and `after` object.

use super::{
    chunk::ReadError,
    cursor::{KeyColumn, Side, condition, quoted},
};
use crate::binlog::{
    DecodeError,
    selected::{ColumnFacts, SelectedColumn, write_row},
};
use sqlx::{MySqlConnection, Row, mysql::MySqlRow};

/// A column, as `information_schema.columns` has it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Described {
    name: String,
    data_type: String,
    column_type: String,
    charset: Option<String>,
    collation: Option<String>,
    nullable: bool,
    fraction: u8,
}

/// The definition that rows were read by. Compared after a read: the read's own metadata lock keeps it as it is until then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Definition {
    columns: Vec<Described>,
    /// Names of the primary key's columns, in key order.
    key: Vec<String>,
}

impl Definition {
    pub(super) async fn read(
        connection: &mut MySqlConnection,
        database: &str,
        table: &str,
    ) -> Result<Self, ReadError> {
        let rows = sqlx::query(
            "SELECT column_name, data_type, column_type, character_set_name, collation_name, is_nullable, \
             CAST(COALESCE(datetime_precision, 0) AS CHAR) \
             FROM information_schema.columns WHERE table_schema = ? AND table_name = ? ORDER BY ordinal_position",
        )
        .bind(database)
        .bind(table)
        .fetch_all(&mut *connection)
        .await?;
        let columns = rows
            .iter()
            .map(|row| {
                let fraction: String = row.try_get_unchecked(6)?;
                let nullable: String = row.try_get_unchecked(5)?;
                Ok(Described {
                    name: row.try_get_unchecked(0)?,
                    data_type: row.try_get_unchecked(1)?,
                    column_type: row.try_get_unchecked(2)?,
                    charset: row.try_get_unchecked(3)?,
                    collation: row.try_get_unchecked(4)?,
                    nullable: nullable.eq_ignore_ascii_case("yes"),
                    fraction: fraction.parse().unwrap_or(0),
                })
            })
            .collect::<Result<Vec<_>, sqlx::Error>>()?;
        let rows = sqlx::query(
            "SELECT column_name FROM information_schema.statistics \
             WHERE table_schema = ? AND table_name = ? AND index_name = 'PRIMARY' ORDER BY seq_in_index",
        )
        .bind(database)
        .bind(table)
        .fetch_all(&mut *connection)
        .await?;
        let key = rows.iter().map(|row| row.try_get_unchecked(0)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { columns, key })
    }
}

/// A table that can be read in chunks.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) definition: Definition,
    columns: Vec<SelectedColumn>,
    /// The primary key's columns, in key order: as they order rows, and with their place among all columns.
    key: Vec<KeyColumn>,
    key_at: Vec<(usize, SelectedColumn)>,
    /// `` `database`.`table` FORCE INDEX (PRIMARY)``.
    from: String,
    filter: Option<String>,
}

/// A statement, and which texts of which cursor stand for its parameters.
pub(super) struct Bounded {
    pub(super) sql: String,
    pub(super) parameters: Vec<String>,
}

impl Table {
    pub(super) fn new(
        definition: Definition,
        database: &str,
        table: &str,
        filter: Option<&str>,
    ) -> Result<Self, ReadError> {
        let name = format!("{database}.{table}");
        if definition.columns.is_empty() {
            return Err(ReadError::Unreadable(format!(
                "{name}: there is no such table, or the user may not SELECT from it"
            )));
        }
        let mut columns = Vec::with_capacity(definition.columns.len());
        for column in &definition.columns {
            let facts = ColumnFacts {
                name: &column.name,
                data_type: &column.data_type,
                column_type: &column.column_type,
                charset: column.charset.as_deref(),
                nullable: column.nullable,
                fraction: column.fraction,
            };
            let selected = SelectedColumn::new(&facts)
                .map_err(|reason| ReadError::Unreadable(format!("{name}.{}: {reason}", column.name)))?;
            columns.push(selected);
        }
        let mut key = Vec::new();
        let mut key_at = Vec::new();
        for part in &definition.key {
            let at = definition.columns.iter().position(|column| column.name == *part);
            let column = at.and_then(|at| Some((at, definition.columns.get(at)?)));
            let found = column.and_then(|(at, column)| {
                let Described { name, data_type, column_type, charset, collation, .. } = column;
                Some((
                    at,
                    KeyColumn::new(name, data_type, column_type, charset.as_deref(), collation.as_deref())?,
                ))
            });
            let (at, column) = found.ok_or_else(|| {
                ReadError::Unreadable(format!(
                    "{name}: its primary key's column {part} is of a type that has no order to read by"
                ))
            })?;
            key.push(column);
            key_at.extend(columns.get(at).cloned().map(|selected| (at, selected)));
        }
        if key.is_empty() {
            return Err(ReadError::Unreadable(format!("{name}: it has no primary key to read by")));
        }
        let from = format!("{}.{} FORCE INDEX (PRIMARY)", quoted(database), quoted(table));
        Ok(Self { definition, columns, key, key_at, from, filter: filter.map(str::to_owned) })
    }

    fn key_texts(&self) -> String {
        self.key.iter().map(|column| column.selected.as_str()).collect::<Vec<_>>().join(", ")
    }

    fn order(&self, direction: &str) -> String {
        let columns: Vec<_> = self.key.iter().map(|column| format!("{}{direction}", column.name)).collect();
        format!("ORDER BY {}", columns.join(", "))
    }

    fn range(&self, after: Option<&[String]>, upto: &[String]) -> (String, Vec<String>) {
        let mut parameters = Vec::new();
        let mut add = |side, cursor: &[String]| {
            let (sql, places) = condition(&self.key, side);
            parameters.extend(places.iter().filter_map(|at| cursor.get(*at).cloned()));
            sql
        };
        let mut sql = String::new();
        if let Some(after) = after {
            sql.push_str(&add(Side::After, after));
            sql.push_str(" AND ");
        }
        sql.push_str(&add(Side::UpTo, upto));
        (sql, parameters)
    }

    /// The greatest key.
    pub(super) fn last_key(&self) -> String {
        format!("SELECT {} FROM {} {} LIMIT 1", self.key_texts(), self.from, self.order(" DESC"))
    }

    /// The key of the row that is `rows` rows behind `after`; no row where the range ends before.
    pub(super) fn cut(&self, after: Option<&[String]>, upto: &[String], rows: u64) -> Bounded {
        let (range, parameters) = self.range(after, upto);
        let sql = format!(
            "SELECT {} FROM {} WHERE {range} {} LIMIT 1 OFFSET {}",
            self.key_texts(),
            self.from,
            self.order(""),
            rows.saturating_sub(1)
        );
        Bounded { sql, parameters }
    }

    /// The rows of a range: all columns, then the key as texts.
    pub(super) fn rows(&self, after: Option<&[String]>, upto: &[String], limit: u64) -> Bounded {
        let (range, parameters) = self.range(after, upto);
        let columns: Vec<_> = self.columns.iter().map(SelectedColumn::expression).collect();
        let filter = self.filter.as_ref().map(|filter| format!(" AND ({filter})")).unwrap_or_default();
        let sql = format!(
            "SELECT {}, {} FROM {} WHERE {range}{filter} {} LIMIT {limit}",
            columns.join(", "),
            self.key_texts(),
            self.from,
            self.order("")
        );
        Bounded { sql, parameters }
    }

    /// The key of a row that has nothing else in front of it.
    pub(super) fn cursor(&self, row: &MySqlRow, at: usize) -> Result<Vec<String>, ReadError> {
        (0..self.key.len()).map(|part| Ok(row.try_get_unchecked(at + part)?)).collect()
    }

    /// The key of a row of `rows`.
    pub(super) fn cursor_of_row(&self, row: &MySqlRow) -> Result<Vec<String>, ReadError> {
        self.cursor(row, self.columns.len())
    }

    /// Appends the `after` object and then the key; answers where the key starts.
    pub(super) fn write(&self, row: &MySqlRow, out: &mut Vec<u8>) -> Result<usize, ReadError> {
        let unreadable = |cause: DecodeError| ReadError::Unreadable(cause.to_string());
        let value = |at: usize| row.try_get_unchecked::<Option<&[u8]>, _>(at);
        let mut missing = None;
        let mut values = (0..self.columns.len()).map(|at| {
            value(at).unwrap_or_else(|cause| {
                missing = Some(cause);
                None
            })
        });
        write_row(&self.columns, &mut values, out).map_err(unreadable)?;
        let key = out.len();
        let mut values = self.key_at.iter().map(|(at, _)| value(*at).unwrap_or_default());
        write_row(self.key_at.iter().map(|(_, column)| column), &mut values, out).map_err(unreadable)?;
        missing.map_or(Ok(key), |cause| Err(cause.into()))
    }
}
