//! From the ledger's commit to visible: in the store as a row, in the index as a search hit.

use super::Paid;
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use sqlx::{MySqlPool, QueryBuilder, Row};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::task::JoinHandle;

/// Pause between two looks. Part of what is measured, so it is short.
const STORE_LOOK: Duration = Duration::from_millis(4);
const INDEX_LOOK: Duration = Duration::from_millis(50);
/// Bills asked for in one look.
const BATCH: usize = 500;

type Waiting = Arc<Mutex<HashMap<(u64, String), Instant>>>;

/// Milliseconds from the answer of the payment to the first look that saw its bill.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Latencies {
    /// Bills seen.
    pub count: u64,
    /// Median.
    pub p50_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
}

/// Watches for bills in store and index from the moment that their payments were answered.
#[derive(Debug)]
pub struct Visibility {
    store: Waiting,
    index: Waiting,
    store_task: JoinHandle<anyhow::Result<Histogram<u64>>>,
    index_task: JoinHandle<anyhow::Result<Histogram<u64>>>,
    closed: Arc<AtomicBool>,
}

impl Visibility {
    /// Starts looking. `index_url` is Elasticsearch's address, `alias` the bills' alias.
    pub fn watch(
        store: MySqlPool,
        http: reqwest::Client,
        index_url: &str,
        alias: &str,
    ) -> anyhow::Result<Self> {
        let closed = Arc::new(AtomicBool::new(false));
        let (in_store, in_index) = (Waiting::default(), Waiting::default());
        let search = format!("{index_url}/{alias}/_search?filter_path=hits.hits._id");
        let store_task =
            tokio::spawn(look(Place::Store(store), in_store.clone(), closed.clone(), STORE_LOOK));
        let index_task =
            tokio::spawn(look(Place::Index { http, search }, in_index.clone(), closed.clone(), INDEX_LOOK));
        Ok(Self { store: in_store, index: in_index, store_task, index_task, closed })
    }

    /// What to tell of each payment.
    pub fn observer(&self) -> impl Fn(&Paid) + Send + Sync + 'static {
        let (store, index) = (self.store.clone(), self.index.clone());
        move |paid| {
            for waiting in [&store, &index] {
                let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
                waiting.insert((paid.account_id, paid.bill_id.clone()), paid.at);
            }
        }
    }

    /// Bills that are not visible yet, in store and index.
    pub fn outstanding(&self) -> (usize, usize) {
        let count = |waiting: &Waiting| waiting.lock().unwrap_or_else(PoisonError::into_inner).len();
        (count(&self.store), count(&self.index))
    }

    /// Waits until every bill that was told of is visible, or `deadline` has passed.
    pub async fn finish(self, deadline: Duration) -> anyhow::Result<(Latencies, Latencies)> {
        self.closed.store(true, Ordering::Relaxed);
        let both = async { anyhow::Ok((self.store_task.await??, self.index_task.await??)) };
        let (store, index) = tokio::time::timeout(deadline, both)
            .await
            .map_err(|_| anyhow::anyhow!("bills are still not visible after {deadline:?}"))??;
        Ok((Latencies::of(&store), Latencies::of(&index)))
    }
}

impl Latencies {
    fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1_000.0;
        Self { count: histogram.len(), p50_ms: at(0.5), p99_ms: at(0.99) }
    }
}

/// Where a bill can be seen.
enum Place {
    Store(MySqlPool),
    Index { http: reqwest::Client, search: String },
}

impl Place {
    /// Which of these bills are there.
    async fn seen(&self, batch: &[(u64, String)]) -> anyhow::Result<Vec<(u64, String)>> {
        match self {
            Self::Store(store) => seen_in_store(store, batch).await,
            Self::Index { http, search } => seen_in_index(http, search, batch).await,
        }
    }
}

/// Looks again and again, until it is closed and nothing waits any more; microseconds in the histogram.
async fn look(
    place: Place,
    waiting: Waiting,
    closed: Arc<AtomicBool>,
    pause: Duration,
) -> anyhow::Result<Histogram<u64>> {
    let mut histogram = Histogram::new(3)?;
    loop {
        let was_closed = closed.load(Ordering::Relaxed);
        let batch: Vec<_> = {
            let waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
            // the oldest first: they are the likeliest to be there
            let mut all: Vec<_> = waiting.iter().map(|(key, at)| (*at, key.clone())).collect();
            all.sort_unstable();
            all.into_iter().take(BATCH).map(|(_, key)| key).collect()
        };
        if batch.is_empty() {
            if was_closed {
                return Ok(histogram);
            }
        } else {
            let found = place.seen(&batch).await?;
            let now = Instant::now();
            let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
            for key in found {
                if let Some(at) = waiting.remove(&key) {
                    histogram.record(u64::try_from(now.saturating_duration_since(at).as_micros())?)?;
                }
            }
        }
        // on purpose: watching must cost the sinks little; the pause is the measurement's grain
        tokio::time::sleep(pause).await;
    }
}

async fn seen_in_store(store: &MySqlPool, batch: &[(u64, String)]) -> anyhow::Result<Vec<(u64, String)>> {
    let mut query = QueryBuilder::new(
        "SELECT account_id, bill_id FROM bill WHERE deleted = 0 AND (account_id, bill_id) IN ",
    );
    query.push_tuples(batch, |mut row, (account_id, bill_id)| {
        row.push_bind(*account_id).push_bind(bill_id.clone());
    });
    let rows = query.build().fetch_all(store).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

async fn seen_in_index(
    http: &reqwest::Client,
    search: &str,
    batch: &[(u64, String)],
) -> anyhow::Result<Vec<(u64, String)>> {
    let ids: Vec<_> = batch.iter().map(|(account_id, bill_id)| format!("{account_id}:{bill_id}")).collect();
    let body = json!({ "size": ids.len(), "_source": false, "query": { "ids": { "values": ids } } });
    // an index that is restarting shows as bills that are seen late, not as an error of the watcher
    let Ok(response) = http.post(search).json(&body).send().await else { return Ok(Vec::new()) };
    let Ok(answer) = response.json::<Value>().await else { return Ok(Vec::new()) };
    let hits = answer["hits"]["hits"].as_array().cloned().unwrap_or_default();
    let keys = hits.iter().filter_map(|hit| hit["_id"].as_str()?.split_once(':'));
    keys.map(|(account_id, bill_id)| Ok((account_id.parse()?, bill_id.to_owned()))).collect()
}
