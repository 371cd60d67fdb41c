//! What the bill index holds: live documents of one side at one point in time, in the order of their bill ids.

use anyhow::{Context as _, anyhow, bail};
use change_event::{
    Timestamp,
    stage2::{Bill, BillId, Direction},
};
use elasticsearch::http::Method;
use pipeline_config::{Pipeline, Side};
use serde::Deserialize;
use serde_json::{Value, json};
use sync_worker::sink::elasticsearch::BillIndex;
use tokio::sync::mpsc::{Receiver, channel};

use super::{
    Held,
    cursor::{PAGES_AHEAD, Page},
};

const PAGE_DOCUMENTS: usize = 1000;
const KEEP_ALIVE: &str = "5m";

/// Opens a point in time, after a refresh so that it holds everything written before, and starts reading.
pub(super) async fn read(
    index: &BillIndex,
    pipeline: &Pipeline,
    side: &Side,
) -> anyhow::Result<Receiver<anyhow::Result<Page<Held>>>> {
    ask(index, Method::Post, &format!("/{}/_refresh", index.alias()), None).await?;
    let path = format!("/{}/_pit?keep_alive={KEEP_ALIVE}", index.alias());
    let opened = ask(index, Method::Post, &path, None).await?;
    let mut pit = opened["id"].as_str().context("the point in time has no id")?.to_owned();
    let query = json!({ "bool": { "filter": [
        { "term": { "pipeline": pipeline.name.as_str() } },
        { "term": { "source": pipeline.source.as_str() } },
        { "term": { "side": side.name.as_str() } },
        { "term": { "deleted": false } },
    ] } });
    let (sender, receiver) = channel(PAGES_AHEAD);
    let index = index.clone();
    tokio::spawn(async move {
        let mut after = None;
        loop {
            let page = page(&index, &mut pit, &query, &mut after).await;
            let last = page.as_ref().map_or(true, |page| page.len() < PAGE_DOCUMENTS);
            // the receiver is gone when the comparison has ended early
            if sender.send(page.context("read the bill index")).await.is_err() || last {
                break;
            }
        }
        // it ends by itself too, a little later
        let _ = ask(&index, Method::Delete, "/_pit", Some(json!({ "id": pit }))).await;
    });
    Ok(receiver)
}

async fn page(
    index: &BillIndex,
    pit: &mut String,
    query: &Value,
    after: &mut Option<Value>,
) -> anyhow::Result<Page<Held>> {
    let mut search = json!({
        "size": PAGE_DOCUMENTS,
        "track_total_hits": false,
        "query": query,
        "pit": { "id": pit, "keep_alive": KEEP_ALIVE },
        "sort": [{ "bill_id": "asc" }, { "account_id": "asc" }],
    });
    if let Some(after) = after.as_ref() {
        search["search_after"] = after.clone();
    }
    let mut answer = ask(index, Method::Post, "/_search", Some(search)).await?;
    if answer["_shards"]["failed"].as_u64() != Some(0) || answer["timed_out"] == true {
        bail!("only part of the index answered");
    }
    if let Some(id) = answer["pit_id"].as_str() {
        *pit = id.to_owned();
    }
    let Value::Array(hits) = answer["hits"]["hits"].take() else { bail!("a search answer without hits") };
    if let Some(last) = hits.last() {
        *after = Some(last["sort"].clone());
    }
    hits.into_iter()
        .map(|mut hit| {
            let document: Document = serde_json::from_value(hit["_source"].take())?;
            Ok((document.bill_id.clone(), document.held()?))
        })
        .collect()
}

async fn ask(index: &BillIndex, method: Method, path: &str, body: Option<Value>) -> anyhow::Result<Value> {
    let (status, answer) = index.send(method, path, body).await?;
    if status != 200 {
        return Err(index.refused(path, status, &answer).into());
    }
    Ok(answer)
}

/// A document as sync-worker writes it.
#[derive(Deserialize)]
struct Document {
    account_id: String,
    bill_id: String,
    version: i64,
    pipeline: String,
    source: String,
    side: String,
    merchant_id: String,
    bill_type: String,
    direction: Direction,
    status: String,
    amount: i64,
    fee: i64,
    currency: String,
    balance_after: Option<i64>,
    occurred_at: Timestamp,
    posted_at: Timestamp,
    counterparty: String,
    order_no: String,
    channel: String,
    channel_ref: Option<String>,
    remark: String,
}

impl Document {
    fn held(self) -> anyhow::Result<Held> {
        let bill_id =
            BillId::from_text(&self.bill_id).ok_or_else(|| anyhow!("{:?} is not a bill id", self.bill_id))?;
        let bill = Bill {
            account_id: self.account_id.parse().context("account_id")?,
            bill_id,
            pipeline: self.pipeline,
            source: self.source,
            side: self.side,
            merchant_id: self.merchant_id.parse().context("merchant_id")?,
            bill_type: self.bill_type,
            direction: self.direction,
            status: self.status,
            amount: self.amount,
            fee: self.fee,
            currency: self.currency,
            balance_after: self.balance_after,
            occurred_at: self.occurred_at,
            posted_at: self.posted_at,
            counterparty: self.counterparty,
            order_no: self.order_no,
            channel: self.channel,
            channel_ref: self.channel_ref,
            remark: self.remark,
        };
        Ok(Held { bill, version: self.version })
    }
}
