//! `GET /v1/bills/summary`: a month in the merchant's zone, summed over what moved the balance.
//!
//! The sums are those of the pipeline `movements`, which has one bill for each entry of the ledger. `in` and `out` are
//! all of them; `fee` is the part of `out` that paid fees; `net = in - out` is exactly what the month added to the
//! balance. So the sums are those of `GET /v1/bills?pipeline=movements` over `[from, to)`, line by line.

use std::sync::Arc;

use change_event::Timestamp;
use serde::Serialize;
use service_kit::Problem;
use service_kit::flow::Admitted;
use service_kit::http::Routes;
use warp::Filter;

use super::{AdmittedFilter, SCOPE, Service, account_parameter, accounts, answer, pipeline};
use crate::auth::Caller;
use crate::bills::Line;
use crate::month::{MonthError, MonthRange};
use crate::query::{Query, invalid};

const PARAMETERS: [&str; 2] = ["month", "account_id"];
const PIPELINE: &str = "movements";
const FEE: &str = "fee";

#[derive(Serialize)]
struct Summary {
    month: String,
    time_zone: String,
    from: Timestamp,
    to: Timestamp,
    /// One for each currency of the accounts asked for, also without a bill.
    totals: Vec<Total>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Total {
    currency: String,
    r#in: i64,
    out: i64,
    fee: i64,
    net: i64,
    count: i64,
    by_type: Vec<ByType>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct ByType {
    bill_type: String,
    direction: String,
    amount: i64,
    count: i64,
}

pub(super) fn route(service: &Arc<Service>, admitted: AdmittedFilter) -> Routes {
    let service = service.clone();
    warp::path!("v1" / "bills" / "summary")
        .and(warp::get())
        .and(admitted)
        .then(move |admitted: Admitted<Caller>| {
            let service = service.clone();
            async move { answer(summary(&service, admitted)).await }
        })
        .boxed()
}

async fn summary(
    service: &Service,
    Admitted { caller, request }: Admitted<Caller>,
) -> Result<Summary, Problem> {
    caller.require(SCOPE)?;
    let query = Query::parse(request.query.as_deref(), &PARAMETERS)?;
    let Some(month) = query.get("month") else {
        return Err(Problem::bad_request("parameter_missing", "give the month, such as month=2026-11")
            .error("month", "missing"));
    };
    let range = MonthRange::of(month, &caller.grant.time_zone).map_err(|error| match error {
        MonthError::Form => invalid("month", "of the form YYYY-MM, from 1970-01 to 9998-12"),
        // the zone was fixed when the merchant was created, so it is our fault
        MonthError::Zone(_) => Problem::internal(&error),
    })?;
    let pipeline = pipeline(service, None, PIPELINE)?;
    let accounts = accounts(&caller, account_parameter(&query)?)?;
    let lines = service.bills.sum(&accounts, &pipeline, range.from, range.to).await?;
    let currencies = accounts
        .iter()
        .filter_map(|id| caller.grant.account(*id))
        .map(|account| account.currency.to_string());
    Ok(Summary {
        month: month.to_owned(),
        time_zone: caller.grant.time_zone.clone(),
        from: range.from,
        to: range.to,
        totals: totals(currencies.collect(), lines)
            .ok_or_else(|| Problem::internal("a sum is out of range"))?,
    })
}

/// `None` where 64 bits do not hold a sum.
fn totals(mut currencies: Vec<String>, lines: Vec<Line>) -> Option<Vec<Total>> {
    currencies.extend(lines.iter().map(|line| line.currency.clone()));
    currencies.sort();
    currencies.dedup();
    currencies
        .into_iter()
        .map(|currency| {
            let own = lines.iter().filter(|line| line.currency == currency).cloned();
            total(currency.clone(), own.collect())
        })
        .collect()
}

fn total(currency: String, lines: Vec<Line>) -> Option<Total> {
    let sum = |wanted: &dyn Fn(&&Line) -> bool| {
        lines.iter().filter(wanted).try_fold(0_i64, |sum, line| sum.checked_add(line.amount))
    };
    let (money_in, out) = (sum(&|line| line.direction == "in")?, sum(&|line| line.direction == "out")?);
    Some(Total {
        currency,
        r#in: money_in,
        out,
        fee: sum(&|line| line.direction == "out" && line.bill_type == FEE)?,
        net: money_in.checked_sub(out)?,
        count: lines.iter().map(|line| line.count).sum(),
        by_type: lines
            .into_iter()
            .map(|Line { bill_type, direction, amount, count, .. }| ByType {
                bill_type,
                direction,
                amount,
                count,
            })
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(currency: &str, bill_type: &str, direction: &str, amount: i64) -> Line {
        let [currency, bill_type, direction] = [currency, bill_type, direction].map(str::to_owned);
        Line { currency, bill_type, direction, amount, count: 2 }
    }

    #[test]
    fn the_fee_is_part_of_out_and_the_net_is_what_the_balance_gained() {
        let lines = vec![
            line("CNY", "collect", "in", 10_000),
            line("CNY", "fee", "out", 60),
            line("CNY", "pay", "out", 400),
        ];
        let all = totals(vec!["CNY".to_owned(), "CNY".to_owned(), "JPY".to_owned()], lines).unwrap();
        let [cny, jpy] = all.as_slice() else { panic!("{all:?}") };
        assert_eq!((cny.r#in, cny.out, cny.fee, cny.net, cny.count), (10_000, 460, 60, 9_540, 6));
        assert_eq!(cny.by_type.len(), 3);
        assert_eq!((jpy.currency.as_str(), jpy.count, jpy.by_type.len()), ("JPY", 0, 0));
    }

    #[test]
    fn a_sum_that_64_bits_do_not_hold_is_no_sum() {
        let lines = vec![line("CNY", "a", "in", i64::MAX), line("CNY", "b", "in", 1)];
        assert!(totals(Vec::new(), lines).is_none());
    }
}
