//! What wallet-api counts. Names are an interface; no merchant, app or key is ever a label.

use prometheus::{IntCounterVec, Opts, Registry};

use crate::orders::{Answer, SubmitError};

/// Orders by `kind` and `outcome`: `done`, `replayed`, or the stable code of the refusal or failure.
pub(crate) const ORDERS: &str = "wallet_orders_total";
/// Transactions begun again, by `reason`: `deadlock`, `lock_wait`, `claim_undone`, `away`.
pub(crate) const LEDGER_RETRIES: &str = "wallet_ledger_retries_total";
/// Answers given again under their idempotency key.
pub(crate) const REPLAYS: &str = "wallet_idempotency_replays_total";

/// The counters. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    orders: IntCounterVec,
    ledger_retries: IntCounterVec,
    replays: IntCounterVec,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let counter = |name, help, labels: &[&str]| -> prometheus::Result<IntCounterVec> {
            let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        Ok(Self {
            orders: counter(ORDERS, "orders by kind and outcome", &["kind", "outcome"])?,
            ledger_retries: counter(LEDGER_RETRIES, "ledger transactions begun again", &["reason"])?,
            replays: counter(REPLAYS, "answers given again under their idempotency key", &["kind"])?,
        })
    }

    pub(crate) fn order(&self, kind: &str, outcome: &Result<Answer, SubmitError>) {
        let outcome = match outcome {
            Ok(answer) if answer.replayed => {
                self.replays.with_label_values(&[kind]).inc();
                "replayed"
            }
            Ok(answer) => answer.refusal.unwrap_or("done"),
            Err(SubmitError::InFlight) => "idempotency_in_flight",
            Err(SubmitError::Mismatch) => "idempotency_mismatch",
            Err(SubmitError::Busy) => "ledger_busy",
            Err(SubmitError::Away(_)) => "ledger_unavailable",
            Err(SubmitError::Internal(_)) => "internal",
        };
        self.orders.with_label_values(&[kind, outcome]).inc();
    }

    pub(crate) fn ledger_retry(&self, reason: &str) {
        self.ledger_retries.with_label_values(&[reason]).inc();
    }
}
