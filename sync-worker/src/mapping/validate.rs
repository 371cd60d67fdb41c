//! The mapping against the live table: every column it names must be there and hold what the bill field takes.

use pipeline_config::{ColumnRule, FieldRule, Pipeline, Place, Side, TableName, Test};

use super::{Column, TableShape, TableShapes};

/// A mapping that the live table cannot serve; definite until the file or the table changes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MappingError {
    /// The table is not there, or the source's user may not see it.
    #[error(
        "{place}: table {table} does not exist in source {source_name}, or its user may not SELECT from it"
    )]
    NoTable {
        /// Where it is named.
        place: Place,
        /// The table.
        table: TableName,
        /// The source.
        source_name: String,
    },
    /// The table has no such column.
    #[error("{place}: column {column} does not exist in {table} ({field} of pipeline {pipeline})")]
    NoColumn {
        /// Where it is named.
        place: Place,
        /// The column.
        column: String,
        /// The table.
        table: TableName,
        /// The bill field, or `when`.
        field: &'static str,
        /// The pipeline.
        pipeline: String,
    },
    /// The column's type cannot fill the field.
    #[error(
        "{place}: column {column} of {table} is {found}, and {field} of pipeline {pipeline} wants {wanted}"
    )]
    Unsuitable {
        /// Where it is named.
        place: Place,
        /// The column.
        column: String,
        /// The table.
        table: TableName,
        /// The column's type.
        found: String,
        /// The bill field.
        field: &'static str,
        /// The pipeline.
        pipeline: String,
        /// What would do.
        wanted: &'static str,
    },
    /// Two rows would make the same bill.
    #[error(
        "{place}: id of pipeline {pipeline} is {column}, but the primary key of {table} is ({key}): a bill is named by its row's whole key"
    )]
    NotTheKey {
        /// Where it is named.
        place: Place,
        /// The pipeline.
        pipeline: String,
        /// The column.
        column: String,
        /// The table.
        table: TableName,
        /// The key's columns.
        key: String,
    },
}

#[derive(Clone, Copy)]
enum Kind {
    Integer,
    Amount,
    Time,
    Text,
    Key,
    Any,
}

impl Kind {
    fn of(field: &str) -> Self {
        match field {
            "account" | "merchant" => Self::Integer,
            "amount" | "fee" | "balance_after" => Self::Amount,
            "occurred_at" | "posted_at" => Self::Time,
            _ => Self::Text,
        }
    }

    fn wanted(self) -> &'static str {
        match self {
            Self::Integer => "a whole-number column",
            Self::Amount => "a whole number of minor units: an integer column, or DECIMAL without decimals",
            Self::Time => "a DATETIME or TIMESTAMP column",
            Self::Text => "a text, ENUM or whole-number column",
            Self::Key => "a whole-number or text column",
            Self::Any => "any column",
        }
    }

    fn takes(self, column: &Column) -> bool {
        let kind = column.data_type.as_str();
        let integer = matches!(kind, "tinyint" | "smallint" | "mediumint" | "int" | "bigint");
        let decimal = kind == "decimal" && column.scale == 0;
        let text = matches!(
            kind,
            "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" | "enum" | "set"
        );
        match self {
            Self::Integer => integer,
            Self::Amount => integer || decimal,
            Self::Time => matches!(kind, "datetime" | "timestamp"),
            Self::Text => integer || decimal || text || kind == "year" || column.column_type == "bit(1)",
            Self::Key => integer || text,
            Self::Any => true,
        }
    }
}

/// Every way in which the pipelines do not fit their tables, in the order of the file.
pub fn check(pipelines: &[Pipeline], shapes: &TableShapes) -> Vec<MappingError> {
    let mut errors = Vec::new();
    for pipeline in pipelines {
        match shapes.get(&(pipeline.source.clone(), pipeline.table.clone())) {
            Some(shape) => errors.extend(check_one(pipeline, shape)),
            None => errors.push(MappingError::NoTable {
                place: pipeline.table_place.clone(),
                table: pipeline.table.clone(),
                source_name: pipeline.source.to_string(),
            }),
        }
    }
    errors
}

fn check_one(pipeline: &Pipeline, shape: &TableShape) -> Vec<MappingError> {
    let mut uses: Vec<(&'static str, Kind, &ColumnRule)> = vec![("id", Kind::Key, &pipeline.id)];
    let conditions = pipeline.when.iter().chain(pipeline.sides.iter().flat_map(|side| &side.when));
    uses.extend(conditions.map(|condition| {
        let kind = if matches!(condition.test, Test::OneOf(_)) { Kind::Text } else { Kind::Any };
        ("when", kind, &condition.column)
    }));
    uses.extend(pipeline.sides.iter().flat_map(columns_of));
    let mut errors: Vec<MappingError> = Vec::new();
    for (field, kind, rule) in uses {
        // a rule of [pipeline.bill] stands in every side, and is one mistake
        let error = check_use(pipeline, shape, field, kind, rule);
        errors.extend(error.filter(|error| !errors.contains(error)));
    }
    if errors.is_empty() && shape.primary_key != [pipeline.id.name.as_str()] {
        errors.push(MappingError::NotTheKey {
            place: pipeline.id.place.clone(),
            pipeline: pipeline.name.to_string(),
            column: pipeline.id.name.clone(),
            table: pipeline.table.clone(),
            key: shape.primary_key.join(", "),
        });
    }
    errors
}

fn columns_of(side: &Side) -> Vec<(&'static str, Kind, &ColumnRule)> {
    let mut columns = Vec::new();
    for (field, rule) in side.fields.all() {
        if let FieldRule::Column(column) = rule {
            columns.push((field, Kind::of(field), column));
        }
    }
    columns
}

fn check_use(
    pipeline: &Pipeline,
    shape: &TableShape,
    field: &'static str,
    kind: Kind,
    rule: &ColumnRule,
) -> Option<MappingError> {
    let (place, column, table) = (rule.place.clone(), rule.name.clone(), pipeline.table.clone());
    let pipeline = pipeline.name.to_string();
    let Some(live) = shape.column(&rule.name) else {
        return Some(MappingError::NoColumn { place, column, table, field, pipeline });
    };
    if kind.takes(live) {
        return None;
    }
    let found = live.column_type.to_uppercase();
    Some(MappingError::Unsuitable { place, column, table, found, field, pipeline, wanted: kind.wanted() })
}
