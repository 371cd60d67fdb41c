//! A row read by SQL in the shape of a row of the change stream, so that one mapping serves both.

use change_event::{Row, Value};
use sqlx::{Row as _, mysql::MySqlRow};
use sync_worker::mapping::{Column, TimeUnit};

/// How a column is read.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    name: String,
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Signed,
    Unsigned,
    DateTime { unit: TimeUnit, nullable: bool },
    Timestamp,
    Bit,
    Text,
}

impl Reader {
    pub(super) fn of(column: &Column) -> Self {
        let kind = match column.data_type.as_str() {
            "tinyint" | "smallint" | "mediumint" | "int" | "bigint" if column.unsigned() => Kind::Unsigned,
            "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "year" => Kind::Signed,
            "datetime" => Kind::DateTime { unit: column.time_unit(), nullable: column.nullable },
            "timestamp" => Kind::Timestamp,
            "bit" => Kind::Bit,
            _ => Kind::Text,
        };
        Self { name: column.name.clone(), kind }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The expression that reads it as one of five SQL types.
    pub(super) fn expression(&self) -> String {
        // a column name cannot close the quotes: a backtick in it is doubled
        let column = format!("`{}`", self.name.replace('`', "``"));
        match self.kind {
            Kind::Signed => format!("CAST({column} AS SIGNED)"),
            Kind::Unsigned | Kind::Bit => format!("CAST({column} AS UNSIGNED)"),
            Kind::DateTime { .. } => format!("TIMESTAMPDIFF(MICROSECOND, '1970-01-01', {column})"),
            Kind::Timestamp => format!("DATE_FORMAT({column}, '%Y-%m-%dT%H:%i:%s.%fZ')"),
            Kind::Text => format!("CAST({column} AS CHAR)"),
        }
    }

    fn value(&self, row: &MySqlRow, at: usize) -> Result<Value<'static>, sqlx::Error> {
        let text = |text: String| Value::Str(text.into());
        Ok(match self.kind {
            Kind::Signed => row.try_get::<Option<i64>, _>(at)?.map_or(Value::Null, Value::I64),
            Kind::Unsigned => row.try_get::<Option<u64>, _>(at)?.map_or(Value::Null, unsigned),
            Kind::Bit => row.try_get::<Option<u64>, _>(at)?.map_or(Value::Null, |bit| Value::Bool(bit != 0)),
            Kind::DateTime { unit, nullable } => match (row.try_get::<Option<i64>, _>(at)?, nullable) {
                (Some(micros), _) => Value::I64(match unit {
                    TimeUnit::Micros => micros,
                    TimeUnit::Millis => micros.div_euclid(1000),
                }),
                (None, true) => Value::Null,
                // a zero date, which the change stream shows as the epoch where NULL is not allowed
                (None, false) => Value::I64(0),
            },
            Kind::Timestamp | Kind::Text => row.try_get::<Option<String>, _>(at)?.map_or(Value::Null, text),
        })
    }
}

/// Numbers that fit are signed, as in the change stream.
fn unsigned(number: u64) -> Value<'static> {
    i64::try_from(number).map_or(Value::U64(number), Value::I64)
}

/// The row that `readers`' expressions, in their order, were selected into.
pub(super) fn row(readers: &[Reader], selected: &MySqlRow) -> Result<Row<'static>, sqlx::Error> {
    let mut columns = Vec::with_capacity(readers.len());
    for (at, reader) in readers.iter().enumerate() {
        columns.push((reader.name.clone().into(), reader.value(selected, at)?));
    }
    Ok(Row::new(columns))
}
