//! One bill id: what should be against what is. Pure.

use change_event::stage2::Bill;

use super::{
    Expected, Held, Window,
    report::{Difference, Kind, Report, Sink},
};

/// Whether any of them occurred in the window; a bill that moved in or out of it is compared too.
pub(super) fn in_window(
    window: &Window,
    should: &[Expected],
    store: &[Held],
    index: Option<&[Held]>,
) -> bool {
    let held = store.iter().chain(index.unwrap_or_default()).any(|held| window.holds(held.bill.occurred_at));
    let expected = should.iter().any(|expected| match expected {
        Expected::Bill(bill) => window.holds(bill.occurred_at),
        Expected::Refused(_) => true,
    });
    held || expected
}

/// Counts, and adds every difference to the report.
pub(super) fn bill(
    bill_id: &str,
    should: &[Expected],
    store: &[Held],
    index: Option<&[Held]>,
    report: &mut Report,
) {
    report.store += store.len() as u64;
    if let (Some(count), Some(index)) = (&mut report.index, index) {
        *count += index.len() as u64;
    }
    for expected in should {
        match expected {
            Expected::Refused(reason) => {
                // what the sinks hold of it is an older state, kept until the row heals
                report.add(Difference {
                    kind: Kind::Unmappable,
                    sink: None,
                    bill_id: bill_id.to_owned(),
                    account_id: None,
                    fields: vec![reason.clone()],
                });
                return;
            }
            Expected::Bill(_) => report.expected += 1,
        }
    }
    let bills: Vec<&Bill> = should
        .iter()
        .filter_map(|expected| match expected {
            Expected::Bill(bill) => Some(bill.as_ref()),
            Expected::Refused(_) => None,
        })
        .collect();
    against(bill_id, &bills, store, Sink::Store, report);
    let Some(index) = index else { return };
    against(bill_id, &bills, index, Sink::Index, report);
    for held in store {
        let twin = index.iter().find(|twin| twin.bill.account_id == held.bill.account_id);
        if let Some(twin) = twin
            && twin.version != held.version
        {
            let fields = vec![format!("version: store {}, index {}", held.version, twin.version)];
            report.add(difference(Kind::Version, Sink::Index, &held.bill, fields));
        }
    }
}

fn against(bill_id: &str, should: &[&Bill], held: &[Held], sink: Sink, report: &mut Report) {
    for bill in should {
        match held.iter().find(|held| held.bill.account_id == bill.account_id) {
            None => report.add(difference(Kind::Missing, sink, bill, Vec::new())),
            Some(held) => {
                let fields = changed(bill, &held.bill);
                if !fields.is_empty() {
                    report.add(difference(Kind::Changed, sink, bill, fields));
                }
            }
        }
    }
    for (at, this) in held.iter().enumerate() {
        let account = this.bill.account_id;
        // an index behind an alias of two, or a document under a wrong id, shows a bill twice
        let again = held.iter().take(at).any(|other| other.bill.account_id == account);
        if !again && should.iter().any(|bill| bill.account_id == account) {
            continue;
        }
        debug_assert_eq!(this.bill.bill_id.as_str(), bill_id);
        report.add(difference(Kind::Extra, sink, &this.bill, Vec::new()));
    }
}

fn difference(kind: Kind, sink: Sink, bill: &Bill, fields: Vec<String>) -> Difference {
    Difference {
        kind,
        sink: Some(sink),
        bill_id: bill.bill_id.to_string(),
        account_id: Some(bill.account_id.to_string()),
        fields,
    }
}

/// Names of the fields that differ, in the order of the bill.
fn changed(should: &Bill, is: &Bill) -> Vec<String> {
    let fields = [
        ("pipeline", should.pipeline == is.pipeline),
        ("source", should.source == is.source),
        ("side", should.side == is.side),
        ("merchant_id", should.merchant_id == is.merchant_id),
        ("bill_type", should.bill_type == is.bill_type),
        ("direction", should.direction == is.direction),
        ("status", should.status == is.status),
        ("amount", should.amount == is.amount),
        ("fee", should.fee == is.fee),
        ("currency", should.currency == is.currency),
        ("balance_after", should.balance_after == is.balance_after),
        ("occurred_at", should.occurred_at == is.occurred_at),
        ("posted_at", should.posted_at == is.posted_at),
        ("counterparty", should.counterparty == is.counterparty),
        ("order_no", should.order_no == is.order_no),
        ("channel", should.channel == is.channel),
        ("channel_ref", should.channel_ref == is.channel_ref),
        ("remark", should.remark == is.remark),
    ];
    fields.iter().filter(|(_, equal)| !equal).map(|(name, _)| (*name).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bill_of(account: u64, remark: &str) -> Bill {
        serde_json::from_value(serde_json::json!({"account_id": account, "bill_id": "orders.a.payee.1", "pipeline": "orders", "source": "a", "side": "payee",
            "merchant_id": 1, "bill_type": "pay", "direction": "in", "status": "succeeded", "amount": 5, "fee": 0, "currency": "CNY", "balance_after": null,
            "occurred_at": "2026-11-22T18:20:00.123456Z", "posted_at": "2026-11-22T18:20:00.123456Z", "counterparty": "", "order_no": "", "channel": "",
            "channel_ref": null, "remark": remark}))
        .unwrap()
    }

    fn held(account: u64, remark: &str, version: i64) -> Held {
        Held { bill: bill_of(account, remark), version }
    }

    fn kinds(should: &[Expected], store: &[Held], index: &[Held]) -> Vec<String> {
        let mut report = Report::new(true, 10);
        bill("orders.a.payee.1", should, store, Some(index), &mut report);
        report.details.iter().map(|d| format!("{:?} {:?} {}", d.kind, d.sink, d.fields.join(","))).collect()
    }

    #[test]
    fn every_way_of_differing_is_told_apart() {
        let should = [Expected::Bill(Box::new(bill_of(1, "a")))];
        assert_eq!(kinds(&should, &[held(1, "a", 3)], &[held(1, "a", 3)]), Vec::<String>::new());
        assert_eq!(kinds(&should, &[], &[held(1, "a", 3)]), ["Missing Some(Store) "]);
        assert_eq!(kinds(&should, &[held(1, "b", 3)], &[held(1, "a", 3)]), ["Changed Some(Store) remark"]);
        assert_eq!(
            kinds(&should, &[held(1, "a", 3)], &[held(1, "a", 2)]),
            ["Version Some(Index) version: store 3, index 2"]
        );
        assert_eq!(kinds(&[], &[held(1, "a", 3)], &[]), ["Extra Some(Store) "]);
        // it moved to another account, and the old one was not ended
        assert_eq!(
            kinds(&should, &[held(1, "a", 3), held(2, "a", 2)], &[held(1, "a", 3)]),
            ["Extra Some(Store) "]
        );
    }

    #[test]
    fn a_bill_that_a_sink_shows_twice_is_no_equality() {
        let should = [Expected::Bill(Box::new(bill_of(1, "a")))];
        let twice = [held(1, "a", 3), held(1, "a", 3)];
        assert_eq!(kinds(&should, &[held(1, "a", 3)], &twice), ["Extra Some(Index) "]);
    }

    #[test]
    fn a_row_that_cannot_become_a_bill_is_one_difference_whatever_the_sinks_hold() {
        let should = [Expected::Refused("currency".to_owned())];
        assert_eq!(kinds(&should, &[held(1, "a", 3)], &[]), ["Unmappable None currency"]);
    }
}
