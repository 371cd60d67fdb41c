//! Payments at a steady rate: collections, payments between merchants, partial refunds.

use super::App;
use anyhow::Context;
use serde_json::{Value, json};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::{sync::Semaphore, task::JoinSet, time::MissedTickBehavior};

/// Requests under way at once at most.
const IN_FLIGHT: usize = 32;

/// What to do.
#[derive(Debug, Clone, Copy)]
pub struct Payments {
    /// How many calls.
    pub count: usize,
    /// Calls a second.
    pub per_second: u32,
}

/// A call that was answered.
#[derive(Debug, Clone)]
pub struct Paid {
    /// When the answer was there: the ledger had committed just before.
    pub at: Instant,
    /// The account whose bill the caller sees.
    pub account_id: u64,
    /// The bill that the orders pipeline makes of it for the caller.
    pub bill_id: String,
}

#[derive(Debug, Clone)]
enum Call {
    Collect { app: usize, amount: i64 },
    Pay { payer: usize, payee: usize, amount: i64 },
    Refund { app: usize, amount: i64 },
}

/// An order that can still be refunded in parts.
struct Refundable {
    order_id: String,
    left: i64,
}

impl Payments {
    /// The same calls in the same order every time: of ten, six collect, three pay, one refunds a part. The first round collects for
    /// everyone, so that nobody is short of funds later.
    fn plan(self, apps: usize) -> impl Iterator<Item = Call> {
        (0..self.count).map(move |at| {
            let app = at % apps;
            // spreads amounts without a generator: the same in every run
            let amount = 100 + (at as i64 * 7_919) % 4_900;
            match at / apps % 10 {
                0 => Call::Collect { app, amount: 1_000_000 + amount },
                1 | 2 | 4 | 6 | 7 => Call::Collect { app, amount },
                3 | 5 | 8 => {
                    Call::Pay { payer: app, payee: (app + 1 + at / apps % (apps - 1).max(1)) % apps, amount }
                }
                _ => Call::Refund { app, amount: amount / 10 + 1 },
            }
        })
    }

    /// Makes all calls; `paid` hears of each answer as it comes. The first call that is refused ends it.
    pub async fn run(
        self,
        http: &reqwest::Client,
        wallet_url: &str,
        apps: &[App],
        paid: impl Fn(&Paid) + Send + Sync + 'static,
    ) -> anyhow::Result<usize> {
        anyhow::ensure!(apps.len() >= 2, "payments need two merchants at least");
        let apps: Arc<Vec<App>> = Arc::new(apps.to_vec());
        let refundable: Arc<Vec<Mutex<Vec<Refundable>>>> =
            Arc::new(apps.iter().map(|_| Mutex::default()).collect());
        let (paid, free) = (Arc::new(paid), Arc::new(Semaphore::new(IN_FLIGHT)));
        let mut tick = tokio::time::interval(Duration::from_secs(1) / self.per_second.max(1));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut calls = JoinSet::new();
        for call in self.plan(apps.len()) {
            tick.tick().await;
            let permit = free.clone().acquire_owned().await?;
            let (http, base) = (http.clone(), wallet_url.to_owned());
            let (apps, refundable, paid) = (apps.clone(), refundable.clone(), paid.clone());
            calls.spawn(async move {
                let _permit = permit;
                let answered = call.make(&http, &base, &apps, &refundable).await?;
                paid(&answered);
                anyhow::Ok(())
            });
            while let Some(done) = calls.try_join_next() {
                done??;
            }
        }
        while let Some(done) = calls.join_next().await {
            done??;
        }
        Ok(self.count)
    }
}

impl Call {
    async fn make(
        self,
        http: &reqwest::Client,
        base: &str,
        apps: &[App],
        refundable: &[Mutex<Vec<Refundable>>],
    ) -> anyhow::Result<Paid> {
        let key = uuid::Uuid::now_v7().simple().to_string();
        let app = match &self {
            Self::Collect { app, .. } | Self::Refund { app, .. } => *app,
            Self::Pay { payer, .. } => *payer,
        };
        let of_app = refundable.get(app).context("an app that is not there")?;
        let (app, peer) = (apps.get(app).context("an app that is not there")?, apps);
        // a refund with nothing to refund yet is a collection
        let refund_of = match &self {
            Self::Refund { amount, .. } => take_refundable(of_app, *amount),
            _ => None,
        };
        let (target, body, side) = match (self, refund_of) {
            (Self::Pay { payee, amount, .. }, _) => {
                let payee = &peer.get(payee).context("a payee that is not there")?.merchant_id;
                (
                    "/v1/payments",
                    json!({ "payee_merchant_id": payee, "amount": amount, "currency": "CNY", "remark": "货款 \"supplies\"" }),
                    "payer",
                )
            }
            (Self::Refund { amount, .. }, Some(order_id)) => (
                "/v1/refunds",
                json!({ "order_id": order_id, "amount": amount, "remark": "one item back" }),
                "payer",
            ),
            (Self::Collect { amount, .. } | Self::Refund { amount, .. }, _) => (
                "/v1/collections",
                json!({ "amount": amount, "currency": "CNY", "channel": "wechat", "channel_ref": key, "payer_name": "Ada Lovelace" }),
                "payee",
            ),
        };
        let order = app.post(http, base, target, &key, &body).await?;
        let at = Instant::now();
        let order_id = order["order_id"].as_str().with_context(|| format!("no order_id in {order}"))?;
        if side == "payee" {
            remember(of_app, order_id, &order["amount"]);
        }
        Ok(Paid { at, account_id: app.account_id, bill_id: format!("orders.accounting.{side}.{order_id}") })
    }
}

fn take_refundable(orders: &Mutex<Vec<Refundable>>, amount: i64) -> Option<String> {
    let mut orders = orders.lock().unwrap_or_else(PoisonError::into_inner);
    let order = orders.iter_mut().rev().find(|order| order.left >= amount)?;
    order.left -= amount;
    Some(order.order_id.clone())
}

fn remember(orders: &Mutex<Vec<Refundable>>, order_id: &str, amount: &Value) {
    let left = amount.as_i64().unwrap_or(0);
    orders
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(Refundable { order_id: order_id.to_owned(), left });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_ten_calls_six_collect_three_pay_and_one_refunds() {
        let calls: Vec<_> = Payments { count: 2_000, per_second: 1 }.plan(20).collect();
        let count = |which: fn(&Call) -> bool| calls.iter().filter(|call| which(call)).count();
        assert_eq!(count(|call| matches!(call, Call::Collect { .. })), 1_200);
        assert_eq!(count(|call| matches!(call, Call::Pay { .. })), 600);
        assert_eq!(count(|call| matches!(call, Call::Refund { .. })), 200);
        for call in calls {
            assert!(!matches!(call, Call::Pay { payer, payee, .. } if payer == payee), "{call:?}");
        }
    }
}
