//! One attempt at a command: one database transaction, from the claim of the key to the commit of the answer.

use change_event::Timestamp;
use money::Currency;
use sqlx::{MySql, MySqlConnection, Transaction};

use super::{
    answer::{Answer, Outcome},
    command::{Collection, Command, Payment, RefundRequest},
    order::Party,
    plan::{self, Plan, PlanBug},
    refusal::Refusal,
    rows,
    submit::{Orders, Submission},
};
use crate::{
    clock,
    idempotency::{self, Claim, Recalled},
    ledger::{self, AccountKind, OrderRef, PostingError},
    merchants::{DirectoryError, Merchant},
};

/// Why an attempt came to no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum AttemptError {
    #[error(transparent)]
    Store(#[from] sqlx::Error),
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// Another request is at work under this key, and took too long to wait for.
    #[error("another request with this key is at work")]
    InFlight,
    #[error("the key was used for another request")]
    Mismatch,
    /// The first request under this key was undone while we waited for it.
    #[error("the claim of another request was undone")]
    ClaimUndone,
    #[error("{0}")]
    Bug(String),
}

impl From<PlanBug> for AttemptError {
    fn from(bug: PlanBug) -> Self {
        Self::Bug(bug.to_string())
    }
}

/// Refused for a business reason, or failed: the two ways in which a step does not go on.
enum Stop {
    Refused(Refusal),
    Failed(AttemptError),
}

impl<E: Into<AttemptError>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl Orders {
    /// One transaction. Undone whole on every error: sqlx rolls back what is dropped without a commit.
    pub(super) async fn attempt(&self, submission: &Submission) -> Result<Answer, AttemptError> {
        let Submission { merchant, key, digest, command } = submission;
        // looked up before the transaction holds a connection: a second one taken inside it could starve the pool
        let payee = match command {
            Command::Pay(payment) => self.directory.merchant(payment.payee).await?,
            Command::Collect(_) | Command::Refund(_) => None,
        };
        let mut tx = self.pool.begin().await?;
        match idempotency::claim(&mut tx, merchant.id, key, *digest, clock::now()).await? {
            Claim::New => {}
            Claim::Taken => {
                tx.rollback().await?;
                return self.recall(submission).await;
            }
            Claim::InFlight => {
                tx.rollback().await?;
                return Err(AttemptError::InFlight);
            }
        }
        let outcome = match self.carry_out(&mut tx, merchant, command, payee.as_deref()).await {
            Ok(outcome) => outcome,
            Err(Stop::Refused(refusal)) => Outcome::Refused(refusal),
            Err(Stop::Failed(error)) => {
                tx.rollback().await?;
                return Err(error);
            }
        };
        let answer = outcome.answer(merchant.id).await.map_err(AttemptError::Bug)?;
        idempotency::save(&mut tx, merchant.id, key, outcome.order_id(), answer.status, &answer.body).await?;
        tx.commit().await?;
        Ok(answer)
    }

    async fn recall(&self, submission: &Submission) -> Result<Answer, AttemptError> {
        let Submission { merchant, key, digest, .. } = submission;
        match idempotency::recall(&self.pool, merchant.id, key, *digest).await? {
            Recalled::Answer { status, body } => Ok(Answer { status, body, replayed: true, refusal: None }),
            Recalled::Mismatch => Err(AttemptError::Mismatch),
            Recalled::Nothing => Err(AttemptError::ClaimUndone),
        }
    }

    async fn carry_out(
        &self,
        tx: &mut Transaction<'static, MySql>,
        caller: &Merchant,
        command: &Command,
        payee: Option<&Merchant>,
    ) -> Result<Outcome, Stop> {
        match command {
            Command::Collect(collection) => {
                let plan = self.plan_collection(caller, collection)?;
                self.execute(tx, plan).await
            }
            Command::Pay(payment) => {
                let plan = plan_payment(caller, payment, payee)?;
                self.execute(tx, plan).await
            }
            Command::Refund(request) => self.refund(tx, caller, request).await,
        }
    }

    fn plan_collection(&self, caller: &Merchant, collection: &Collection) -> Result<Plan, Stop> {
        let currency = collection.currency;
        let payee = available(caller, currency).ok_or(Refusal::NoAccount(currency))?;
        let beside = |kind| {
            self.internal.beside(kind, currency, payee.account_id).ok_or_else(|| {
                AttemptError::Bug(format!("no {kind:?} account for {currency}: the migrations create them"))
            })
        };
        let (institution, fee) = (beside(AccountKind::Institution)?, beside(AccountKind::Fee)?);
        Ok(plan::collect(collection, payee, caller.id, institution, fee)?)
    }

    async fn refund(
        &self,
        tx: &mut Transaction<'static, MySql>,
        caller: &Merchant,
        request: &RefundRequest,
    ) -> Result<Outcome, Stop> {
        // the origin is always locked before accounts, so that its refunds form a queue here and nowhere else
        let origin = rows::find_locked(tx, request.order_id).await?.ok_or(Refusal::OrderNotFound)?;
        let after = plan::refunded_origin(&origin, request, caller.id)?;
        let plan = plan::refund(request, &origin, caller.id)?;
        let outcome = self.execute(tx, plan).await?;
        if let Outcome::Done(refund) = &outcome {
            rows::mark_refunded(tx, origin.id, after, refund.created_at.max(origin.updated_at)).await?;
        }
        Ok(outcome)
    }

    /// Locks, checks and writes. Nothing is written before everything that can be refused is decided.
    async fn execute(&self, tx: &mut MySqlConnection, plan: Plan) -> Result<Outcome, Stop> {
        let Plan { draft, journal } = plan;
        let accounts = ledger::lock(&mut *tx, &journal.account_ids()).await?;
        let posting = journal.against(&accounts).map_err(|error| match error {
            PostingError::InsufficientFunds { .. } => Stop::from(Refusal::InsufficientFunds),
            PostingError::OutOfRange(_) => Stop::from(Refusal::BalanceOutOfRange),
            PostingError::CurrencyMismatch { .. } | PostingError::AccountMissing(_) => {
                Stop::Failed(AttemptError::Bug(error.to_string()))
            }
        })?;
        // the clock is read under the locks, and never goes behind what the accounts have seen: entries of an account
        // are stamped in their order even if this machine's clock is set back
        let at: Timestamp = posting.not_before.map_or_else(clock::now, |seen| clock::now().max(seen));
        let order = rows::insert(&mut *tx, draft, at).await?;
        let order_ref = OrderRef { id: order.id, number: &order.draft.number, remark: &order.draft.remark };
        ledger::write(&mut *tx, &posting, order_ref, at).await?;
        Ok(Outcome::Done(Box::new(order)))
    }
}

fn plan_payment(caller: &Merchant, payment: &Payment, payee: Option<&Merchant>) -> Result<Plan, Stop> {
    let currency = payment.currency;
    let payer = available(caller, currency).ok_or(Refusal::NoAccount(currency))?;
    let payee = payee.filter(|payee| payee.is_active()).ok_or(Refusal::PayeeNotFound)?;
    let payee = available(payee, currency).ok_or(Refusal::PayeeCurrency(currency))?;
    Ok(plan::pay(payment, payer, payee, caller.id)?)
}

fn available(merchant: &Merchant, currency: Currency) -> Option<Party> {
    let account_id = merchant.account(AccountKind::Available, currency)?;
    Some(Party { merchant_id: Some(merchant.id), account_id, name: merchant.name.clone() })
}
