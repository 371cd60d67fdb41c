//! DATE, TIME, DATETIME and TIMESTAMP: days, microseconds and UTC texts.

use super::{integer, null};
use crate::binlog::DecodeError;

/// A date as the server keeps it: it may be zero, partly zero or (with `sql_mode=ALLOW_INVALID_DATES`) one that no calendar has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Civil {
    /// 0 to 9999.
    pub year: u32,
    /// 0 to 12; 0 is MySQL's "no month".
    pub month: u32,
    /// 0 to 31; 0 is MySQL's "no day".
    pub day: u32,
}

/// A time of day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    /// 0 to 23.
    pub hour: u32,
    /// 0 to 59.
    pub minute: u32,
    /// 0 to 59.
    pub second: u32,
    /// 0 to 999,999.
    pub micros: u32,
}

impl Clock {
    /// Microseconds since midnight.
    fn micros_of_day(self) -> Result<i64, DecodeError> {
        if self.hour > 23 || self.minute > 59 || self.second > 59 || self.micros > 999_999 {
            return Err(DecodeError::Malformed("a time of day that no clock shows"));
        }
        let seconds = self.hour * 3_600 + self.minute * 60 + self.second;
        Ok(i64::from(seconds) * 1_000_000 + i64::from(self.micros))
    }
}

const LAST_DAYS: [u32; 13] = [0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

impl Civil {
    /// Whether month or day is zero: a zero date, which has no place on the calendar.
    fn is_zero(self) -> bool {
        self.month == 0 || self.day == 0
    }

    /// Days from 1970-01-01 in the proleptic Gregorian calendar; `None` for a zero date.
    fn days(self) -> Result<Option<i64>, DecodeError> {
        let Self { year, month, day } = self;
        if self.is_zero() {
            return Ok(None);
        }
        let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let last = match usize::try_from(month).ok().and_then(|month| LAST_DAYS.get(month)) {
            Some(28) if leap => 29,
            Some(last) => *last,
            None => return Err(DecodeError::Malformed("a month past December")),
        };
        if day > last || year > 9_999 {
            return Err(DecodeError::Unsupported(format!(
                "the date {year:04}-{month:02}-{day:02} is on no calendar (sql_mode ALLOW_INVALID_DATES let it in), so it has no JSON form"
            )));
        }
        // years begin in March, so that the leap day is a year's last
        let (year, month) = (i64::from(year) - i64::from(month <= 2), (i64::from(month) + 9) % 12);
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let day_of_year = (153 * month + 2) / 5 + i64::from(day) - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        Ok(Some(era * 146_097 + day_of_era - 719_468))
    }

    /// The date so many days after 1970-01-01, for years 1 to 9999.
    fn of_days(days: i64) -> Self {
        let days = days + 719_468;
        let era = days.div_euclid(146_097);
        let day_of_era = days.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        let year = era * 400 + year_of_era + i64::from(month <= 2);
        Self { year: year as u32, month: month as u32, day: day as u32 }
    }
}

/// A zero date: NULL where the column allows it, else the documented epoch value, as Debezium does.
fn zero(out: &mut Vec<u8>, nullable: bool, epoch: &[u8]) {
    if nullable { null(out) } else { out.extend_from_slice(epoch) }
}

/// DATE: days since 1970-01-01.
pub fn date(out: &mut Vec<u8>, at: Civil, nullable: bool) -> Result<(), DecodeError> {
    match at.days()? {
        Some(days) => integer(out, days),
        None => zero(out, nullable, b"0"),
    }
    Ok(())
}

/// DATETIME(fraction): milliseconds since 1970-01-01T00:00 in the column's own clock up to 3 digits, microseconds above.
pub fn datetime(
    out: &mut Vec<u8>,
    at: Civil,
    clock: Clock,
    fraction: u8,
    nullable: bool,
) -> Result<(), DecodeError> {
    match at.days()? {
        Some(days) => {
            let micros = days * 86_400_000_000 + clock.micros_of_day()?;
            integer(out, if fraction > 3 { micros } else { micros.div_euclid(1_000) });
        }
        None => zero(out, nullable, b"0"),
    }
    Ok(())
}

/// TIME: signed microseconds.
pub fn time(out: &mut Vec<u8>, micros: i64) {
    integer(out, micros);
}

/// TIMESTAMP(fraction): a UTC text with as many digits as the column has. Second 0 with no fraction is the server's zero timestamp.
pub fn timestamp(
    out: &mut Vec<u8>,
    seconds: u32,
    micros: u32,
    fraction: u8,
    nullable: bool,
) -> Result<(), DecodeError> {
    if seconds == 0 && micros == 0 {
        zero(out, nullable, b"\"1970-01-01T00:00:00Z\"");
        return Ok(());
    }
    if micros > 999_999 {
        return Err(DecodeError::Malformed("a fraction of a second of a second or more"));
    }
    let Civil { year, month, day } = Civil::of_days(i64::from(seconds / 86_400));
    let of_day = seconds % 86_400;
    let mut text = *b"\"0000-00-00T00:00:00.000000";
    put_digits(&mut text, 1, 4, year);
    put_digits(&mut text, 6, 2, month);
    put_digits(&mut text, 9, 2, day);
    put_digits(&mut text, 12, 2, of_day / 3_600);
    put_digits(&mut text, 15, 2, of_day / 60 % 60);
    put_digits(&mut text, 18, 2, of_day % 60);
    put_digits(&mut text, 21, 6, micros);
    let len = if fraction == 0 { 20 } else { 21 + usize::from(fraction.min(6)) };
    out.extend_from_slice(text.get(..len).unwrap_or(&text));
    out.extend_from_slice(b"Z\"");
    Ok(())
}

/// Decimal digits of `value` into `text[at..at + len]`.
fn put_digits(text: &mut [u8], at: usize, len: usize, mut value: u32) {
    for slot in text.get_mut(at..at + len).unwrap_or_default().iter_mut().rev() {
        *slot = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rendered(write: impl FnOnce(&mut Vec<u8>) -> Result<(), DecodeError>) -> String {
        let mut out = Vec::new();
        write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn civil(year: u32, month: u32, day: u32) -> Civil {
        Civil { year, month, day }
    }

    proptest! {
        #[test]
        fn days_are_those_of_the_calendar(days in -719_162i64..2_932_896) {
            let at = time::Date::from_ordinal_date(1970, 1).unwrap() + time::Duration::days(days);
            let civil = civil(at.year() as u32, u32::from(u8::from(at.month())), u32::from(at.day()));
            prop_assert_eq!(civil.days(), Ok(Some(days)));
            prop_assert_eq!(Civil::of_days(days), civil);
        }

        #[test]
        fn no_date_panics(year: u32, month: u32, day: u32, hour: u32, micros: u32) {
            let at = civil(year, month, day);
            let _ = datetime(&mut Vec::new(), at, Clock { hour, minute: hour, second: hour, micros }, 6, true);
            let _ = timestamp(&mut Vec::new(), year, micros, (month % 256) as u8, false);
        }
    }

    #[test]
    fn a_zero_date_is_null_only_where_null_is_allowed() {
        for zero in [civil(0, 0, 0), civil(2026, 0, 5), civil(2026, 5, 0)] {
            assert_eq!(rendered(|out| date(out, zero, true)), "null");
            assert_eq!(rendered(|out| date(out, zero, false)), "0");
        }
        assert_eq!(rendered(|out| timestamp(out, 0, 0, 3, false)), "\"1970-01-01T00:00:00Z\"");
        assert_eq!(rendered(|out| timestamp(out, 0, 0, 3, true)), "null");
    }

    #[test]
    fn a_date_on_no_calendar_is_refused_by_name() {
        let error = date(&mut Vec::new(), civil(2023, 2, 30), true).unwrap_err();
        assert!(error.to_string().contains("2023-02-30"), "{error}");
        assert!(date(&mut Vec::new(), civil(2024, 2, 29), true).is_ok());
        assert!(date(&mut Vec::new(), civil(1900, 2, 29), true).is_err());
    }

    #[test]
    fn datetimes_are_milliseconds_or_microseconds_and_timestamps_have_the_columns_digits() {
        let clock = Clock { hour: 23, minute: 59, second: 59, micros: 999_999 };
        assert_eq!(rendered(|out| datetime(out, civil(1969, 12, 31), clock, 6, false)), "-1");
        assert_eq!(rendered(|out| datetime(out, civil(1969, 12, 31), clock, 3, false)), "-1");
        assert_eq!(rendered(|out| date(out, civil(1969, 12, 31), false)), "-1");
        let at = 1_700_000_000;
        assert_eq!(rendered(|out| timestamp(out, at, 0, 0, false)), "\"2023-11-14T22:13:20Z\"");
        assert_eq!(rendered(|out| timestamp(out, at, 123_000, 3, false)), "\"2023-11-14T22:13:20.123Z\"");
        assert_eq!(rendered(|out| timestamp(out, at, 7, 6, false)), "\"2023-11-14T22:13:20.000007Z\"");
        assert_eq!(
            rendered(|out| timestamp(out, u32::MAX, 999_999, 6, false)),
            "\"2106-02-07T06:28:15.999999Z\""
        );
    }
}
