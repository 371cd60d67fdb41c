//! A bill-api of a test's own: its database, its file, its desk, and a client that signs.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use it_tests::harness::{Daemon, Deployment, PipelinesToml, Stack};
use it_tests::workload::App;
use serde_json::Value;
use sqlx::mysql::MySqlPool;

use super::desk::Desk;
use crate::shared::unique;

pub(super) const LONG: Duration = Duration::from_secs(3600);

pub(super) struct World {
    pub(super) desk: Desk,
    pub(super) store: MySqlPool,
    pub(super) daemon: Daemon,
    client: BillClient,
}

impl std::ops::Deref for World {
    type Target = BillClient;
    fn deref(&self) -> &BillClient {
        &self.client
    }
}

/// Signed requests to one bill-api.
pub(super) struct BillClient {
    url: String,
    http: reqwest::Client,
}

/// An answer, whole.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: reqwest::header::HeaderMap,
    pub(super) body: Value,
}

/// A bill to be put straight into the store.
#[derive(Clone, Debug)]
pub(super) struct Seed {
    pub(super) account: u64,
    pub(super) bill_id: String,
    pub(super) bill_type: &'static str,
    pub(super) direction: &'static str,
    pub(super) amount: i64,
    /// `YYYY-MM-DD hh:mm:ss.ffffff`, UTC.
    pub(super) occurred_at: String,
    pub(super) deleted: bool,
}

impl Seed {
    pub(super) fn new(account: u64, bill_id: impl Into<String>, occurred_at: impl Into<String>) -> Seed {
        let (bill_id, occurred_at) = (bill_id.into(), occurred_at.into());
        Seed {
            account,
            bill_id,
            bill_type: "collect",
            direction: "in",
            amount: 100,
            occurred_at,
            deleted: false,
        }
    }
}

impl World {
    pub(super) async fn new(
        stack: &Stack,
        edit: impl FnOnce(&mut PipelinesToml) -> Result<()>,
    ) -> Result<World> {
        let database = unique("bills");
        stack.mariadb()?.create_database(&database)?;
        let table = include_str!("../../../migrations/bills/0001_bill.sql");
        stack.mariadb()?.sql(&format!("USE {database};\n{table}"))?;
        let deployment = Deployment::edited(stack, &database, |file| {
            file.set_text("store", "database", &database)?;
            file.set("flow.read", "per_second", "100000")?;
            file.set("flow.read", "burst", "100000")?;
            edit(file)
        })?;
        let desk = Desk::open(deployment.ports().wallet_rpc, &stack.secrets().wallet_rpc_token).await?;
        let store = MySqlPool::connect(&stack.mariadb()?.url("bills", &database)?).await?;
        let daemon = deployment.bill_api()?;
        Ok(World { desk, store, daemon, client: BillClient::new(deployment.bill_url())? })
    }

    /// Puts bills into the store, in one statement for each thousand. The pipeline is the id's first part.
    pub(super) async fn insert(&self, seeds: &[Seed]) -> Result<()> {
        for some in seeds.chunks(1000) {
            let mut sql = sqlx::QueryBuilder::new(
                "INSERT INTO bill (account_id, bill_id, version, deleted, pipeline, source, side, merchant_id, bill_type, \
                 direction, status, amount, fee, currency, occurred_at, posted_at, counterparty, order_no, channel, \
                 remark, committed_at) ",
            );
            sql.push_values(some, |mut row, seed| {
                let pipeline = seed.bill_id.split('.').next().unwrap_or_default();
                row.push_bind(seed.account).push_bind(&seed.bill_id).push_bind(9_007_199_254_740_993_i64);
                row.push_bind(seed.deleted).push_bind(pipeline).push("'accounting', 'owner', 1");
                row.push_bind(seed.bill_type)
                    .push_bind(seed.direction)
                    .push("'posted'")
                    .push_bind(seed.amount);
                row.push("0, 'CNY'").push_bind(&seed.occurred_at).push_bind(&seed.occurred_at);
                row.push("'小店 ☕', 'o-1', 'wallet', 'r'").push_bind(&seed.occurred_at);
            });
            sql.build().execute(&self.store).await?;
        }
        Ok(())
    }
}

impl BillClient {
    pub(super) fn new(url: String) -> Result<BillClient> {
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(20)).build()?;
        Ok(BillClient { url, http })
    }

    /// A signed GET.
    pub(super) async fn get(&self, app: &App, target: &str) -> Result<Answer> {
        self.get_with(target, Some(&app.authorization("GET", target, ""))).await
    }

    /// A signed GET that must be answered with 200; gives the body.
    pub(super) async fn ok(&self, app: &App, target: &str) -> Result<Value> {
        let answer = self.get(app, target).await?;
        ensure!(answer.status == 200, "{target} answered {answer:?}");
        Ok(answer.body)
    }

    /// A GET with whatever `Authorization` the test wants.
    pub(super) async fn get_with(&self, target: &str, authorization: Option<&str>) -> Result<Answer> {
        let mut request = self.http.get(format!("{}{target}", self.url));
        if let Some(value) = authorization {
            request = request.header("authorization", value);
        }
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await?;
        let body =
            serde_json::from_str(&text).with_context(|| format!("{target} answered {status}: {text:?}"))?;
        ensure!(headers.contains_key("x-request-id"), "{target} answered without X-Request-Id");
        if status >= 400 {
            ensure!(headers["content-type"] == "application/problem+json", "{target}: {headers:?}");
        }
        Ok(Answer { status, headers, body })
    }
}
