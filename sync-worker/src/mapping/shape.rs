//! What the live table says about its columns.

use std::collections::BTreeMap;

use pipeline_config::{Name, TableName};

/// Shapes of the captured tables, by source and table.
pub type TableShapes = BTreeMap<(Name, TableName), TableShape>;

/// A table's columns and primary key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableShape {
    /// In table order.
    pub columns: Vec<Column>,
    /// Column names in key order; empty without a primary key.
    pub primary_key: Vec<String>,
}

/// One column as information_schema shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// `DATA_TYPE` in lower case, such as `bigint`.
    pub data_type: String,
    /// `COLUMN_TYPE`, such as `bigint(20) unsigned`.
    pub column_type: String,
    /// Digits after the second, for times.
    pub time_digits: u8,
    /// Digits after the point, for DECIMAL.
    pub scale: u8,
    /// Whether it may be NULL.
    pub nullable: bool,
}

impl Column {
    /// Whether an integer column has no sign.
    pub fn unsigned(&self) -> bool {
        self.column_type.contains("unsigned")
    }

    /// What one unit of the envelope's number is, for a DATETIME column.
    pub fn time_unit(&self) -> TimeUnit {
        if self.time_digits > 3 { TimeUnit::Micros } else { TimeUnit::Millis }
    }
}

/// DATETIME(0..3) travels as milliseconds, DATETIME(4..6) as microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeUnit {
    /// Milliseconds since the epoch.
    Millis,
    /// Microseconds since the epoch.
    Micros,
}

impl TableShape {
    /// The column of that name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }
}
