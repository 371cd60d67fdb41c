//! How rows of a source table become bills, as checked types.

use std::collections::BTreeMap;

use crate::{Name, Place, TableName};

/// One mapping of a captured table to bills.
#[derive(Clone, Debug)]
pub struct Pipeline {
    /// Unique among the pipelines; part of every bill id it makes.
    pub name: Name,
    /// The source that captures `table`.
    pub source: Name,
    /// The captured table.
    pub table: TableName,
    /// Where the table is named.
    pub table_place: Place,
    /// All must hold, else the row makes no bill on any side.
    pub when: Vec<Condition>,
    /// The column whose value identifies the row within its source; the table's whole primary key.
    pub id: ColumnRule,
    /// At least one; names are unique within the pipeline.
    pub sides: Vec<Side>,
}

impl Pipeline {
    /// Every column the pipeline reads, in the order of the file, for the check against the live table.
    pub fn columns(&self) -> Vec<&ColumnRule> {
        let own = self.when.iter().map(|c| &c.column).chain([&self.id]);
        own.chain(self.sides.iter().flat_map(Side::columns)).collect()
    }
}

/// One bill that a row may make: an order has a payer's and a payee's.
#[derive(Clone, Debug)]
pub struct Side {
    /// Unique within the pipeline; part of the bill id.
    pub name: Name,
    /// Where the side is named.
    pub place: Place,
    /// All must hold, else this side makes no bill.
    pub when: Vec<Condition>,
    /// What fills the bill.
    pub fields: SideFields,
}

impl Side {
    fn columns(&self) -> impl Iterator<Item = &ColumnRule> {
        let fields = self.fields.all().into_iter().filter_map(|(_, rule)| match rule {
            FieldRule::Column(column) => Some(column),
            FieldRule::Constant(_) => None,
        });
        self.when.iter().map(|c| &c.column).chain(fields)
    }
}

/// A rule for every field of a bill, those of `[pipeline.bill]` and of the side already joined (the side's win).
#[derive(Clone, Debug)]
pub struct SideFields {
    /// Account id, unsigned integer column; the partition key of stage 2.
    pub account: FieldRule,
    /// Merchant id, unsigned integer column.
    pub merchant: FieldRule,
    /// At most 16 ASCII characters.
    pub bill_type: FieldRule,
    /// `in` or `out`.
    pub direction: FieldRule,
    /// At most 24 ASCII characters.
    pub status: FieldRule,
    /// Integer minor units.
    pub amount: FieldRule,
    /// Integer minor units.
    pub fee: FieldRule,
    /// ISO 4217 code.
    pub currency: FieldRule,
    /// Integer minor units; left out where the table has no such thing.
    pub balance_after: Option<FieldRule>,
    /// DATETIME or TIMESTAMP column, UTC.
    pub occurred_at: FieldRule,
    /// DATETIME or TIMESTAMP column, UTC.
    pub posted_at: FieldRule,
    /// At most 128 characters.
    pub counterparty: FieldRule,
    /// At most 64 characters.
    pub order_no: FieldRule,
    /// At most 32 characters.
    pub channel: FieldRule,
    /// At most 64 characters; may be null or left out.
    pub channel_ref: Option<FieldRule>,
    /// At most 255 characters.
    pub remark: FieldRule,
}

impl SideFields {
    /// Every rule with the bill field it fills.
    pub fn all(&self) -> Vec<(&'static str, &FieldRule)> {
        let mut all = vec![
            ("account", &self.account),
            ("merchant", &self.merchant),
            ("bill_type", &self.bill_type),
            ("direction", &self.direction),
            ("status", &self.status),
            ("amount", &self.amount),
            ("fee", &self.fee),
            ("currency", &self.currency),
            ("occurred_at", &self.occurred_at),
            ("posted_at", &self.posted_at),
            ("counterparty", &self.counterparty),
            ("order_no", &self.order_no),
            ("channel", &self.channel),
            ("remark", &self.remark),
        ];
        all.extend(self.balance_after.iter().map(|rule| ("balance_after", rule)));
        all.extend(self.channel_ref.iter().map(|rule| ("channel_ref", rule)));
        all
    }
}

/// Where one field's value comes from.
#[derive(Clone, Debug)]
pub enum FieldRule {
    /// A column of the row.
    Column(ColumnRule),
    /// The same for every row.
    Constant(Constant),
}

/// A column of the row, with an optional translation of its values.
#[derive(Clone, Debug)]
pub struct ColumnRule {
    /// Name of the column as in the table.
    pub name: String,
    /// Where it is named, for errors found against the live table.
    pub place: Place,
    /// Value in the row -> value in the bill; empty: taken as it is.
    pub values: BTreeMap<String, String>,
    /// What to do with a value that `values` does not name. `Keep` when `values` is empty.
    pub otherwise: Otherwise,
}

/// What becomes of a value outside the value map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Otherwise {
    /// The row cannot become a bill.
    Refuse,
    /// It is taken as it is.
    Keep,
    /// This one in its place.
    Constant(String),
}

/// A configured value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Constant {
    /// Text.
    Text(String),
    /// A whole number.
    Int(i64),
    /// A boolean.
    Bool(bool),
}

/// A condition on one column.
#[derive(Clone, Debug)]
pub struct Condition {
    /// The column; its value map is empty.
    pub column: ColumnRule,
    /// What must hold.
    pub test: Test,
}

/// What a condition asks. A null equals nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// Has a value.
    NotNull,
    /// Has none.
    Null,
    /// Is one of these (`equals` is a list of one); compared by value, `1` and `"1"` alike.
    OneOf(Vec<Constant>),
}
