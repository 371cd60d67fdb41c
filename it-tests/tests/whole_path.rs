//! 2,000 payments through the whole system while parts of it are killed: books, store and index agree in the end, and both stages
//! keep their order.

use crate::shared::{fresh, stack, unique};
use anyhow::{Context, Result, ensure};
use change_event::{Version, envelope::Change, stage2::BillRecord};
use it_tests::{
    harness::{Daemon, Deployment, Not, Part, Service, Stack, http::get_ok, wait_until, wait_until_async},
    topic::read_all,
    workload::{Payments, Platform},
};
use serde_json::Value;
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::sync::Notify;

const PAYMENTS: usize = 2_000;
const SOON: Duration = Duration::from_secs(90);

/// Everything but bill-api, on a MariaDB, Redis and Kafka of its own; the index is one of its own in the shared Elasticsearch.
struct Path {
    stack: Stack,
    deployment: Deployment,
    /// Of the bill index.
    alias: String,
    wallet_api: Daemon,
    databus: Daemon,
    sync_worker: Daemon,
}

impl Path {
    fn start(name: &str) -> Result<Self> {
        let spec =
            fresh(name).only(&[Part::MariaDb, Part::Redis, Part::Kafka]).borrow_elasticsearch(stack()?);
        let stack = Stack::start(spec)?;
        let alias = unique("bills");
        let deployment =
            Deployment::edited(&stack, "services", |file| file.set_text("index", "alias", &alias))?;
        deployment.migrate()?;
        Ok(Self {
            wallet_api: deployment.wallet_api()?,
            databus: deployment.databus()?,
            sync_worker: deployment.sync_worker()?,
            stack,
            deployment,
            alias,
        })
    }

    /// Makes the payments; `fault` is called with how many are done, again and again, while they run.
    async fn pay_while(&mut self, mut fault: impl FnMut(&mut Self, usize) -> Result<()>) -> Result<()> {
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30)).build()?;
        let url = self.deployment.wallet_url();
        let apps =
            Platform::new(http.clone(), &url, &self.stack.secrets().wallet_admin_token).onboard(20).await?;
        let (done, progress) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let (counted, told) = (done.clone(), progress.clone());
        let payments = Payments { count: PAYMENTS, per_second: 150 };
        let mut paying = tokio::spawn(async move {
            payments
                .run(&http, &url, &apps, move |_| {
                    counted.fetch_add(1, Ordering::Relaxed);
                    told.notify_one();
                })
                .await
        });
        let made = loop {
            tokio::select! {
                made = &mut paying => break made??,
                // killing and restarting blocks; payments go on meanwhile on the other threads
                () = progress.notified() => {
                    tokio::task::block_in_place(|| fault(self, done.load(Ordering::Relaxed)))?;
                }
            }
        };
        ensure!(made == PAYMENTS, "not every payment was made");
        Ok(())
    }

    /// Waits until `replay diff` finds no difference; what it counted.
    async fn agreed(&mut self) -> Result<Value> {
        let report = wait_until_async("books, store and index to agree", SOON, async || {
            let output = self
                .deployment
                .run("replay", &["diff", "--output", "json", "--limit", "5"])
                .map_err(Not::Ever)?;
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            match output.status.code() {
                Some(0) => Ok(text),
                Some(2) => Err(Not::Yet(text)),
                code => Err(Not::Ever(anyhow::anyhow!(
                    "replay diff ended with {code:?}: {}",
                    String::from_utf8_lossy(&output.stderr)
                ))),
            }
        })
        .await?;
        Ok(serde_json::from_str(&report)?)
    }

    /// Both sinks say that they hold all up to now, in every partition, although the source stands still.
    fn is_fresh(&self) -> Result<()> {
        let mariadb = self.stack.mariadb()?;
        let now = mariadb.sql("SELECT DATE_FORMAT(UTC_TIMESTAMP(6), '%Y-%m-%dT%H:%i:%s.%fZ')")?;
        let now = now.trim();
        let store = format!(
            "SELECT COUNT(*) FROM bills.progress WHERE DATE_FORMAT(as_of, '%Y-%m-%dT%H:%i:%s.%fZ') >= '{now}'"
        );
        wait_until("the store to be as of now (G10)", SOON, || match mariadb.sql(&store) {
            Ok(count) if count.trim() == "12" => Ok(()),
            other => Err(Not::Yet(format!("{other:?} of 12 partitions are as of {now}"))),
        })?;
        let url = format!("{}/{}-progress", self.stack.elasticsearch_url()?, self.alias);
        wait_until("the index to be as of now (G10)", SOON, || {
            get_ok(&format!("{url}/_refresh"), SOON).map_err(Not::yet)?;
            let found = get_ok(&format!("{url}/_search?size=100"), SOON).map_err(Not::yet)?;
            let found: Value = serde_json::from_str(&found).map_err(Not::yet)?;
            let hits = found["hits"]["hits"].as_array().map(Vec::as_slice).unwrap_or_default();
            let fresh =
                hits.iter().filter(|hit| hit["_source"]["as_of"].as_str().is_some_and(|as_of| as_of >= now));
            match fresh.count() {
                12 => Ok(()),
                count => Err(Not::Yet(format!("{count} of 12 partitions are as of {now}: {found}"))),
            }
        })
    }

    /// What must hold whatever was killed.
    async fn prove(mut self) -> Result<()> {
        let report = self.agreed().await?;
        let count = |field: &str| report[field].as_u64().with_context(|| format!("no {field} in {report}"));
        // each payment makes a bill for one side at least, and movements beside them
        ensure!(count("expected")? > 2 * PAYMENTS as u64, "{report}");
        assert_eq!(
            (count("store")?, count("index")?, count("differences")?),
            (count("expected")?, count("expected")?, 0)
        );
        self.is_fresh()?;
        let brokers = self.stack.kafka_brokers()?;

        let mut last = Version::START;
        for record in read_all(&brokers, "changes.accounting")? {
            let Some(value) = record.value else { continue };
            let seq = Change::parse(&value)?.source.seq;
            ensure!(seq.follows(last), "stage 1 offset {}: seq {seq} after {last} (G2)", record.offset);
            last = seq;
        }
        let mut by_account: HashMap<u64, (i32, Version)> = HashMap::new();
        for record in read_all(&brokers, "bills")? {
            let Some(value) = record.value else { continue };
            let bill: BillRecord = serde_json::from_slice(&value)?;
            let before = by_account.insert(bill.bill.account_id, (record.partition, bill.version));
            if let Some((partition, version)) = before {
                ensure!(partition == record.partition, "account {} is in two partitions (G3)", record.key);
                // one change can make several bills of an account, never an older one
                ensure!(
                    bill.version >= version,
                    "account {}: {} after {version} (G3)",
                    record.key,
                    bill.version
                );
            }
        }
        ensure!(by_account.len() == 20, "{} accounts on stage 2", by_account.len());
        self.sync_worker.stop()?;
        self.databus.stop()?;
        self.wallet_api.stop()?;
        Ok(())
    }
}

/// Calls `act` once for each of these counts, as soon as so many payments are done.
fn at(
    counts: &[usize],
    mut act: impl FnMut(&mut Path) -> Result<()>,
) -> impl FnMut(&mut Path, usize) -> Result<()> {
    let mut left = counts.to_vec();
    move |path, done| {
        if left.first().is_some_and(|next| done >= *next) {
            left.remove(0);
            act(path)?;
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_nine_of_databus_during_2000_payments_leaves_no_difference_g1_g2_g3_g4() -> Result<()> {
    let mut path = Path::start("whole-databus")?;
    let mut kills = 0;
    path.pay_while(at(&[200, 600, 1_000], |path| {
        kills += 1;
        path.databus.kill_9()?;
        path.databus.start_again()
    }))
    .await?;
    ensure!(kills == 3, "only {kills} kills fell into the payments");
    path.prove().await
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_nine_of_sync_worker_during_2000_payments_leaves_no_difference_g3_g4_g5_g6() -> Result<()> {
    let mut path = Path::start("whole-sync-worker")?;
    let mut kills = 0;
    path.pay_while(at(&[200, 600, 1_000], |path| {
        kills += 1;
        path.sync_worker.kill_9()?;
        path.sync_worker.start_again()
    }))
    .await?;
    ensure!(kills == 3, "only {kills} kills fell into the payments");
    path.prove().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_killed_and_restarted_during_2000_payments_leaves_no_difference_g3_g4_g6() -> Result<()> {
    let mut path = Path::start("whole-broker")?;
    let mut kills = 0;
    path.pay_while(at(&[700], |path| {
        kills += 1;
        path.stack.kafka_mut()?.kill_9()?;
        path.stack.kafka_mut()?.start_again()
    }))
    .await?;
    ensure!(kills == 1, "the broker was not killed during the payments");
    for (name, daemon) in [("databus", &mut path.databus), ("sync-worker", &mut path.sync_worker)] {
        wait_until(&format!("{name} to be ready again"), SOON, || daemon.probe()())?;
    }
    path.prove().await
}
