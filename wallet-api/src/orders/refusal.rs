//! Business refusals: the request is well-formed and the answer is no. Saved under the idempotency key.

use http::StatusCode;
use money::{Currency, Minor};
use service_kit::Problem;

/// Why an order is not carried out. The same key gets the same refusal again, even after the reason is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("the account does not hold enough for this amount")]
    InsufficientFunds,
    #[error("you have no account in {0}")]
    NoAccount(Currency),
    #[error("there is no such payee that can receive")]
    PayeeNotFound,
    #[error("the payee has no account in {0}")]
    PayeeCurrency(Currency),
    #[error("there is no such order")]
    OrderNotFound,
    #[error("only the merchant that received an order's money can refund it")]
    NotThePayee,
    #[error("this order cannot be refunded: it is a refund itself, or it did not succeed")]
    NotRefundable,
    #[error("{left} of this order is left to refund, in minor units")]
    RefundExceedsPaid { left: Minor },
    #[error("the balance would leave the range that the ledger can hold")]
    BalanceOutOfRange,
}

impl Refusal {
    /// The stable code in the problem, and the label in metrics.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::InsufficientFunds => "insufficient_funds",
            Self::NoAccount(_) => "currency_mismatch",
            Self::PayeeNotFound => "payee_not_found",
            Self::PayeeCurrency(_) => "payee_currency_mismatch",
            Self::OrderNotFound => "order_not_found",
            Self::NotThePayee => "refund_not_by_payee",
            Self::NotRefundable => "order_not_refundable",
            Self::RefundExceedsPaid { .. } => "refund_exceeds_paid",
            Self::BalanceOutOfRange => "balance_out_of_range",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::OrderNotFound => StatusCode::NOT_FOUND,
            Self::NotThePayee => StatusCode::FORBIDDEN,
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let problem = Problem::new(refusal.status(), refusal.code(), refusal.to_string());
        match refusal {
            Refusal::InsufficientFunds | Refusal::RefundExceedsPaid { .. } | Refusal::BalanceOutOfRange => {
                problem.error("/amount", refusal.code())
            }
            Refusal::NoAccount(_) | Refusal::PayeeCurrency(_) => problem.error("/currency", refusal.code()),
            Refusal::PayeeNotFound => problem.error("/payee_merchant_id", refusal.code()),
            Refusal::OrderNotFound | Refusal::NotThePayee | Refusal::NotRefundable => {
                problem.error("/order_id", refusal.code())
            }
        }
    }
}
