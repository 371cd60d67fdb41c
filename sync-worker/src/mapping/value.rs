//! One column's value into one bill field.

use std::borrow::Cow;

use change_event::{Row, Timestamp, Value, stage2::Direction};
use pipeline_config::{ColumnRule, Condition, Constant, FieldRule, Otherwise, Test};

use super::{Reason, TableShape, TimeUnit};

/// Latest moment that the index can hold (its nanoseconds are an i64): 2262-04-11. The earliest is 1970.
const LAST_MICROS: i64 = i64::MAX / 1000;

/// A field and where its value comes from, for reasons.
pub(super) struct Field<'a, 'r> {
    pub(super) name: &'static str,
    pub(super) row: &'a Row<'r>,
    pub(super) shape: &'a TableShape,
}

impl<'a, 'r> Field<'a, 'r> {
    pub(super) fn id(&self, rule: &FieldRule) -> Result<u64, Reason> {
        let column = self.column(rule)?;
        match self.present(column)? {
            Value::I64(number) if *number >= 0 => Ok(number.unsigned_abs()),
            Value::U64(number) => Ok(*number),
            _ => Err(self.unfit(column, "a whole number that is not negative")),
        }
    }

    pub(super) fn amount(&self, rule: &FieldRule) -> Result<i64, Reason> {
        match rule {
            FieldRule::Constant(Constant::Int(number)) => Ok(*number),
            FieldRule::Constant(_) => Ok(0),
            FieldRule::Column(column) => self.optional_amount(column)?.ok_or_else(|| self.null(column)),
        }
    }

    pub(super) fn optional_amount(&self, column: &ColumnRule) -> Result<Option<i64>, Reason> {
        const WANTED: &str = "a whole number of minor units";
        match self.value(column)? {
            Value::Null => Ok(None),
            Value::I64(number) => Ok(Some(*number)),
            // DECIMAL travels as text; one without decimals is a whole number too
            Value::Str(text) => text.parse().map(Some).map_err(|_| self.unfit(column, WANTED)),
            _ => Err(self.unfit(column, WANTED)),
        }
    }

    pub(super) fn time(&self, rule: &FieldRule) -> Result<Timestamp, Reason> {
        const WANTED: &str = "a moment between 1970 and 2262";
        let column = self.column(rule)?;
        let micros = match (self.present(column)?, self.shape.column(&column.name)) {
            (Value::I64(number), Some(shape)) if shape.data_type == "datetime" => match shape.time_unit() {
                TimeUnit::Micros => Some(*number),
                TimeUnit::Millis => number.checked_mul(1000),
            },
            (Value::Str(text), _) => text.parse::<Timestamp>().ok().map(Timestamp::micros),
            _ => None,
        };
        micros
            .filter(|micros| (0..=LAST_MICROS).contains(micros))
            .and_then(|micros| Timestamp::from_micros(micros).ok())
            .ok_or_else(|| self.unfit(column, WANTED))
    }

    pub(super) fn text(&self, rule: &FieldRule, max: usize, wanted: &'static str) -> Result<String, Reason> {
        match rule {
            FieldRule::Constant(constant) => Ok(constant_text(constant).into_owned()),
            FieldRule::Column(column) => {
                self.optional_text(column, max, wanted)?.ok_or_else(|| self.null(column))
            }
        }
    }

    pub(super) fn optional_text(
        &self,
        column: &ColumnRule,
        max: usize,
        wanted: &'static str,
    ) -> Result<Option<String>, Reason> {
        let Some(text) = self.mapped(column)? else { return Ok(None) };
        if text.len() > max && text.chars().count() > max {
            return Err(self.unfit(column, wanted));
        }
        Ok(Some(text.into_owned()))
    }

    /// At most `max` printable ASCII characters, at least one.
    pub(super) fn ascii(&self, rule: &FieldRule, max: usize, wanted: &'static str) -> Result<String, Reason> {
        let text = self.text(rule, max, wanted)?;
        let fits = !text.is_empty() && text.len() <= max && text.bytes().all(|b| b.is_ascii_graphic());
        if fits { Ok(text) } else { Err(self.unfit_rule(rule, wanted)) }
    }

    pub(super) fn currency(&self, rule: &FieldRule) -> Result<String, Reason> {
        const WANTED: &str = "three capital letters";
        let text = self.text(rule, 3, WANTED)?;
        let fits = text.len() == 3 && text.bytes().all(|b| b.is_ascii_uppercase());
        if fits { Ok(text) } else { Err(self.unfit_rule(rule, WANTED)) }
    }

    pub(super) fn direction(&self, rule: &FieldRule) -> Result<Direction, Reason> {
        const WANTED: &str = "in or out";
        match self.text(rule, 3, WANTED)?.as_str() {
            "in" => Ok(Direction::In),
            "out" => Ok(Direction::Out),
            _ => Err(self.unfit_rule(rule, WANTED)),
        }
    }

    /// The row's key as text.
    pub(super) fn key(&self, column: &ColumnRule) -> Result<String, Reason> {
        plain_text(self.present(column)?).map(Cow::into_owned).ok_or(Reason::KeyUnfit)
    }

    fn column<'c>(&self, rule: &'c FieldRule) -> Result<&'c ColumnRule, Reason> {
        match rule {
            FieldRule::Column(column) => Ok(column),
            // the configuration refuses constants here; a reason is still better than a panic
            FieldRule::Constant(_) => {
                Err(Reason::MissingColumn { field: self.name, column: "(constant)".to_owned() })
            }
        }
    }

    fn value(&self, column: &ColumnRule) -> Result<&'a Value<'r>, Reason> {
        self.row
            .get(&column.name)
            .ok_or_else(|| Reason::MissingColumn { field: self.name, column: column.name.clone() })
    }

    fn present(&self, column: &ColumnRule) -> Result<&'a Value<'r>, Reason> {
        match self.value(column)? {
            Value::Null => Err(self.null(column)),
            value => Ok(value),
        }
    }

    /// The value as text, through the value map; `None` for NULL.
    fn mapped(&self, column: &ColumnRule) -> Result<Option<Cow<'a, str>>, Reason> {
        let value = self.value(column)?;
        if *value == Value::Null {
            return Ok(None);
        }
        let text = plain_text(value).ok_or_else(|| self.unfit(column, "text or a whole number"))?;
        if let Some(mapped) = column.values.get(text.as_ref()) {
            return Ok(Some(Cow::Owned(mapped.clone())));
        }
        match &column.otherwise {
            Otherwise::Keep => Ok(Some(text)),
            Otherwise::Constant(constant) => Ok(Some(Cow::Owned(constant.clone()))),
            Otherwise::Refuse => Err(Reason::OutsideMap { field: self.name, column: column.name.clone() }),
        }
    }

    fn null(&self, column: &ColumnRule) -> Reason {
        Reason::Null { field: self.name, column: column.name.clone() }
    }

    fn unfit(&self, column: &ColumnRule, wanted: &'static str) -> Reason {
        Reason::Unfit { field: self.name, column: column.name.clone(), wanted }
    }

    fn unfit_rule(&self, rule: &FieldRule, wanted: &'static str) -> Reason {
        let column = match rule {
            FieldRule::Column(column) => column.name.clone(),
            FieldRule::Constant(_) => "(constant)".to_owned(),
        };
        Reason::Unfit { field: self.name, column, wanted }
    }
}

/// Whether a condition holds; an absent column is a reason, not a "no".
pub(super) fn holds(condition: &Condition, row: &Row<'_>) -> Result<bool, Reason> {
    let column = &condition.column.name;
    let Some(value) = row.get(column) else {
        return Err(Reason::MissingColumn { field: "when", column: column.clone() });
    };
    Ok(match &condition.test {
        Test::NotNull => *value != Value::Null,
        Test::Null => *value == Value::Null,
        Test::OneOf(constants) => plain_text(value)
            .is_some_and(|text| constants.iter().any(|constant| constant_text(constant) == text)),
    })
}

/// Text, whole numbers and booleans have a text; NULL, floats and nested JSON have none.
fn plain_text<'a>(value: &'a Value<'_>) -> Option<Cow<'a, str>> {
    match value {
        Value::Str(text) => Some(Cow::Borrowed(text)),
        Value::I64(number) => Some(Cow::Owned(number.to_string())),
        Value::U64(number) => Some(Cow::Owned(number.to_string())),
        Value::Bool(truth) => Some(Cow::Borrowed(if *truth { "true" } else { "false" })),
        Value::Null | Value::F64(_) | Value::Other(_) => None,
    }
}

fn constant_text(constant: &Constant) -> Cow<'_, str> {
    match constant {
        Constant::Text(text) => Cow::Borrowed(text),
        Constant::Int(number) => Cow::Owned(number.to_string()),
        Constant::Bool(truth) => Cow::Borrowed(if *truth { "true" } else { "false" }),
    }
}
