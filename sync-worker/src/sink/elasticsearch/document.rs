//! A bill as a document, and a batch as a bulk body.

use change_event::{
    Timestamp, Version,
    progress::Mark,
    stage2::{BillOp, BillRecord},
};
use serde::Serialize;

/// The document's id: `{account_id}:{bill_id}`. Like the store's key it holds the account, so that the delete and the upsert
/// of a bill that moved are two documents and need no order between them.
pub fn id(account_id: u64, bill_id: &str) -> String {
    format!("{account_id}:{bill_id}")
}

#[derive(Serialize)]
struct Action<'a> {
    index: Target<'a>,
}

#[derive(Serialize)]
struct Target<'a> {
    _id: &'a str,
    version: i64,
    version_type: &'static str,
}

/// Ids are strings, for they are u64 and only ever compared; amounts are integers in minor units.
#[derive(Serialize)]
struct Document<'a> {
    account_id: String,
    bill_id: &'a str,
    version: Version,
    deleted: bool,
    pipeline: &'a str,
    source: &'a str,
    side: &'a str,
    merchant_id: String,
    bill_type: &'a str,
    direction: &'static str,
    status: &'a str,
    amount: i64,
    fee: i64,
    currency: &'a str,
    balance_after: Option<i64>,
    occurred_at: Timestamp,
    posted_at: Timestamp,
    counterparty: &'a str,
    order_no: &'a str,
    channel: &'a str,
    channel_ref: Option<&'a str>,
    remark: &'a str,
    committed_at: Timestamp,
}

impl<'a> Document<'a> {
    fn of(record: &'a BillRecord) -> Self {
        let bill = &record.bill;
        Self {
            account_id: bill.account_id.to_string(),
            bill_id: bill.bill_id.as_str(),
            version: record.version,
            deleted: record.op == BillOp::Delete,
            pipeline: &bill.pipeline,
            source: &bill.source,
            side: &bill.side,
            merchant_id: bill.merchant_id.to_string(),
            bill_type: &bill.bill_type,
            direction: bill.direction.as_str(),
            status: &bill.status,
            amount: bill.amount,
            fee: bill.fee,
            currency: &bill.currency,
            balance_after: bill.balance_after,
            occurred_at: bill.occurred_at,
            posted_at: bill.posted_at,
            counterparty: &bill.counterparty,
            order_no: &bill.order_no,
            channel: &bill.channel,
            channel_ref: bill.channel_ref.as_deref(),
            remark: &bill.remark,
            committed_at: record.committed_at,
        }
    }
}

/// One `index` action and one document per record; a delete is a document too, with `deleted: true`: Elasticsearch forgets
/// a real delete's version after `index.gc_deletes`, and a late older image would bring the bill back.
pub(super) fn bulk_body(batch: &[BillRecord]) -> Result<String, serde_json::Error> {
    let mut body = String::with_capacity(batch.len() * 700);
    for record in batch {
        let id = id(record.bill.account_id, record.bill.bill_id.as_str());
        let target = Target { _id: &id, version: record.version.get(), version_type: "external_gte" };
        body.push_str(&serde_json::to_string(&Action { index: target })?);
        body.push('\n');
        body.push_str(&serde_json::to_string(&Document::of(record))?);
        body.push('\n');
    }
    Ok(body)
}

/// Progress marks as a bulk body; `{topic}.{partition}.{source}` names each. Equal versions pass: a source that stands still is looked at
/// again and again.
pub(super) fn marks_body(topic: &str, marks: &[(i32, Mark)]) -> Result<String, serde_json::Error> {
    let mut body = String::new();
    for (partition, mark) in marks {
        let id = format!("{topic}.{partition}.{}", mark.source);
        let target = Target { _id: &id, version: mark.seq.get(), version_type: "external_gte" };
        body.push_str(&serde_json::to_string(&Action { index: target })?);
        body.push('\n');
        let document = serde_json::json!({
            "topic": topic, "topic_partition": partition, "source": mark.source, "seq": mark.seq, "gtid": mark.gtid, "as_of": mark.as_of,
        });
        body.push_str(&document.to_string());
        body.push('\n');
    }
    Ok(body)
}
