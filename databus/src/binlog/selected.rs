//! Rows that a SELECT read, in the very JSON that the stream writes: what to select of each column, and how to render what comes back.
//!
//! ```text
//! let columns: Vec<SelectedColumn> = …            one per row of information_schema.columns, in ordinal order
//! SELECT <expression>, <expression>, … FROM t     every value comes back as a byte string, or NULL
//! write_row(&columns, values, &mut out)           {"id":1,"note":"x"}
//! ```
//!
//! The expressions need no session setting but `SET NAMES utf8mb4`: times of TIMESTAMP columns are asked for in seconds since 1970, texts in
//! their own charset. An error of [`SelectedColumn::new`] is a column that the stream cannot decode either; preflight refuses it first.

use super::{
    bytes::{Bytes, DecodeError},
    charset::Charset,
};
use crate::render::{self, Civil, Clock};

/// A row of `information_schema.columns`.
#[derive(Debug, Clone, Copy)]
pub struct ColumnFacts<'a> {
    /// `column_name`.
    pub name: &'a str,
    /// `data_type`, as `int` or `varchar`.
    pub data_type: &'a str,
    /// `column_type`, as `int(10) unsigned` or `bit(9)`.
    pub column_type: &'a str,
    /// `character_set_name`.
    pub charset: Option<&'a str>,
    /// `is_nullable`.
    pub nullable: bool,
    /// `datetime_precision`, 0 where there is none.
    pub fraction: u8,
}

/// A column to select.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectedColumn {
    expression: String,
    form: Form,
    nullable: bool,
    json_prefix: Vec<u8>,
}

/// What the selected bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Decimal digits, to be a JSON number.
    Integer,
    Float,
    Double,
    /// Digits, to be a JSON string.
    Decimal,
    /// Digits of the bits taken as a number.
    Bits(u8),
    Date,
    Time,
    DateTime(u8),
    /// Seconds since 1970 with a fraction.
    Timestamp(u8),
    /// In this charset.
    Text(Charset),
    Geometry {
        point: bool,
    },
    Vector,
}

impl SelectedColumn {
    /// How this column is selected and rendered; the error says why it cannot be captured.
    pub fn new(facts: &ColumnFacts<'_>) -> Result<Self, String> {
        let quoted = format!("`{}`", facts.name.replace('`', "``"));
        let form = Form::of(facts)?;
        let value = match form {
            Form::Integer | Form::Bits(_) => format!("{quoted} + 0"),
            // FLOAT alone would come in 6 digits
            Form::Float => format!("CAST({quoted} AS DOUBLE)"),
            Form::Timestamp(_) => format!("UNIX_TIMESTAMP({quoted})"),
            // the bytes themselves
            Form::Geometry { .. } | Form::Vector => quoted.clone(),
            Form::Text(_) if facts.data_type.eq_ignore_ascii_case("json") || told(facts) => {
                format!("CAST({quoted} AS CHAR CHARACTER SET utf8mb4)")
            }
            _ => quoted.clone(),
        };
        let expression = match form {
            Form::Geometry { .. } | Form::Vector | Form::Text(Charset::Binary) => value,
            _ => format!("CAST({value} AS BINARY)"),
        };
        let mut json_prefix = Vec::new();
        render::text(&mut json_prefix, facts.name);
        json_prefix.push(b':');
        Ok(Self { expression, form, nullable: facts.nullable, json_prefix })
    }

    /// What stands in the SELECT list.
    pub fn expression(&self) -> &str {
        &self.expression
    }

    /// Appends the JSON value of what the expression gave; `None` is NULL.
    pub fn write(&self, value: Option<&[u8]>, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        match value {
            Some(value) => self.form.write(value, self.nullable, out),
            None => {
                render::null(out);
                Ok(())
            }
        }
    }
}

/// Appends one row as a JSON object of these columns: a whole row, or its primary key with the key's columns.
pub fn write_row<'a>(
    columns: impl IntoIterator<Item = &'a SelectedColumn>,
    values: impl IntoIterator<Item = Option<&'a [u8]>>,
    out: &mut Vec<u8>,
) -> Result<(), DecodeError> {
    let mut separator = b'{';
    for (column, value) in columns.into_iter().zip(values) {
        out.push(separator);
        separator = b',';
        out.extend_from_slice(&column.json_prefix);
        column.write(value, out)?;
    }
    out.push(b'}');
    Ok(())
}

/// Types of MariaDB that SELECT shows as text and the log as bytes.
fn told(facts: &ColumnFacts<'_>) -> bool {
    ["uuid", "inet4", "inet6"].iter().any(|name| facts.data_type.eq_ignore_ascii_case(name))
}

impl Form {
    fn of(facts: &ColumnFacts<'_>) -> Result<Self, String> {
        let data_type = facts.data_type.to_ascii_lowercase();
        if facts.column_type.contains("mariadb-5.3") {
            return Err(
                "its form is of before MariaDB 10.0: ALTER TABLE .. FORCE brings it up to date".to_owned()
            );
        }
        Ok(match data_type.as_str() {
            "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "year" => Self::Integer,
            "float" => Self::Float,
            "double" => Self::Double,
            "decimal" => Self::Decimal,
            "bit" => Self::Bits(bit_width(facts.column_type).ok_or("a BIT column without its width")?),
            "date" => Self::Date,
            "time" => Self::Time,
            "datetime" => Self::DateTime(facts.fraction),
            "timestamp" => Self::Timestamp(facts.fraction),
            "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => {
                Self::Text(Charset::Binary)
            }
            "json" | "uuid" | "inet4" | "inet6" => Self::Text(Charset::Utf8),
            "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" | "enum" | "set" => {
                let name = facts.charset.unwrap_or("utf8mb4");
                let charset = Charset::of_name(name)
                    .ok_or_else(|| format!("charset {name} is not converted by this version"))?;
                // an ENUM of binary values is published as text, as its values nearly always are
                Self::Text(if charset == Charset::Binary { Charset::Utf8 } else { charset })
            }
            "point" => Self::Geometry { point: true },
            "geometry" | "linestring" | "polygon" | "multipoint" | "multilinestring" | "multipolygon"
            | "geometrycollection" | "geomcollection" => Self::Geometry { point: false },
            "vector" => Self::Vector,
            other => {
                return Err(format!("type {} is not decoded by this version", other.to_ascii_uppercase()));
            }
        })
    }

    fn write(self, value: &[u8], nullable: bool, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        match self {
            Self::Integer => out.extend_from_slice(without_leading_zeros(number_text(value)?).as_bytes()),
            // a FLOAT's DOUBLE is that very number
            Self::Float => render::float(out, parsed::<f64>(value)? as f32)?,
            Self::Double => render::double(out, parsed(value)?)?,
            Self::Decimal => render::text(out, without_leading_zeros(number_text(value)?)),
            Self::Bits(width) => render::bits(out, parsed(value)?, width),
            Self::Date => render::date(out, civil(&mut Bytes(value))?, nullable)?,
            Self::Time => render::time(out, time_micros(value)?),
            Self::DateTime(fraction) => {
                let mut rest = Bytes(value);
                let at = civil(&mut rest)?;
                rest.u8()?;
                let (hour, minute, second, micros) = clock(rest)?;
                render::datetime(out, at, Clock { hour, minute, second, micros }, fraction, nullable)?;
            }
            Self::Timestamp(fraction) => {
                let mut rest = Bytes(value);
                let seconds = digits(&mut rest)?;
                render::timestamp(out, seconds, fraction_of(rest)?, fraction, nullable)?;
            }
            Self::Text(charset) => charset.put_json(value, out)?,
            Self::Geometry { point } => render::geometry(out, value, point)?,
            Self::Vector => render::vector(out, value)?,
        }
        Ok(())
    }
}

const NO_SUCH: DecodeError = DecodeError::Malformed("a selected value that is not of its column's type");

fn bit_width(column_type: &str) -> Option<u8> {
    column_type.strip_prefix("bit(")?.strip_suffix(')')?.parse().ok().filter(|width| (1..=64).contains(width))
}

fn number_text(value: &[u8]) -> Result<&str, DecodeError> {
    let number = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    std::str::from_utf8(value).ok().filter(|text| !text.is_empty() && value.iter().all(number)).ok_or(NO_SUCH)
}

fn parsed<T: std::str::FromStr>(value: &[u8]) -> Result<T, DecodeError> {
    std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()).ok_or(NO_SUCH)
}

/// ZEROFILL shows zeros in front that are not part of the number.
fn without_leading_zeros(number: &str) -> &str {
    let trimmed = number.trim_start_matches('0');
    if trimmed.len() == number.len() || trimmed.starts_with(|first: char| first.is_ascii_digit()) {
        trimmed
    } else {
        // one zero stays in front of the point or end
        number.get(number.len() - trimmed.len() - 1..).unwrap_or(number)
    }
}

/// The decimal digits ahead, at least one, as a number.
fn digits(rest: &mut Bytes<'_>) -> Result<u32, DecodeError> {
    let len = rest.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
    parsed(rest.take(len)?)
}

fn expect(rest: &mut Bytes<'_>, byte: u8) -> Result<(), DecodeError> {
    if rest.u8()? == byte { Ok(()) } else { Err(NO_SUCH) }
}

/// `YYYY-MM-DD`.
fn civil(rest: &mut Bytes<'_>) -> Result<Civil, DecodeError> {
    let year = digits(rest)?;
    expect(rest, b'-')?;
    let month = digits(rest)?;
    expect(rest, b'-')?;
    Ok(Civil { year, month, day: digits(rest)? })
}

/// `HH:MM:SS[.ffffff]`.
fn clock(mut rest: Bytes<'_>) -> Result<(u32, u32, u32, u32), DecodeError> {
    let hour = digits(&mut rest)?;
    expect(&mut rest, b':')?;
    let minute = digits(&mut rest)?;
    expect(&mut rest, b':')?;
    Ok((hour, minute, digits(&mut rest)?, fraction_of(rest)?))
}

/// Microseconds of what is left: nothing, or a point and up to 6 digits.
fn fraction_of(mut rest: Bytes<'_>) -> Result<u32, DecodeError> {
    if rest.is_empty() {
        return Ok(0);
    }
    expect(&mut rest, b'.')?;
    let count = rest.0.len();
    let value = digits(&mut rest)?;
    if count > 6 || !rest.is_empty() {
        return Err(NO_SUCH);
    }
    Ok(value * 10_u32.pow(6 - count as u32))
}

/// `[-]HHH:MM:SS[.ffffff]`.
fn time_micros(value: &[u8]) -> Result<i64, DecodeError> {
    let (negative, rest) = value.strip_prefix(b"-").map_or((false, value), |rest| (true, rest));
    let (hour, minute, second, micros) = clock(Bytes(rest))?;
    if hour > 838 || minute > 59 || second > 59 {
        return Err(NO_SUCH);
    }
    let micros = i64::from(hour * 3_600 + minute * 60 + second) * 1_000_000 + i64::from(micros);
    Ok(if negative { -micros } else { micros })
}

#[cfg(test)]
mod tests;
