//! An order, and what one merchant may see of it.

use change_event::Timestamp;
use money::{AccountId, Currency, MerchantId, Minor, OrderId};
use serde::Serialize;

use crate::ledger::JournalKind;

/// Where an order stands. All orders of this version are carried out at once, so they are born succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OrderStatus {
    Created,
    Submitted,
    Succeeded,
    Failed,
    Unknown,
    PartiallyRefunded,
    Refunded,
}

impl OrderStatus {
    /// The text of the column `fund_order.status`.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Submitted => "submitted",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
            Self::PartiallyRefunded => "partially_refunded",
            Self::Refunded => "refunded",
        }
    }

    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        use OrderStatus::{Created, Failed, PartiallyRefunded, Refunded, Submitted, Succeeded, Unknown};
        [Created, Submitted, Succeeded, Failed, Unknown, PartiallyRefunded, Refunded]
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or_else(|| format!("{text:?} is not an order status"))
    }
}

/// One side of an order.
#[derive(Debug, Clone)]
pub(crate) struct Party {
    /// None: outside the platform; the account is then an internal one.
    pub(crate) merchant_id: Option<MerchantId>,
    pub(crate) account_id: AccountId,
    pub(crate) name: String,
}

/// What is decided about an order before it has an id.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    pub(crate) number: String,
    pub(crate) kind: JournalKind,
    /// The merchant whose app asked for it.
    pub(crate) merchant_id: MerchantId,
    pub(crate) payer: Party,
    pub(crate) payee: Party,
    pub(crate) origin: Option<OrderId>,
    pub(crate) amount: Minor,
    pub(crate) fee: Minor,
    pub(crate) currency: Currency,
    pub(crate) channel: String,
    pub(crate) channel_ref: Option<String>,
    pub(crate) remark: String,
}

/// A row of `fund_order`.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) id: OrderId,
    pub(crate) draft: Draft,
    pub(crate) status: OrderStatus,
    pub(crate) refunded: Minor,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

impl Order {
    /// True for the merchant that asked for it and for both sides.
    pub(crate) fn concerns(&self, merchant: MerchantId) -> bool {
        let sides =
            [Some(self.draft.merchant_id), self.draft.payer.merchant_id, self.draft.payee.merchant_id];
        sides.contains(&Some(merchant))
    }
}

/// An order as the API shows it to one merchant: the other side's account ids stay hidden.
#[derive(Debug, Serialize)]
pub(crate) struct OrderView<'a> {
    order_id: OrderId,
    order_no: &'a str,
    kind: &'static str,
    status: &'static str,
    amount: Minor,
    fee: Minor,
    refunded_amount: Minor,
    currency: Currency,
    payer_merchant_id: Option<MerchantId>,
    payer_account_id: Option<AccountId>,
    payer_name: &'a str,
    payee_merchant_id: Option<MerchantId>,
    payee_account_id: Option<AccountId>,
    payee_name: &'a str,
    origin_order_id: Option<OrderId>,
    channel: &'a str,
    channel_ref: Option<&'a str>,
    remark: &'a str,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl<'a> OrderView<'a> {
    /// What `viewer` may see.
    pub(crate) fn of(order: &'a Order, viewer: MerchantId) -> Self {
        let draft = &order.draft;
        let own = |party: &Party| (party.merchant_id == Some(viewer)).then_some(party.account_id);
        Self {
            order_id: order.id,
            order_no: &draft.number,
            kind: draft.kind.as_str(),
            status: order.status.as_str(),
            amount: draft.amount,
            // the payee pays it; what it cost them is not the payer's to know
            fee: if draft.payee.merchant_id == Some(viewer) { draft.fee } else { Minor::ZERO },
            refunded_amount: order.refunded,
            currency: draft.currency,
            payer_merchant_id: draft.payer.merchant_id,
            payer_account_id: own(&draft.payer),
            payer_name: &draft.payer.name,
            payee_merchant_id: draft.payee.merchant_id,
            payee_account_id: own(&draft.payee),
            payee_name: &draft.payee.name,
            origin_order_id: draft.origin,
            channel: &draft.channel,
            channel_ref: draft.channel_ref.as_deref(),
            remark: &draft.remark,
            created_at: order.created_at,
            updated_at: order.updated_at,
        }
    }
}
