//! The canonical form of a value: what SQL is asked for, and what the streamed JSON is turned into.

use anyhow::{Context, Result, bail};
use base64::{Engine, engine::general_purpose::STANDARD};
use change_event::Value;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Canon {
    /// The number's or text's own characters.
    Plain,
    Float,
    Double,
    Bits(u8),
    Text,
    Binary,
    Date,
    Time(u8),
    DateTime(u8),
    Timestamp(u8),
    Year,
    /// `srid:wkb`.
    Geometry {
        mysql: bool,
    },
    Vector,
    /// MySQL's.
    Json,
}

impl Canon {
    /// What is selected of the column `name`, which is quoted.
    pub fn select(self, name: &str) -> String {
        match self {
            Self::Plain | Self::Double | Self::Date | Self::Year => format!("CAST({name} AS CHAR)"),
            Self::Time(_) | Self::DateTime(_) | Self::Timestamp(_) => format!("CAST({name} AS CHAR)"),
            Self::Float => format!("CAST(CAST({name} AS DOUBLE) AS CHAR)"),
            Self::Bits(_) => format!("HEX({name} + 0)"),
            Self::Text => format!("HEX(CONVERT({name} USING utf8mb4))"),
            Self::Json => format!("HEX(CAST({name} AS CHAR CHARACTER SET utf8mb4))"),
            Self::Binary | Self::Vector => format!("HEX({name})"),
            // MySQL would swap the coordinates as the reference system says; the log has them as they are kept
            Self::Geometry { mysql: true } => {
                format!("CONCAT(ST_SRID({name}), ':', HEX(ST_AsBinary({name}, 'axis-order=long-lat')))")
            }
            Self::Geometry { mysql: false } => {
                format!("CONCAT(ST_SRID({name}), ':', HEX(ST_AsBinary({name})))")
            }
        }
    }

    /// What the stream is to say where SELECT said this.
    pub fn expected(self, selected: &str, nullable: bool) -> String {
        if selected == "NULL" {
            return selected.to_owned();
        }
        let zero_date = matches!(self, Self::Date | Self::DateTime(_) | Self::Timestamp(_))
            && (selected.get(5..7) == Some("00") || selected.get(8..10) == Some("00"));
        match self {
            _ if zero_date && nullable => "NULL".to_owned(),
            Self::Date if zero_date => "1970-01-01".to_owned(),
            Self::DateTime(digits) if zero_date => with_fraction("1970-01-01 00:00:00", 0, digits),
            Self::Timestamp(_) if zero_date => "1970-01-01 00:00:00".to_owned(),
            // the servers' texts of a double are not always its exact value; that of a float never shows
            Self::Float => format!("{:?}", selected.parse::<f32>().map(f32::to_bits)),
            Self::Double => format!("{:?}", selected.parse::<f64>().map(f64::to_bits)),
            _ => selected.to_owned(),
        }
    }

    /// What the stream said.
    pub fn streamed(self, value: &Value<'_>) -> Result<String> {
        Ok(match (self, value) {
            (_, Value::Null) => "NULL".to_owned(),
            (Self::Plain, Value::Str(text)) => text.to_string(),
            (Self::Plain, Value::I64(number)) => number.to_string(),
            (Self::Plain, Value::U64(number)) => number.to_string(),
            (Self::Float, Value::F64(number)) => {
                // it is the shortest text of the 32-bit number
                format!("{:?}", Ok::<_, std::num::ParseFloatError>((*number as f32).to_bits()))
            }
            (Self::Double, Value::F64(number)) => {
                format!("{:?}", Ok::<_, std::num::ParseFloatError>(number.to_bits()))
            }
            (Self::Bits(1), Value::Bool(bit)) => u8::from(*bit).to_string(),
            (Self::Bits(width), Value::Str(text)) => {
                let bytes = STANDARD.decode(text.as_ref())?;
                anyhow::ensure!(bytes.len() == usize::from(width).div_ceil(8), "{} bytes", bytes.len());
                format!("{:X}", bytes.iter().rev().fold(0u64, |value, byte| value << 8 | u64::from(*byte)))
            }
            (Self::Text | Self::Json, Value::Str(text)) => hex::encode_upper(text.as_bytes()),
            (Self::Binary, Value::Str(text)) => hex::encode_upper(STANDARD.decode(text.as_ref())?),
            (Self::Date, Value::I64(days)) => at(days * 86_400_000_000)?.date().to_string(),
            (Self::Time(digits), Value::I64(micros)) => {
                let (sign, size) = (if *micros < 0 { "-" } else { "" }, micros.unsigned_abs());
                let seconds = size / 1_000_000;
                let text =
                    format!("{sign}{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60);
                with_fraction(&text, size % 1_000_000, digits)
            }
            (Self::DateTime(digits), Value::I64(number)) => {
                let micros = if digits > 3 { *number } else { number * 1_000 };
                let at = at(micros)?;
                let (hour, minute, second, micro) = at.as_hms_micro();
                let text = format!("{} {hour:02}:{minute:02}:{second:02}", at.date());
                with_fraction(&text, u64::from(micro), digits)
            }
            (Self::Timestamp(_), Value::Str(text)) => {
                text.strip_suffix('Z').context("no Z")?.replace('T', " ")
            }
            (Self::Year, Value::I64(year)) => format!("{year:04}"),
            (Self::Geometry { .. }, Value::Other(json)) => {
                let shape: serde_json::Value = serde_json::from_str(json)?;
                let wkb = STANDARD.decode(shape["wkb"].as_str().context("no wkb")?)?;
                if let Some(x) = shape["x"].as_f64() {
                    anyhow::ensure!(wkb.get(5..13) == Some(&x.to_le_bytes()[..]), "x is not the WKB's");
                }
                format!("{}:{}", shape["srid"].as_u64().unwrap_or(0), hex::encode_upper(wkb))
            }
            (Self::Vector, Value::Other(json)) => {
                let numbers: Vec<f32> = serde_json::from_str(json)?;
                hex::encode_upper(numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<_>>())
            }
            (form, other) => bail!("{other:?} is not of the form {form:?}"),
        })
    }
}

fn at(micros: i64) -> Result<time::PrimitiveDateTime> {
    let at = time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1_000)?;
    Ok(time::PrimitiveDateTime::new(at.date(), at.time()))
}

fn with_fraction(text: &str, micros: u64, digits: u8) -> String {
    match digits {
        0 => text.to_owned(),
        digits => format!("{text}.{}", &format!("{micros:06}")[..usize::from(digits)]),
    }
}
