//! The platform's staff: they let merchants in.

use super::App;
use anyhow::{Context, bail};
use base64::{Engine, engine::general_purpose::STANDARD};
use futures::future::try_join_all;
use serde_json::{Value, json};
use std::fmt;

/// The admin API of one wallet-api. `Debug` leaves the token out.
#[derive(Clone)]
pub struct Platform {
    http: reqwest::Client,
    wallet_url: String,
    admin_token: String,
}

impl fmt::Debug for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Platform").field("wallet_url", &self.wallet_url).finish_non_exhaustive()
    }
}

impl Platform {
    /// Staff with this token.
    pub fn new(http: reqwest::Client, wallet_url: &str, admin_token: &str) -> Self {
        Self { http, wallet_url: wallet_url.to_owned(), admin_token: admin_token.to_owned() }
    }

    /// So many merchants with one app each.
    pub async fn onboard(&self, count: usize) -> anyhow::Result<Vec<App>> {
        const NAMES: [&str; 8] = [
            "Corner Bakery",
            "老王面馆",
            "Blue Door Books",
            "Niu's Repairs",
            "Café Été",
            "海边花店",
            "Green Grocer",
            "Kiosk 24",
        ];
        let names = (0..count).map(|at| format!("{} {}", NAMES[at % NAMES.len()], at + 1));
        try_join_all(names.map(|name| self.merchant(name))).await
    }

    async fn merchant(&self, name: String) -> anyhow::Result<App> {
        let merchant = json!({ "name": name, "currency": "CNY", "time_zone": "Asia/Shanghai" });
        let merchant = self.post("/admin/v1/merchants", &merchant).await?;
        let merchant_id = text(&merchant["merchant_id"])?;
        let app =
            self.post(&format!("/admin/v1/merchants/{merchant_id}/apps"), &json!({ "name": "till" })).await?;
        Ok(App {
            account_id: text(&merchant["accounts"][0]["account_id"])?.parse()?,
            merchant_id,
            name,
            app_id: text(&app["app_id"])?,
            key_id: text(&app["key_id"])?,
            secret: STANDARD.decode(text(&app["secret"])?)?,
        })
    }

    async fn post(&self, target: &str, body: &Value) -> anyhow::Result<Value> {
        let request =
            self.http.post(format!("{}{target}", self.wallet_url)).bearer_auth(&self.admin_token).json(body);
        let response = request.send().await?;
        let (status, text) = (response.status().as_u16(), response.text().await?);
        if status != 201 {
            bail!("POST {target} answered {status}: {text}");
        }
        Ok(serde_json::from_str(&text)?)
    }
}

fn text(value: &Value) -> anyhow::Result<String> {
    value.as_str().map(str::to_owned).with_context(|| format!("a text is missing where {value} stands"))
}
