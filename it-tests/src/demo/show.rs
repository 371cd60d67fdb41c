//! What the demo shows a person.

use anyhow::Context;
use it_tests::{
    harness::{Deployment, Stack},
    workload::{App, Latencies},
};
use serde_json::Value;

/// One merchant's newest bills and the month's summary, as bill-api answers them.
pub(super) async fn bills(http: &reqwest::Client, deployment: &Deployment, app: &App) -> anyhow::Result<()> {
    let base = deployment.bill_url();
    let page = app.get(http, &base, "/v1/bills?pipeline=orders&limit=5").await?;
    println!("\n{}'s newest bills (GET /v1/bills?pipeline=orders&limit=5):", app.name);
    println!(
        "  {:<27} {:<8} {:<4} {:>12} {:>8}  {:<20} counterparty",
        "occurred_at", "type", "way", "amount", "fee", "status"
    );
    for bill in page["items"].as_array().context("no items in the page")? {
        let text = |field: &str| bill[field].as_str().unwrap_or("-").to_owned();
        println!(
            "  {:<27} {:<8} {:<4} {:>12} {:>8}  {:<20} {}",
            text("occurred_at"),
            text("bill_type"),
            text("direction"),
            minor(&bill["amount"]),
            minor(&bill["fee"]),
            text("status"),
            text("counterparty")
        );
    }
    let first = page["items"][0]["occurred_at"].as_str().context("the merchant has no bill")?;
    // the summary's month is the merchant's, in its own zone: ask for the one that the newest bill fell into there
    let at: i64 = time::OffsetDateTime::parse(first, &time::format_description::well_known::Rfc3339)?
        .unix_timestamp()
        + 8 * 3600;
    let day = time::OffsetDateTime::from_unix_timestamp(at)?;
    let month = format!("{:04}-{:02}", day.year(), u8::from(day.month()));
    let summary = app.get(http, &base, &format!("/v1/bills/summary?month={month}")).await?;
    println!("\nMonth summary (GET /v1/bills/summary?month={month}):");
    println!("{}", serde_json::to_string_pretty(&summary)?);
    Ok(())
}

fn minor(amount: &Value) -> String {
    // CNY: two digits behind the point
    amount.as_i64().map_or("-".to_owned(), |amount| format!("{}.{:02}", amount / 100, amount % 100))
}

/// From the payment's answer to visible.
pub(super) fn timing(store: Latencies, index: Latencies) {
    println!(
        "\nCommit to visible, over {} payments (from the answer of the payment to the first look that saw its bill):",
        store.count
    );
    for (place, latencies) in [("store", store), ("index", index)] {
        println!("  {place:<6} p50 {:>7.1} ms   p99 {:>7.1} ms", latencies.p50_ms, latencies.p99_ms);
    }
    println!();
}

/// Addresses, a signed request to try, and where logs are.
pub(super) fn how_to_use(stack: &Stack, deployment: &Deployment, app: Option<&App>) -> anyhow::Result<()> {
    println!("\nEverything is up until Ctrl-C:");
    println!("  wallet-api     {}", deployment.wallet_url());
    println!("  bill-api       {}", deployment.bill_url());
    println!("  mariadb        {}", stack.mariadb()?.address());
    println!("  kafka          {}", stack.kafka_brokers()?);
    println!("  elasticsearch  {}", stack.elasticsearch_url()?);
    println!("  configuration  {}", deployment.config_path().display());
    println!("  logs           {}", deployment.dir().display());
    if let Some(app) = app {
        let target = "/v1/bills?pipeline=orders&limit=2";
        println!(
            "\nA signed request (good for five minutes and for one use; the secret of {} signs more):",
            app.name
        );
        println!("  curl -s '{}{target}' -H '{}'", deployment.bill_url(), authorization(app, target));
        println!("  app_id={} key_id={}", app.app_id, app.key_id);
    }
    println!(
        "\nThe canonical string is METHOD, PATH?QUERY, TIMESTAMP, NONCE and BODY, each followed by a line feed, under HMAC-SHA256."
    );
    Ok(())
}

fn authorization(app: &App, target: &str) -> String {
    format!("Authorization: {}", app.authorization("GET", target, ""))
}
