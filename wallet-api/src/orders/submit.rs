//! Commands in, answers out: attempts are repeated while the database's trouble passes.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use backon::{ExponentialBuilder, Retryable};
use money::{MerchantId, OrderId};
use service_kit::{Problem, RequestId, context};
use sqlx::MySqlPool;
use tracing::Instrument;

use super::{answer::Answer, attempt::AttemptError, command::Command, order::Order, rows};
use crate::{
    idempotency::{IdempotencyKey, RequestDigest},
    ledger::InternalAccounts,
    merchants::{Directory, DirectoryError, Merchant},
    metrics::Metrics,
    store::{Verdict, verdict},
};

/// No new attempt is begun after this long.
const RETRY_BUDGET: Duration = Duration::from_secs(5);
const MOST_ATTEMPTS: usize = 12;

/// A command, who asks for it, and under which key.
#[derive(Debug)]
pub(crate) struct Submission {
    pub(crate) merchant: Arc<Merchant>,
    pub(crate) key: IdempotencyKey,
    pub(crate) digest: RequestDigest,
    pub(crate) command: Command,
}

/// Why a submission has no answer. Nothing was saved under its key, so the same request may be sent again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SubmitError {
    #[error("another request with this key is at work")]
    InFlight,
    #[error("the key was used for another request")]
    Mismatch,
    /// The locks were held by others for too long.
    #[error("too many payments move these accounts now")]
    Busy,
    /// The database is gone for now.
    #[error("the database is away: {0}")]
    Away(String),
    #[error("{0}")]
    Internal(String),
}

impl From<SubmitError> for Problem {
    fn from(error: SubmitError) -> Self {
        use http::StatusCode;
        match error {
            SubmitError::InFlight => {
                let detail =
                    "a request with this Idempotency-Key is being carried out: ask again for its answer";
                Problem::new(StatusCode::CONFLICT, "idempotency_in_flight", detail)
                    .retryable(Duration::from_secs(1))
            }
            SubmitError::Mismatch => {
                let detail =
                    "this Idempotency-Key was used for another request: use a new key for every new request";
                Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_mismatch", detail)
                    .error("idempotency-key", "mismatch")
            }
            SubmitError::Busy => {
                let detail = "too many payments move these accounts now: send the same request with the same key again";
                Problem::unavailable("ledger_busy", detail, Duration::from_secs(1))
            }
            SubmitError::Away(cause) => {
                tracing::warn!(%cause, "a payment was given up: the database is away");
                let detail = "the ledger is away: send the same request with the same key again";
                Problem::unavailable("ledger_unavailable", detail, Duration::from_secs(1))
            }
            SubmitError::Internal(cause) => Problem::internal(&cause),
        }
    }
}

/// The orders of all merchants. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Orders {
    pub(super) pool: MySqlPool,
    pub(super) internal: Arc<InternalAccounts>,
    pub(super) directory: Directory,
    metrics: Metrics,
}

impl Orders {
    pub(crate) fn new(
        pool: MySqlPool,
        internal: Arc<InternalAccounts>,
        directory: Directory,
        metrics: Metrics,
    ) -> Self {
        Self { pool, internal, directory, metrics }
    }

    /// Carries the command out at most once per key, whatever happens to the caller meanwhile: it runs in a task of its
    /// own, so a client that disconnects does not leave a half-sent transaction on a connection.
    pub(crate) async fn submit(&self, submission: Submission, path: &str) -> Result<Answer, SubmitError> {
        let orders = self.clone();
        let kind = submission.command.kind();
        let request_id: RequestId = context::request_id();
        let context = context::RequestContext::new(request_id, path);
        let work = context::scope(context, async move {
            let answer = orders.with_retries(&submission).await;
            // counted here: the client may have gone, and nobody waits for the answer
            orders.metrics.order(kind, &answer);
            answer
        });
        tokio::spawn(work.in_current_span()).await.unwrap_or_else(|error| {
            let answer = Err(SubmitError::Internal(format!("the order's task ended: {error}")));
            self.metrics.order(kind, &answer);
            answer
        })
    }

    async fn with_retries(&self, submission: &Submission) -> Result<Answer, SubmitError> {
        let started = Instant::now();
        let backoff = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(2))
            .with_max_delay(Duration::from_millis(200))
            .with_max_times(MOST_ATTEMPTS - 1)
            .with_jitter();
        (|| self.attempt(submission))
            .retry(backoff)
            .when(|error| retry_reason(error).is_some() && started.elapsed() < RETRY_BUDGET)
            .notify(|error, delay| {
                self.metrics.ledger_retry(retry_reason(error).unwrap_or("other"));
                tracing::debug!(%error, ?delay, "the transaction was undone, trying it again");
            })
            .await
            .map_err(final_error)
    }

    /// An order that concerns the merchant; anybody else's is as absent as one that does not exist.
    pub(crate) async fn find(&self, id: OrderId, viewer: MerchantId) -> Result<Option<Order>, sqlx::Error> {
        Ok(rows::find(&self.pool, id).await?.filter(|order| order.concerns(viewer)))
    }
}

/// Why an attempt is worth another one; the label of the retry metric. A commit whose answer was lost is safe to repeat:
/// if it went through, the repetition finds its key taken and recalls the answer.
fn retry_reason(error: &AttemptError) -> Option<&'static str> {
    let store = match error {
        AttemptError::Store(store) => store,
        AttemptError::Directory(DirectoryError::Store(store)) => store,
        AttemptError::ClaimUndone => return Some("claim_undone"),
        AttemptError::InFlight | AttemptError::Mismatch | AttemptError::Bug(_) => return None,
        AttemptError::Directory(DirectoryError::Bug(_)) => return None,
    };
    match verdict(store) {
        Verdict::Contention => Some("deadlock"),
        Verdict::LockWait => Some("lock_wait"),
        Verdict::Away => Some("away"),
        Verdict::Duplicate | Verdict::Definite => None,
    }
}

fn final_error(error: AttemptError) -> SubmitError {
    match (retry_reason(&error), error) {
        (_, AttemptError::InFlight) => SubmitError::InFlight,
        (_, AttemptError::Mismatch) => SubmitError::Mismatch,
        (Some("away"), error) => SubmitError::Away(error.to_string()),
        (Some(_), _) => SubmitError::Busy,
        (None, error) => SubmitError::Internal(error.to_string()),
    }
}
