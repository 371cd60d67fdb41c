//! The answer to a command: what the caller gets, and what is saved under the idempotency key.

use bytes::Bytes;
use http::StatusCode;
use http_body_util::BodyExt;
use money::{MerchantId, OrderId};
use service_kit::Problem;

use super::{
    order::{Order, OrderView},
    refusal::Refusal,
};

/// Status and body of an answer; the body is JSON, a problem from 400 on.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
    /// True if the answer was given before, to the same key and request.
    pub(crate) replayed: bool,
    /// Why the answer is no, for metrics.
    pub(crate) refusal: Option<&'static str>,
}

/// What a command came to inside its transaction.
#[derive(Debug)]
pub(super) enum Outcome {
    Done(Box<Order>),
    Refused(Refusal),
}

impl Outcome {
    /// The order that was made.
    pub(super) fn order_id(&self) -> Option<OrderId> {
        match self {
            Self::Done(order) => Some(order.id),
            Self::Refused(_) => None,
        }
    }

    /// The answer that `viewer` gets. A refusal is the problem that any other error would be, request id included.
    pub(super) async fn answer(&self, viewer: MerchantId) -> Result<Answer, String> {
        match self {
            Self::Done(order) => {
                let body = serde_json::to_vec(&OrderView::of(order, viewer)).map_err(|e| e.to_string())?;
                Ok(Answer { status: StatusCode::CREATED, body: body.into(), replayed: false, refusal: None })
            }
            Self::Refused(refusal) => {
                let response = Problem::from(*refusal).to_response();
                let status = response.status();
                let body = response.into_body().collect().await.map_err(|e| e.to_string())?.to_bytes();
                Ok(Answer { status, body, replayed: false, refusal: Some(refusal.code()) })
            }
        }
    }
}
