//! `GET /v1/bills/{bill_id}`: one bill, from the store.

use std::str::FromStr;
use std::sync::Arc;

use change_event::stage2::BillId;
use percent_encoding::percent_decode_str;
use service_kit::Problem;
use service_kit::flow::Admitted;
use service_kit::http::Routes;
use warp::Filter;

use super::{AdmittedFilter, SCOPE, Service, accounts, answer};
use crate::auth::Caller;
use crate::bills::Bill;
use crate::query::Query;

/// A path segment of a bill id's form, `pipeline.source.side.key`; no other route's name has that form.
struct IdSegment(BillId);

impl FromStr for IdSegment {
    type Err = ();
    fn from_str(segment: &str) -> Result<IdSegment, ()> {
        let text = percent_decode_str(segment).decode_utf8().map_err(|_| ())?;
        let id = BillId::from_text(&text).ok_or(())?;
        if text.splitn(4, '.').count() == 4 { Ok(IdSegment(id)) } else { Err(()) }
    }
}

pub(super) fn route(service: &Arc<Service>, admitted: AdmittedFilter) -> Routes {
    let service = service.clone();
    warp::path!("v1" / "bills" / IdSegment)
        .and(warp::get())
        .and(admitted)
        .then(move |IdSegment(id): IdSegment, admitted: Admitted<Caller>| {
            let service = service.clone();
            async move { answer(detail(&service, &id, admitted)).await }
        })
        .boxed()
}

async fn detail(
    service: &Service,
    id: &BillId,
    Admitted { caller, request }: Admitted<Caller>,
) -> Result<Bill, Problem> {
    caller.require(SCOPE)?;
    Query::parse(request.query.as_deref(), &[])?;
    let bill = service.bills.find(&accounts(&caller, None)?, id.as_str()).await?;
    // deleted, never there and somebody else's are one answer
    bill.ok_or_else(|| Problem::not_found("bill_not_found", "no bill of this merchant has this id"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bill_id_is_taken_for_one() {
        let parse = |text: &str| text.parse::<IdSegment>().map(|IdSegment(id)| id.as_str().to_owned());
        assert_eq!(parse("orders.accounting.payee.1042").as_deref(), Ok("orders.accounting.payee.1042"));
        assert_eq!(parse("orders.accounting.payee.a%2Fb.c").as_deref(), Ok("orders.accounting.payee.a/b.c"));
        for other in ["summary", "a.b.c", "", "orders.accounting.payee.%FF", "orders.accounting.payee.%20"] {
            assert!(parse(other).is_err(), "{other:?}");
        }
    }
}
