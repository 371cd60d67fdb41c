//! One row image, as stage 1 carries it: column names and values, borrowed from the record where they can be.

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::{borrow::Cow, fmt};

/// A column's value in the envelope's JSON mapping (see `docs/message-contract.md`).
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// SQL NULL.
    Null,
    /// BIT(1).
    Bool(bool),
    /// Every integer that fits.
    I64(i64),
    /// BIGINT UNSIGNED above i64.
    U64(u64),
    /// FLOAT and DOUBLE.
    F64(f64),
    /// Text, and everything that is text in the mapping (DECIMAL, ENUM, SET, TIMESTAMP, base64 of binary).
    Str(Cow<'a, str>),
    /// Any other JSON, as its text.
    Other(Cow<'a, str>),
}

/// A row image: its columns in table order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Row<'a> {
    columns: Vec<(Cow<'a, str>, Value<'a>)>,
}

impl<'a> Row<'a> {
    /// A row from its columns, in table order.
    pub fn new(columns: Vec<(Cow<'a, str>, Value<'a>)>) -> Self {
        Self { columns }
    }

    /// The value of a column; `None` when the row has no such column.
    pub fn get(&self, column: &str) -> Option<&Value<'a>> {
        self.columns.iter().find(|(name, _)| name == column).map(|(_, value)| value)
    }

    /// The columns in table order.
    pub fn columns(&self) -> impl Iterator<Item = (&str, &Value<'a>)> {
        self.columns.iter().map(|(name, value)| (name.as_ref(), value))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Row<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Columns;
        impl<'de> Visitor<'de> for Columns {
            type Value = Row<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of columns")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Row<'de>, A::Error> {
                let mut columns = Vec::with_capacity(24);
                while let Some(Name(name)) = map.next_key()? {
                    columns.push((name, map.next_value()?));
                }
                Ok(Row { columns })
            }
        }
        deserializer.deserialize_map(Columns)
    }
}

/// A column name, borrowed unless it was written with escapes.
struct Name<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Name<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Name<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a column name")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Value<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // the raw text first: a number keeps every digit, and what the mapping does not know stays as it came
        let raw: &'de RawValue = Deserialize::deserialize(deserializer)?;
        let text = raw.get();
        let parsed = match text.as_bytes().first() {
            Some(b'n') => Self::Null,
            Some(b't') => Self::Bool(true),
            Some(b'f') => Self::Bool(false),
            Some(b'"') => Self::Str(match text.find('\\') {
                None => Cow::Borrowed(&text[1..text.len() - 1]),
                Some(_) => Cow::Owned(serde_json::from_str(text).map_err(serde::de::Error::custom)?),
            }),
            Some(b'-' | b'0'..=b'9') => match (text.parse(), text.parse(), text.parse()) {
                (Ok(number), _, _) => Self::I64(number),
                (_, Ok(number), _) => Self::U64(number),
                (_, _, Ok(number)) => Self::F64(number),
                _ => Self::Other(Cow::Borrowed(text)),
            },
            _ => Self::Other(Cow::Borrowed(text)),
        };
        Ok(parsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_every_digit_and_borrow_plain_text() {
        let json = r#"{"a":null,"b":18446744073709551615,"c":-1,"d":"plain","e":"q\"uo\u00e9","f":1.5,"g":true,"h":[1]}"#;
        let row: Row<'_> = serde_json::from_str(json).unwrap();
        assert_eq!(row.get("a"), Some(&Value::Null));
        assert_eq!(row.get("b"), Some(&Value::U64(u64::MAX)));
        assert_eq!(row.get("c"), Some(&Value::I64(-1)));
        assert!(matches!(row.get("d"), Some(Value::Str(Cow::Borrowed("plain")))));
        assert_eq!(row.get("e"), Some(&Value::Str("q\"uoé".into())));
        assert_eq!(row.get("f"), Some(&Value::F64(1.5)));
        assert_eq!(row.get("g"), Some(&Value::Bool(true)));
        assert_eq!(row.get("h"), Some(&Value::Other("[1]".into())));
        assert_eq!(row.get("z"), None);
        assert_eq!(row.columns().count(), 8);
    }
}
