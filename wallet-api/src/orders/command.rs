//! What a merchant can ask for, already checked for form: amounts are payable, texts fit, ids are ids.

use money::{Currency, MerchantId, Minor, OrderId};

/// Money that came in from outside, to be credited to the caller.
#[derive(Debug, Clone)]
pub(crate) struct Collection {
    pub(crate) amount: Minor,
    pub(crate) currency: Currency,
    pub(crate) channel: String,
    pub(crate) channel_ref: Option<String>,
    pub(crate) payer_name: String,
    pub(crate) remark: String,
}

/// Money from the caller to another merchant.
#[derive(Debug, Clone)]
pub(crate) struct Payment {
    pub(crate) payee: MerchantId,
    pub(crate) amount: Minor,
    pub(crate) currency: Currency,
    pub(crate) remark: String,
}

/// Money that the caller received, or a part of it, back to where it came from.
#[derive(Debug, Clone)]
pub(crate) struct RefundRequest {
    pub(crate) order_id: OrderId,
    pub(crate) amount: Minor,
    pub(crate) remark: String,
}

/// One of them.
#[derive(Debug, Clone)]
pub(crate) enum Command {
    Collect(Collection),
    Pay(Payment),
    Refund(RefundRequest),
}

impl Command {
    /// For metrics; the same words as the column `fund_order.kind`.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Collect(_) => "collect",
            Self::Pay(_) => "pay",
            Self::Refund(_) => "refund",
        }
    }
}
