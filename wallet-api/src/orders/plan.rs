//! The money rules, without I/O: which order and which journal a command becomes.

use money::{AccountId, MerchantId, Minor, MoneyError};

use super::{
    command::{Collection, Payment, RefundRequest},
    number::order_number,
    order::{Draft, Order, OrderStatus, Party},
    refusal::Refusal,
};
use crate::ledger::{Direction, EntryKind, Journal, JournalKind, Leg};

/// What the payee of a collection pays, in basis points of the amount.
const COLLECT_FEE_BASIS_POINTS: u32 = 60;
/// How a fee's entry names the other side.
const PLATFORM: &str = "platform";
/// The channel of money that never left the platform.
const WALLET_CHANNEL: &str = "wallet";

/// An order to be written with the journal that carries it out.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) draft: Draft,
    pub(crate) journal: Journal,
}

/// A plan that could not be made for no fault of the caller; always a bug.
#[derive(Debug, thiserror::Error)]
#[error("cannot plan the order: {0}")]
pub(crate) struct PlanBug(String);

impl From<MoneyError> for PlanBug {
    fn from(error: MoneyError) -> Self {
        Self(error.to_string())
    }
}

fn transfer(draft: &Draft, extra: Vec<Leg>) -> Result<Journal, PlanBug> {
    let leg = |account, direction, counterparty: &str| Leg {
        account,
        direction,
        amount: draft.amount,
        kind: EntryKind::Principal,
        counterparty: counterparty.to_owned(),
    };
    let mut legs = vec![
        leg(draft.payer.account_id, Direction::Debit, &draft.payee.name),
        leg(draft.payee.account_id, Direction::Credit, &draft.payer.name),
    ];
    legs.extend(extra);
    Journal::new(draft.kind, draft.currency, legs).map_err(|error| PlanBug(error.to_string()))
}

/// Money from outside: the institution's account is debited, the merchant's credited, and the merchant pays the fee.
pub(crate) fn collect(
    request: &Collection,
    payee: Party,
    caller: MerchantId,
    institution: AccountId,
    fee_account: AccountId,
) -> Result<Plan, PlanBug> {
    let fee = request.amount.basis_points(COLLECT_FEE_BASIS_POINTS)?;
    let fee_leg = |account, direction, counterparty: &str| Leg {
        account,
        direction,
        amount: fee,
        kind: EntryKind::Fee,
        counterparty: counterparty.to_owned(),
    };
    let fee_legs = if fee > Minor::ZERO {
        vec![
            fee_leg(payee.account_id, Direction::Debit, PLATFORM),
            fee_leg(fee_account, Direction::Credit, &payee.name),
        ]
    } else {
        Vec::new()
    };
    let draft = Draft {
        number: order_number(),
        kind: JournalKind::Collect,
        merchant_id: caller,
        payer: Party { merchant_id: None, account_id: institution, name: request.payer_name.clone() },
        payee,
        origin: None,
        amount: request.amount,
        fee,
        currency: request.currency,
        channel: request.channel.clone(),
        channel_ref: request.channel_ref.clone(),
        remark: request.remark.clone(),
    };
    let journal = transfer(&draft, fee_legs)?;
    Ok(Plan { draft, journal })
}

/// Money between merchants, without a fee.
pub(crate) fn pay(
    request: &Payment,
    payer: Party,
    payee: Party,
    caller: MerchantId,
) -> Result<Plan, PlanBug> {
    let draft = Draft {
        number: order_number(),
        kind: JournalKind::Pay,
        merchant_id: caller,
        payer,
        payee,
        origin: None,
        amount: request.amount,
        fee: Minor::ZERO,
        currency: request.currency,
        channel: WALLET_CHANNEL.to_owned(),
        channel_ref: None,
        remark: request.remark.clone(),
    };
    let journal = transfer(&draft, Vec::new())?;
    Ok(Plan { draft, journal })
}

/// What an origin looks like after a refund.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RefundedOrigin {
    pub(crate) refunded: Minor,
    pub(crate) status: OrderStatus,
}

/// Checks the refund against its origin, which must be locked: the refunds of an order never exceed what was paid.
pub(crate) fn refunded_origin(
    origin: &Order,
    request: &RefundRequest,
    caller: MerchantId,
) -> Result<RefundedOrigin, Refusal> {
    if !origin.concerns(caller) {
        return Err(Refusal::OrderNotFound);
    }
    if origin.draft.kind == JournalKind::Refund {
        return Err(Refusal::NotRefundable);
    }
    if origin.draft.payee.merchant_id != Some(caller) {
        return Err(Refusal::NotThePayee);
    }
    match origin.status {
        OrderStatus::Succeeded | OrderStatus::PartiallyRefunded => {}
        OrderStatus::Refunded => return Err(Refusal::RefundExceedsPaid { left: Minor::ZERO }),
        OrderStatus::Created | OrderStatus::Submitted | OrderStatus::Failed | OrderStatus::Unknown => {
            return Err(Refusal::NotRefundable);
        }
    }
    let left = origin.draft.amount.minus(origin.refunded).unwrap_or(Minor::ZERO);
    if request.amount > left {
        return Err(Refusal::RefundExceedsPaid { left });
    }
    let refunded = origin.refunded.plus(request.amount).map_err(|_| Refusal::RefundExceedsPaid { left })?;
    let status =
        if refunded == origin.draft.amount { OrderStatus::Refunded } else { OrderStatus::PartiallyRefunded };
    Ok(RefundedOrigin { refunded, status })
}

/// The origin's sides swapped; its fee is not returned.
pub(crate) fn refund(request: &RefundRequest, origin: &Order, caller: MerchantId) -> Result<Plan, PlanBug> {
    let draft = Draft {
        number: order_number(),
        kind: JournalKind::Refund,
        merchant_id: caller,
        payer: origin.draft.payee.clone(),
        payee: origin.draft.payer.clone(),
        origin: Some(origin.id),
        amount: request.amount,
        fee: Minor::ZERO,
        currency: origin.draft.currency,
        channel: origin.draft.channel.clone(),
        channel_ref: None,
        remark: request.remark.clone(),
    };
    let journal = transfer(&draft, Vec::new())?;
    Ok(Plan { draft, journal })
}

#[cfg(test)]
mod tests {
    use change_event::Timestamp;
    use money::OrderId;

    use super::*;

    const PAYER: MerchantId = MerchantId(1);
    const PAYEE: MerchantId = MerchantId(2);
    const STRANGER: MerchantId = MerchantId(3);

    fn party(merchant: MerchantId) -> Party {
        Party {
            merchant_id: Some(merchant),
            account_id: AccountId(merchant.0 + 100),
            name: format!("m{merchant}"),
        }
    }

    fn paid(amount: i64, refunded: i64, status: OrderStatus) -> Order {
        let request = Payment {
            payee: PAYEE,
            amount: Minor(amount),
            currency: "CNY".parse().unwrap(),
            remark: String::new(),
        };
        let at = Timestamp::from_micros(0).unwrap();
        Order {
            id: OrderId(9),
            draft: pay(&request, party(PAYER), party(PAYEE), PAYER).unwrap().draft,
            status,
            refunded: Minor(refunded),
            created_at: at,
            updated_at: at,
        }
    }

    fn of(amount: i64) -> RefundRequest {
        RefundRequest { order_id: OrderId(9), amount: Minor(amount), remark: String::new() }
    }

    #[test]
    fn a_collection_takes_its_fee_from_the_payee_and_a_tiny_one_takes_none() {
        let collection = |amount| Collection {
            amount: Minor(amount),
            currency: "CNY".parse().unwrap(),
            channel: "card".into(),
            channel_ref: None,
            payer_name: "Ada".into(),
            remark: String::new(),
        };
        let plan =
            |amount| collect(&collection(amount), party(PAYEE), PAYEE, AccountId(1), AccountId(2)).unwrap();
        let big = plan(10_000);
        assert_eq!(big.draft.fee, Minor(60));
        assert_eq!(big.journal.account_ids(), [AccountId(1), AccountId(2), AccountId(102)]);
        assert_eq!((big.draft.payer.merchant_id, big.draft.payee.merchant_id), (None, Some(PAYEE)));
        let tiny = plan(83);
        assert_eq!((tiny.draft.fee, tiny.journal.account_ids().len()), (Minor(0), 2));
        assert_eq!(plan(84).draft.fee, Minor(1));
    }

    #[test]
    fn refunds_of_an_order_never_exceed_what_was_paid() {
        use OrderStatus::{Failed, PartiallyRefunded, Refunded, Succeeded, Unknown};
        let check = |order: Order, amount, expected: Result<(i64, OrderStatus), Refusal>| {
            let outcome = refunded_origin(&order, &of(amount), PAYEE);
            assert_eq!(
                outcome.map(|origin| (origin.refunded.0, origin.status)),
                expected,
                "{amount} of {order:?}"
            );
        };
        check(paid(100, 0, Succeeded), 100, Ok((100, Refunded)));
        check(paid(100, 0, Succeeded), 40, Ok((40, PartiallyRefunded)));
        check(paid(100, 40, PartiallyRefunded), 60, Ok((100, Refunded)));
        let left = |left| Err(Refusal::RefundExceedsPaid { left: Minor(left) });
        check(paid(100, 0, Succeeded), 101, left(100));
        check(paid(100, 40, PartiallyRefunded), 61, left(60));
        check(paid(100, 100, Refunded), 1, left(0));
        check(paid(100, 0, Failed), 1, Err(Refusal::NotRefundable));
        check(paid(100, 0, Unknown), 1, Err(Refusal::NotRefundable));
    }

    #[test]
    fn only_the_payee_refunds_and_a_stranger_does_not_learn_that_the_order_exists() {
        let order = paid(100, 0, OrderStatus::Succeeded);
        assert_eq!(refunded_origin(&order, &of(1), PAYER).unwrap_err(), Refusal::NotThePayee);
        assert_eq!(refunded_origin(&order, &of(1), STRANGER).unwrap_err(), Refusal::OrderNotFound);
        let back = refund(&of(30), &order, PAYEE).unwrap();
        assert_eq!((back.draft.payer.merchant_id, back.draft.payee.merchant_id), (Some(PAYEE), Some(PAYER)));
        assert_eq!((back.draft.origin, back.draft.fee), (Some(OrderId(9)), Minor::ZERO));
        let mut again = order;
        again.draft = back.draft;
        assert_eq!(refunded_origin(&again, &of(1), PAYER).unwrap_err(), Refusal::NotRefundable);
    }
}
