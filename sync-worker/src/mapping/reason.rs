//! Why a row cannot become a bill. Reasons name columns, never their content.

use pipeline_config::Name;

/// One side of one row that should have become a bill and could not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("pipeline {pipeline}, side {side}, row {row_key}: {reason}", row_key = row_key.as_deref().unwrap_or("without a key"))]
pub struct Refusal {
    /// The pipeline.
    pub pipeline: Name,
    /// The side.
    pub side: Name,
    /// The row's key in its table, if it has one.
    pub row_key: Option<String>,
    /// The account it would have belonged to, if that much is known.
    pub account: Option<u64>,
    /// Why.
    pub reason: Reason,
}

/// Why; definite: the same row is refused every time under the same configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The change has no such column.
    #[error(
        "{field}: the row has no column {column} (dropped, renamed, or generated and left out of the binlog, as MariaDB 11.8.9 does?)"
    )]
    MissingColumn {
        /// Bill field.
        field: &'static str,
        /// Column.
        column: String,
    },
    /// NULL where a bill needs a value.
    #[error("{field}: column {column} is null")]
    Null {
        /// Bill field.
        field: &'static str,
        /// Column.
        column: String,
    },
    /// A value of the wrong kind, size or range.
    #[error("{field}: column {column} does not hold {wanted}")]
    Unfit {
        /// Bill field.
        field: &'static str,
        /// Column.
        column: String,
        /// What the field takes.
        wanted: &'static str,
    },
    /// A value outside the value map, and the rule says refuse.
    #[error("{field}: the value map of column {column} does not name its value, and otherwise = \"refuse\"")]
    OutsideMap {
        /// Bill field.
        field: &'static str,
        /// Column.
        column: String,
    },
    /// The row's key does not fit into a bill id.
    #[error("the row's key does not fit into a bill id of 128 printable ASCII characters")]
    KeyUnfit,
}
