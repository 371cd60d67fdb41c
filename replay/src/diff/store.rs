//! What the bill store holds: live rows of one side, in the order of their bill ids.

use change_event::{
    Timestamp,
    stage2::{Bill, BillId, Direction},
};
use futures::TryStreamExt as _;
use pipeline_config::{Pipeline, Side};
use sqlx::{Row as _, mysql::MySqlRow};
use time::PrimitiveDateTime;
use tokio::sync::mpsc::{Receiver, channel};

use super::{
    Held, Parts,
    cursor::{PAGES_AHEAD, Page},
};

const PAGE_ROWS: usize = 1000;

const SELECT: &str = "SELECT account_id, bill_id, version, pipeline, source, side, merchant_id, bill_type, direction, status, amount, fee, currency,
        balance_after, occurred_at, posted_at, counterparty, order_no, channel, channel_ref, remark
    FROM bill FORCE INDEX (by_bill) WHERE bill_id >= ? AND bill_id < ? AND NOT deleted ORDER BY bill_id, account_id";

/// Starts reading: one statement whose answer is taken from the connection as the comparison goes on.
pub(super) fn read(
    parts: &Parts<'_>,
    pipeline: &Pipeline,
    side: &Side,
) -> Receiver<anyhow::Result<Page<Held>>> {
    let (sender, receiver) = channel(PAGES_AHEAD);
    let pool = parts.store.clone();
    let prefix = format!("{}.{}.{}", pipeline.name, pipeline.source, side.name);
    tokio::spawn(async move {
        // '/' is the character after '.'
        let (from, to) = (format!("{prefix}."), format!("{prefix}/"));
        let mut rows = sqlx::query(SELECT).bind(from).bind(to).fetch(&pool);
        let mut page = Vec::with_capacity(PAGE_ROWS);
        loop {
            match rows
                .try_next()
                .await
                .map_err(anyhow::Error::from)
                .and_then(|row| row.map(|row| held(&row)).transpose())
            {
                Ok(Some(held)) => page.push((held.bill.bill_id.to_string(), held)),
                Ok(None) => break,
                Err(error) => {
                    // the receiver is gone when the comparison has ended early
                    let _ = sender.send(Err(error.context("read the bill store"))).await;
                    return;
                }
            }
            if page.len() == PAGE_ROWS && sender.send(Ok(std::mem::take(&mut page))).await.is_err() {
                return;
            }
        }
        let _ = sender.send(Ok(page)).await;
    });
    receiver
}

fn held(row: &MySqlRow) -> anyhow::Result<Held> {
    let time = |column: &str| row.try_get::<PrimitiveDateTime, _>(column).map(Timestamp::from_datetime);
    let bill_id: String = row.try_get("bill_id")?;
    let direction: String = row.try_get("direction")?;
    let bill = Bill {
        account_id: row.try_get("account_id")?,
        bill_id: BillId::from_text(&bill_id)
            .ok_or_else(|| anyhow::anyhow!("{bill_id:?} is not a bill id"))?,
        pipeline: row.try_get("pipeline")?,
        source: row.try_get("source")?,
        side: row.try_get("side")?,
        merchant_id: row.try_get("merchant_id")?,
        bill_type: row.try_get("bill_type")?,
        direction: match direction.as_str() {
            "in" => Direction::In,
            "out" => Direction::Out,
            // taken for either, it could pass for equal
            _ => anyhow::bail!("bill {bill_id} has direction {direction:?}, not in or out"),
        },
        status: row.try_get("status")?,
        amount: row.try_get("amount")?,
        fee: row.try_get("fee")?,
        currency: row.try_get("currency")?,
        balance_after: row.try_get("balance_after")?,
        occurred_at: time("occurred_at")?,
        posted_at: time("posted_at")?,
        counterparty: row.try_get("counterparty")?,
        order_no: row.try_get("order_no")?,
        channel: row.try_get("channel")?,
        channel_ref: row.try_get("channel_ref")?,
        remark: row.try_get("remark")?,
    };
    Ok(Held { bill, version: row.try_get("version")? })
}
