//! `bill-api`: merchants read their bills over signed HTTP.
//!
//! ```text
//!  merchant app ──► http edge ──► with_flow_control ──────────────► routes ──► Bills ──► bill store (MySQL)
//!                                   │ Authorization: parsed strictly    list, detail, month summary
//!                                   │ grant: Redis ─ else ─► wallet-api (Thrift MerchantAccess)
//!                                   │ signature over raw bytes, nonce once
//!                                   └ strangers' bucket, app's bucket
//! ```
//!
//! Who calls decides what is seen: every statement names the accounts of the caller's grant (G12). Nothing here
//! writes to the bill store, and the bill index is not read: the store is the truth.

mod auth;
mod bills;
mod cli;
mod month;
mod query;
mod routes;
mod settings;

use anyhow::Context;
use prometheus::Registry;
use service_kit::admin::{self, Probe, Probes};
use service_kit::flow::{FlowControl, Rate};
use service_kit::http::{HttpMetrics, Listener, Options, serve_on};
use service_kit::{Shutdown, process, redis_link};
use std::sync::Arc;
use wallet_rpc::{Client, ClientSettings};

use auth::Authenticator;
use bills::Bills;
use settings::Settings;

pub use cli::{Cli, Command};

/// Runs the command to its end. An error of configuration is marked as one ([`process::usage`]).
pub async fn run(cli: Cli, shutdown: Shutdown) -> anyhow::Result<()> {
    let settings = Settings::load(&cli.config).map_err(process::usage)?;
    match cli.command {
        Command::Run => serve(settings, shutdown).await,
    }
}

async fn serve(settings: Settings, shutdown: Shutdown) -> anyhow::Result<()> {
    let registry = Registry::new();
    let flow = FlowControl::new(rate(settings.flow.read), rate(settings.flow.write));
    flow.register(&registry)?;
    let metrics = HttpMetrics::register(&registry)?;

    let bills = Bills::connect(&settings);
    let redis = redis_link::connect(&settings.redis_url, settings.redis_password.as_ref())
        .map_err(|error| process::usage(error).context("read the address of redis"))?;
    let wallet = ClientSettings::new(settings.wallet_rpc.clone(), settings.rpc_token.clone());
    let wallet = Client::new(wallet).await.context("find wallet-api")?;
    let authenticator = Authenticator::new(wallet, redis.clone(), flow.clone(), &registry)?;

    let probes = Probes::new()
        .with(store_probe(&bills))
        .with(redis_probe(redis))
        .with(wallet_probe(&settings.wallet_rpc))
        .with(Probe::note("index", "not read by this service: lists are answered from the bill store"));
    // before the admin port: whoever sees us ready may connect at once
    let listener = Listener::bind(settings.listen).await?;
    let _admin = admin::serve(settings.admin_listen, probes, registry, shutdown.clone()).await?;
    let address = listener.address();
    let routes = routes::all(&flow, &Arc::new(authenticator), &bills, &settings);
    tracing::info!(%address, "ready");
    let options = Options { metrics: Some(metrics), ..Options::default() };
    serve_on(listener, routes, options, shutdown).await;
    bills.close().await;
    tracing::info!("stopped");
    Ok(())
}

fn rate(class: pipeline_config::FlowClass) -> Rate {
    Rate { per_second: class.per_second, burst: class.burst }
}

fn store_probe(bills: &Bills) -> Probe {
    let bills = bills.clone();
    Probe::new("store", move || {
        let bills = bills.clone();
        async move { bills.ping().await }
    })
}

// without Redis grants are asked for again and again and nonces are remembered here: slower, still right
fn redis_probe(redis: redis_link::Redis) -> Probe {
    Probe::new("redis", move || {
        let redis = redis.clone();
        async move { redis_link::ping(&redis).await }
    })
    .optional()
}

// without wallet-api whoever has a grant goes on until it runs out
fn wallet_probe(address: &str) -> Probe {
    let address = address.to_owned();
    Probe::new("wallet-api", move || {
        let address = address.clone();
        async move { tokio::net::TcpStream::connect(address).await.map(drop) }
    })
    .optional()
}
