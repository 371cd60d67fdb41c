//! `GET /v1/bills`: a page of bills, newest first.

use std::sync::Arc;

use change_event::Timestamp;
use serde::Serialize;
use service_kit::Problem;
use service_kit::flow::Admitted;
use service_kit::http::Routes;
use warp::Filter;

use super::{AdmittedFilter, SCOPE, Service, account_parameter, accounts, answer, pipeline};
use crate::auth::Caller;
use crate::bills::{Bill, CursorError, Direction, Filters, Position};
use crate::query::{Query, invalid};

const PARAMETERS: [&str; 8] =
    ["pipeline", "account_id", "from", "to", "bill_type", "direction", "cursor", "limit"];
const DEFAULT_PIPELINE: &str = "orders";
const DEFAULT_LIMIT: u32 = 20;
const LARGEST_LIMIT: u32 = 100;

#[derive(Serialize)]
struct Page {
    items: Vec<Bill>,
    has_more: bool,
    /// Present exactly when there is more.
    next_cursor: Option<String>,
}

pub(super) fn route(service: &Arc<Service>, admitted: AdmittedFilter) -> Routes {
    let service = service.clone();
    warp::path!("v1" / "bills")
        .and(warp::get())
        .and(admitted)
        .then(move |admitted: Admitted<Caller>| {
            let service = service.clone();
            async move { answer(list(&service, admitted)).await }
        })
        .boxed()
}

async fn list(service: &Service, Admitted { caller, request }: Admitted<Caller>) -> Result<Page, Problem> {
    caller.require(SCOPE)?;
    let query = Query::parse(request.query.as_deref(), &PARAMETERS)?;
    let filters = filters(service, &query)?;
    let limit = query
        .parsed("limit", "a number from 1 to 100", |text| {
            text.parse()
                .ok()
                .filter(|limit| (1..=LARGEST_LIMIT).contains(limit) && !text.starts_with(['+', '0']))
        })?
        .unwrap_or(DEFAULT_LIMIT);
    let accounts = accounts(&caller, filters.account)?;
    let merchant = caller.grant.merchant_id;
    let after = query.get("cursor").map(|text| service.cursors.open(merchant, &filters, text)).transpose()?;

    // one more than asked for says whether there is more
    let mut items = service.bills.list(&accounts, &filters, after.as_ref(), limit + 1).await?;
    let has_more = items.len() > limit as usize;
    items.truncate(limit as usize);
    let next_cursor = items.last().filter(|_| has_more).map(|last| {
        let position = Position {
            occurred_at: last.occurred_at,
            bill_id: last.bill_id.clone(),
            account: last.account_id,
        };
        service.cursors.seal(merchant, &filters, &position)
    });
    Ok(Page { items, has_more, next_cursor })
}

fn filters(service: &Service, query: &Query) -> Result<Filters, Problem> {
    let moment = |name| query.parsed(name, MOMENT, parse_moment);
    let (from, to) = (moment("from")?, moment("to")?);
    if let (Some(from), Some(to)) = (from, to)
        && from > to
    {
        return Err(invalid("to", "no earlier than from"));
    }
    let bill_type = query.parsed("bill_type", "1 to 16 of a-z, 0-9 and _", |text| {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        ((1..=16).contains(&text.len()) && text.bytes().all(plain)).then(|| text.to_owned())
    })?;
    Ok(Filters {
        pipeline: pipeline(service, query.get("pipeline"), DEFAULT_PIPELINE)?,
        account: account_parameter(query)?,
        from,
        to,
        bill_type,
        direction: query.parsed("direction", "in or out", Direction::parse)?,
    })
}

const MOMENT: &str = "a moment such as 2026-11-22T18:20:00.123456Z or 2026-11-22T22:20:00%2B04:00, the plus of an \
                      offset percent-encoded, with at most six digits after the point";

// any offset, as the same instant is the same filter; finer than a microsecond would be cut silently
fn parse_moment(text: &str) -> Option<Timestamp> {
    let digits =
        text.split_once('.').map_or(0, |(_, rest)| rest.bytes().take_while(u8::is_ascii_digit).count());
    if digits > 6 { None } else { text.parse().ok() }
}

impl From<CursorError> for Problem {
    fn from(error: CursorError) -> Problem {
        let code = match error {
            CursorError::Invalid => "cursor_invalid",
            CursorError::OtherFilters => "cursor_filters_changed",
        };
        Problem::bad_request(code, error.to_string()).error("cursor", "invalid")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_instant_is_the_same_filter_whatever_its_offset() {
        let utc = parse_moment("2026-11-22T18:20:00.123456Z").unwrap();
        assert_eq!(parse_moment("2026-11-22T22:20:00.123456+04:00"), Some(utc));
        assert_eq!(parse_moment("2026-11-22T14:50:00.123456-03:30"), Some(utc));
        for refused in [
            "2026-11-22T18:20:00.1234567Z",
            "2026-11-22T22:20:00 04:00",
            "2026-11-22",
            "1795372800",
            "",
            "now",
        ] {
            assert_eq!(parse_moment(refused), None, "{refused:?}");
        }
    }
}
