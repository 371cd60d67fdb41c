//! A wallet-api of a test's own against a MariaDB and a Redis, with clients for staff and for merchants.

use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use it_tests::harness::{Daemon, Deployment, Part, Stack};
use it_tests::workload::App;
use serde_json::{Value, json};
use sqlx::mysql::MySqlPool;

use crate::shared::{fresh, unique};

/// MariaDB and Redis for the tests of this module that break nothing: other modules write to `accounting` by hand,
/// and here the whole ledger must add up.
pub(super) fn stack() -> Result<&'static Stack> {
    static STACK: OnceLock<std::result::Result<Stack, String>> = OnceLock::new();
    let started = STACK.get_or_init(|| {
        Stack::start(fresh("wallet").only(&[Part::MariaDb, Part::Redis]))
            .map_err(|error| format!("{error:#}"))
    });
    started.as_ref().map_err(|error| anyhow::anyhow!("{error}"))
}

pub(super) struct World {
    pub(super) deployment: Deployment,
    pub(super) daemon: Daemon,
    /// The database `accounting`, as a user who may see and do everything.
    pub(super) ledger: MySqlPool,
    /// A stack of this world's own; ends with it.
    own_stack: Option<Stack>,
    admin_token: String,
    http: reqwest::Client,
}

/// An answer, whole.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: reqwest::header::HeaderMap,
    pub(super) text: String,
    pub(super) body: Value,
}

impl Answer {
    pub(super) fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or("no code")
    }

    pub(super) fn replayed(&self) -> bool {
        self.headers.get("idempotency-replayed").is_some_and(|value| value == "true")
    }
}

impl World {
    pub(super) async fn new() -> Result<World> {
        World::on(stack()?).await
    }

    /// With a MariaDB and a Redis of its own: for tests that lock or count what is the server's.
    pub(super) async fn on_fresh(name: &str) -> Result<World> {
        let stack = Stack::start(fresh(name).only(&[Part::MariaDb, Part::Redis]))?;
        let mut world = World::on(&stack).await?;
        world.own_stack = Some(stack);
        Ok(world)
    }

    pub(super) async fn on(stack: &Stack) -> Result<World> {
        World::with_connections(stack, 32).await
    }

    /// With a wallet-api that has so many connections to the database.
    pub(super) async fn with_connections(stack: &Stack, connections: u32) -> Result<World> {
        let deployment = Deployment::edited(stack, &unique("wallet"), |file| {
            for class in ["flow.read", "flow.write"] {
                file.set(class, "per_second", "100000")?;
                file.set(class, "burst", "100000")?;
            }
            Ok(())
        })?
        .env("WALLET_DB_CONNECTIONS", &connections.to_string());
        deployment.run_ok("wallet-api", &["migrate"])?;
        let daemon = deployment.daemon("wallet-api", &["run"])?;
        let ledger = MySqlPool::connect(&stack.mariadb()?.url("admin", "accounting")?).await?;
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(40)).build()?;
        Ok(World {
            deployment,
            daemon,
            ledger,
            own_stack: None,
            admin_token: stack.secrets().wallet_admin_token.clone(),
            http,
        })
    }

    /// A new merchant with one app.
    pub(super) async fn merchant(&self, currency: &str) -> Result<App> {
        self.merchant_with(currency, &json!({ "name": "till 1" })).await
    }

    /// A new merchant with an app that is made of `app`.
    pub(super) async fn merchant_with(&self, currency: &str, app: &Value) -> Result<App> {
        let merchant = json!({ "name": unique("店"), "currency": currency, "time_zone": "Asia/Shanghai" });
        let merchant = self.staff("POST", "/admin/v1/merchants", Some(&merchant)).await?;
        ensure!(merchant.status == 201, "{merchant:?}");
        let text = |value: &Value| value.as_str().map(str::to_owned).context("a text is missing");
        let merchant_id = text(&merchant.body["merchant_id"])?;
        let apps = format!("/admin/v1/merchants/{merchant_id}/apps");
        let app = self.staff("POST", &apps, Some(app)).await?;
        ensure!(app.status == 201, "{app:?}");
        Ok(App {
            account_id: text(&merchant.body["accounts"][0]["account_id"])?.parse()?,
            name: text(&merchant.body["name"])?,
            merchant_id,
            app_id: text(&app.body["app_id"])?,
            key_id: text(&app.body["key_id"])?,
            secret: STANDARD.decode(text(&app.body["secret"])?)?,
        })
    }

    /// A merchant that holds `amount` after a collection's fee.
    pub(super) async fn merchant_holding(&self, amount: i64) -> Result<App> {
        let app = self.merchant("CNY").await?;
        // the smallest amount that leaves as much; 60 basis points, rounded half up
        let net = |gross: i64| gross - (gross * 60 + 5_000) / 10_000;
        let gross = (amount..).find(|gross| net(*gross) >= amount).context("no such amount")?;
        ensure!(net(gross) == amount, "no collection leaves exactly {amount}");
        let answer = self.collect(&app, gross, &unique("k")).await?;
        ensure!(answer.status == 201, "{answer:?}");
        Ok(app)
    }

    /// A request of the platform's staff.
    pub(super) async fn staff(&self, method: &str, target: &str, body: Option<&Value>) -> Result<Answer> {
        let bearer = format!("Bearer {}", self.admin_token);
        let body = body.map(Value::to_string).unwrap_or_default();
        self.send(method, target, &[("authorization", &bearer), ("content-type", "application/json")], body)
            .await
    }

    pub(super) async fn get(&self, app: &App, target: &str) -> Result<Answer> {
        let authorization = app.authorization("GET", target, "");
        self.send("GET", target, &[("authorization", &authorization)], String::new()).await
    }

    pub(super) async fn post(&self, app: &App, target: &str, key: &str, body: &Value) -> Result<Answer> {
        self.post_text(app, target, key, body.to_string()).await
    }

    pub(super) async fn post_text(&self, app: &App, target: &str, key: &str, body: String) -> Result<Answer> {
        let authorization = app.authorization("POST", target, &body);
        let headers = [
            ("authorization", authorization.as_str()),
            ("content-type", "application/json"),
            ("idempotency-key", key),
        ];
        self.send("POST", target, &headers, body).await
    }

    pub(super) async fn collect(&self, app: &App, amount: i64, key: &str) -> Result<Answer> {
        let body = json!({ "amount": amount, "currency": "CNY", "channel": "card", "payer_name": "Ada", "channel_ref": "c-1" });
        self.post(app, "/v1/collections", key, &body).await
    }

    pub(super) async fn pay(&self, payer: &App, payee: &App, amount: i64, key: &str) -> Result<Answer> {
        let body = json!({ "payee_merchant_id": payee.merchant_id, "amount": amount, "currency": "CNY" });
        self.post(payer, "/v1/payments", key, &body).await
    }

    pub(super) async fn refund(&self, app: &App, order_id: &str, amount: i64, key: &str) -> Result<Answer> {
        self.post(app, "/v1/refunds", key, &json!({ "order_id": order_id, "amount": amount })).await
    }

    /// The merchant's balance, as the API says.
    pub(super) async fn balance(&self, app: &App) -> Result<i64> {
        let answer = self.get(app, "/v1/accounts").await?;
        let account_id = app.account_id.to_string();
        ensure!(answer.body["items"][0]["account_id"] == account_id.as_str(), "{answer:?}");
        answer.body["items"][0]["balance"].as_i64().with_context(|| format!("{answer:?}"))
    }

    /// Any request at all.
    pub(super) async fn send(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: String,
    ) -> Result<Answer> {
        let url = format!("{}{target}", self.deployment.wallet_url());
        let mut request = self.http.request(method.parse()?, url).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await?;
        let body =
            if text.is_empty() { Value::Null } else { serde_json::from_str(&text).context(text.clone())? };
        ensure!(headers.contains_key("x-request-id"), "{method} {target} answered without X-Request-Id");
        if status >= 400 {
            ensure!(headers["content-type"] == "application/problem+json", "{method} {target}: {headers:?}");
            ensure!(body["code"].is_string() && body["retryable"].is_boolean(), "{method} {target}: {body}");
        }
        Ok(Answer { status, headers, text, body })
    }
}
