//! The bills of one row in one pipeline, side by side.

use change_event::{
    Row,
    stage2::{Bill, BillId},
};
use pipeline_config::{Condition, FieldRule, Pipeline, Side};

use super::{Reason, Refusal, TableShape, value};

/// One bill for each side whose conditions hold and whose fields fit; a refusal for each whose fields do not.
pub(super) fn bills(pipeline: &Pipeline, shape: &TableShape, row: &Row<'_>) -> (Vec<Bill>, Vec<Refusal>) {
    let (mut bills, mut refused) = (Vec::with_capacity(pipeline.sides.len()), Vec::new());
    for side in &pipeline.sides {
        match one(pipeline, side, shape, row) {
            Ok(None) => {}
            Ok(Some(bill)) => bills.push(bill),
            Err(reason) => {
                let field = |name| value::Field { name, row, shape };
                refused.push(Refusal {
                    pipeline: pipeline.name.clone(),
                    side: side.name.clone(),
                    row_key: field("id").key(&pipeline.id).ok(),
                    account: field("account").id(&side.fields.account).ok(),
                    reason,
                });
            }
        }
    }
    (bills, refused)
}

fn one(pipeline: &Pipeline, side: &Side, shape: &TableShape, row: &Row<'_>) -> Result<Option<Bill>, Reason> {
    if !all_hold(&pipeline.when, row)? || !all_hold(&side.when, row)? {
        return Ok(None);
    }
    let field = |name| value::Field { name, row, shape };
    let rules = &side.fields;
    let row_key = field("id").key(&pipeline.id)?;
    let bill_id =
        BillId::compose(&pipeline.name, &pipeline.source, &side.name, &row_key).ok_or(Reason::KeyUnfit)?;
    let balance_after = match &rules.balance_after {
        Some(FieldRule::Column(column)) => field("balance_after").optional_amount(column)?,
        Some(constant) => Some(field("balance_after").amount(constant)?),
        None => None,
    };
    let channel_ref = match &rules.channel_ref {
        Some(FieldRule::Column(column)) => {
            field("channel_ref").optional_text(column, 64, "at most 64 characters")?
        }
        Some(constant) => Some(field("channel_ref").text(constant, 64, "at most 64 characters")?),
        None => None,
    };
    Ok(Some(Bill {
        account_id: field("account").id(&rules.account)?,
        bill_id,
        pipeline: pipeline.name.to_string(),
        source: pipeline.source.to_string(),
        side: side.name.to_string(),
        merchant_id: field("merchant").id(&rules.merchant)?,
        bill_type: field("bill_type").ascii(&rules.bill_type, 16, "1 to 16 ASCII characters")?,
        direction: field("direction").direction(&rules.direction)?,
        status: field("status").ascii(&rules.status, 24, "1 to 24 ASCII characters")?,
        amount: field("amount").amount(&rules.amount)?,
        fee: field("fee").amount(&rules.fee)?,
        currency: field("currency").currency(&rules.currency)?,
        balance_after,
        occurred_at: field("occurred_at").time(&rules.occurred_at)?,
        posted_at: field("posted_at").time(&rules.posted_at)?,
        counterparty: field("counterparty").text(&rules.counterparty, 128, "at most 128 characters")?,
        order_no: field("order_no").text(&rules.order_no, 64, "at most 64 characters")?,
        channel: field("channel").text(&rules.channel, 32, "at most 32 characters")?,
        channel_ref,
        remark: field("remark").text(&rules.remark, 255, "at most 255 characters")?,
    }))
}

fn all_hold(conditions: &[Condition], row: &Row<'_>) -> Result<bool, Reason> {
    for condition in conditions {
        if !value::holds(condition, row)? {
            return Ok(false);
        }
    }
    Ok(true)
}
