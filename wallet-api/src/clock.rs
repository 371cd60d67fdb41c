//! The one place that reads the clock for what is written to the database.

use change_event::Timestamp;
use sqlx::types::time::{OffsetDateTime, PrimitiveDateTime};

/// Now in UTC, cut to microseconds.
pub(crate) fn now() -> Timestamp {
    let now = OffsetDateTime::now_utc();
    Timestamp::from_datetime(PrimitiveDateTime::new(now.date(), now.time()))
}
