//! Months as a merchant counts them: half-open ranges of moments, cut at midnight in the merchant's zone.

use change_event::Timestamp;
use jiff::civil::Date;
use jiff::tz::{Offset, TimeZone};

/// Why a month has no range.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MonthError {
    #[error("the month is not of the form YYYY-MM, from 1970-01 to 9998-12")]
    Form,
    #[error("the time zone {0:?} is not known to this build")]
    Zone(String),
}

/// A calendar month in a zone, as the moments `[from, to)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MonthRange {
    /// The first moment of the month's first day; later than midnight where the clocks go forward at midnight.
    pub(crate) from: Timestamp,
    /// The first moment of the next month.
    pub(crate) to: Timestamp,
}

impl MonthRange {
    /// `month` is `YYYY-MM`; `zone` an IANA name or a fixed offset such as `+04:00`.
    pub(crate) fn of(month: &str, zone: &str) -> Result<MonthRange, MonthError> {
        let first = first_day(month).ok_or(MonthError::Form)?;
        let next = first.last_of_month().tomorrow().map_err(|_| MonthError::Form)?;
        let zone = time_zone(zone).ok_or_else(|| MonthError::Zone(zone.to_owned()))?;
        let start = |day| start_of(day, &zone).ok_or(MonthError::Form);
        Ok(MonthRange { from: start(first)?, to: start(next)? })
    }
}

fn first_day(month: &str) -> Option<Date> {
    let (year, month) = month.split_once('-')?;
    let digits =
        |text: &str, count: usize| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(year, 4) || !digits(month, 2) {
        return None;
    }
    let year: i16 = year.parse().ok()?;
    (1970..=9998).contains(&year).then_some(())?;
    Date::new(year, month.parse().ok()?, 1).ok()
}

fn time_zone(name: &str) -> Option<TimeZone> {
    if name.starts_with(['+', '-']) { fixed(name).map(TimeZone::fixed) } else { TimeZone::get(name).ok() }
}

fn fixed(text: &str) -> Option<Offset> {
    let (hours, minutes) = text.get(1..)?.split_once(':')?;
    let seconds =
        hours.parse::<u8>().ok().map(i32::from)? * 3600 + minutes.parse::<u8>().ok().map(i32::from)? * 60;
    Offset::from_seconds(if text.starts_with('-') { -seconds } else { seconds }).ok()
}

// a midnight that does not exist moves forward to the first moment of the day, one that comes twice counts from the first
fn start_of(day: Date, zone: &TimeZone) -> Option<Timestamp> {
    let start = day.to_zoned(zone.clone()).ok()?;
    Timestamp::from_micros(start.timestamp().as_microsecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(month: &str, zone: &str, from: &str, to: &str) {
        let range = MonthRange::of(month, zone).unwrap();
        assert_eq!(
            (range.from.to_string().as_str(), range.to.to_string().as_str()),
            (from, to),
            "{month} in {zone}"
        );
    }

    #[test]
    fn a_month_is_cut_at_midnight_in_the_merchants_zone() {
        check("2026-11", "UTC", "2026-11-01T00:00:00.000000Z", "2026-12-01T00:00:00.000000Z");
        check("2026-11", "Asia/Shanghai", "2026-10-31T16:00:00.000000Z", "2026-11-30T16:00:00.000000Z");
        check("2026-11", "+04:00", "2026-10-31T20:00:00.000000Z", "2026-11-30T20:00:00.000000Z");
        check("2026-11", "Asia/Dubai", "2026-10-31T20:00:00.000000Z", "2026-11-30T20:00:00.000000Z");
        check("2026-12", "-03:30", "2026-12-01T03:30:00.000000Z", "2027-01-01T03:30:00.000000Z");
    }

    #[test]
    fn clocks_that_change_inside_or_at_the_edge_of_a_month_lose_no_moment() {
        // the clocks go back on 1 November, so November begins in summer time and ends in winter time
        check("2026-11", "America/New_York", "2026-11-01T04:00:00.000000Z", "2026-12-01T05:00:00.000000Z");
        check("2026-03", "Europe/Berlin", "2026-02-28T23:00:00.000000Z", "2026-03-31T22:00:00.000000Z");
        // on 1 October 2017 Asuncion had no midnight: the day began at 01:00 by the new offset
        check("2017-10", "America/Asuncion", "2017-10-01T04:00:00.000000Z", "2017-11-01T03:00:00.000000Z");
    }

    #[test]
    fn february_ends_where_its_year_says() {
        check("2028-02", "Asia/Shanghai", "2028-01-31T16:00:00.000000Z", "2028-02-29T16:00:00.000000Z");
        check("2027-02", "Asia/Shanghai", "2027-01-31T16:00:00.000000Z", "2027-02-28T16:00:00.000000Z");
        check("2100-02", "UTC", "2100-02-01T00:00:00.000000Z", "2100-03-01T00:00:00.000000Z");
    }

    #[test]
    fn neighbours_meet_without_gap_or_overlap() {
        for zone in ["Asia/Shanghai", "+04:00", "America/New_York", "America/Asuncion", "Australia/Lord_Howe"]
        {
            for (month, next) in [
                ("2024-02", "2024-03"),
                ("2026-03", "2026-04"),
                ("2017-09", "2017-10"),
                ("2026-12", "2027-01"),
            ] {
                let (this, next) =
                    (MonthRange::of(month, zone).unwrap(), MonthRange::of(next, zone).unwrap());
                assert_eq!(this.to, next.from, "{month} in {zone}");
            }
        }
    }

    #[test]
    fn other_forms_are_refused() {
        for month in [
            "2026-13",
            "2026-00",
            "2026-1",
            "26-01",
            "2026-11-01",
            "2026/11",
            "+026-11",
            "",
            "9999-12",
            "1969-12",
        ] {
            assert_eq!(MonthRange::of(month, "UTC"), Err(MonthError::Form), "{month:?}");
        }
        for zone in ["Mars/Olympus", "+4", "+aa:00", ""] {
            assert_eq!(MonthRange::of("2026-11", zone), Err(MonthError::Zone(zone.to_owned())), "{zone:?}");
        }
    }
}
