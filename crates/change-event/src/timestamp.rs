//! A moment in UTC with microseconds: the finest a MySQL DATETIME or TIMESTAMP holds.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use time::{
    OffsetDateTime, PrimitiveDateTime, format_description::well_known::Rfc3339, macros::format_description,
};

/// Microseconds since 1970-01-01T00:00:00Z; between the years 0 and 9999. Text form: `2026-11-22T18:20:00.123456Z`, always six digits,
/// so that equal moments are equal texts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Timestamp(i64);

/// A text or number that is not such a moment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a moment between the years 0 and 9999, such as 2026-11-22T18:20:00.123456Z")]
pub struct TimestampError(String);

impl Timestamp {
    /// The moment so many microseconds after (or before) the epoch.
    pub fn from_micros(micros: i64) -> Result<Self, TimestampError> {
        let moment = OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1_000);
        match moment {
            Ok(at) if (0..=9999).contains(&at.year()) => Ok(Self(micros)),
            _ => Err(TimestampError(micros.to_string())),
        }
    }

    /// Microseconds since the epoch.
    pub fn micros(self) -> i64 {
        self.0
    }

    /// The moment as a UTC date and time without zone, as a DATETIME(6) column holds it.
    pub fn to_datetime(self) -> PrimitiveDateTime {
        let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000)
            .unwrap_or(OffsetDateTime::UNIX_EPOCH);
        PrimitiveDateTime::new(at.date(), at.time())
    }

    /// The moment that a DATETIME(6) column in UTC holds.
    pub fn from_datetime(at: PrimitiveDateTime) -> Self {
        Self((at.assume_utc().unix_timestamp_nanos() / 1_000) as i64)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let form = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");
        f.write_str(&self.to_datetime().format(form).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;
    fn from_str(text: &str) -> Result<Self, TimestampError> {
        let wrong = || TimestampError(text.chars().take(40).collect());
        let at = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| wrong())?;
        let micros = i64::try_from(at.unix_timestamp_nanos().div_euclid(1_000)).map_err(|_| wrong())?;
        Self::from_micros(micros).map_err(|_| wrong())
    }
}

impl TryFrom<String> for Timestamp {
    type Error = TimestampError;
    fn try_from(text: String) -> Result<Self, TimestampError> {
        text.parse()
    }
}

impl From<Timestamp> for String {
    fn from(at: Timestamp) -> Self {
        at.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn text_and_datetime_keep_every_microsecond(micros in -62_167_219_200_000_000i64..=253_402_300_799_999_999) {
            let at = Timestamp::from_micros(micros).unwrap();
            prop_assert_eq!(at.to_string().parse::<Timestamp>().unwrap(), at);
            prop_assert_eq!(Timestamp::from_datetime(at.to_datetime()), at);
        }
    }

    #[test]
    fn the_text_always_has_six_digits_and_an_offset_is_honoured() {
        assert_eq!(Timestamp::from_micros(0).unwrap().to_string(), "1970-01-01T00:00:00.000000Z");
        assert_eq!("1970-01-01T08:00:00+08:00".parse(), Timestamp::from_micros(0));
        assert_eq!(Timestamp::from_micros(-1).unwrap().to_string(), "1969-12-31T23:59:59.999999Z");
        assert!(Timestamp::from_micros(i64::MAX).is_err() && "yesterday".parse::<Timestamp>().is_err());
    }
}
