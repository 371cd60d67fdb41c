//! The daemon's life: open what is needed, serve, drain.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use prometheus::Registry;
use service_kit::{
    Shutdown,
    admin::{self, Probe, Probes},
    flow::FlowControl,
    http::{HttpMetrics, Listener, Options, serve_on},
    nonce::{Nonces, OnOutage},
    redis_link::{self, Redis},
    retry::{self, Ended},
};
use sqlx::MySqlPool;
use tokio::net::TcpListener;

use crate::{
    auth::{SignedRequests, StaffToken},
    config::Settings,
    grants::Grants,
    idempotency,
    ledger::InternalAccounts,
    merchants::{Directory, Onboarding},
    metrics::Metrics,
    orders::Orders,
    routes::{self, Api},
    rpc::AccessDesk,
    store::{self, Verdict, verdict},
};

/// Longest pause between attempts to reach the database at start.
const START_RETRY_CAP: Duration = Duration::from_secs(2);

/// Serves until `shutdown`, then drains. The admin port answers from first to last.
pub async fn run(settings: Settings, shutdown: Shutdown) -> anyhow::Result<()> {
    let pool = store::pool(settings.database.clone(), settings.connections);
    let redis =
        redis_link::connect(&settings.redis_url, settings.redis_password.as_ref()).context("redis.url")?;
    let registry = Registry::new();
    let metrics = Metrics::register(&registry)?;
    let http_metrics = HttpMetrics::register(&registry)?;
    let flow = FlowControl::new(settings.read, settings.write);
    flow.register(&registry)?;

    let started = Arc::new(AtomicBool::new(false));
    let probes = probes(&pool, &redis, &started);
    // bound to a name: the port closes when it is dropped
    let _admin = admin::serve(settings.admin_listen, probes, registry, shutdown.clone()).await?;

    let Some(internal) = internal_accounts(&pool, &shutdown).await? else { return Ok(()) };
    let directory = Directory::new(pool.clone(), settings.sealed.clone());
    let nonces = Nonces::new(redis.clone(), OnOutage::Refuse);
    let api = Api {
        orders: Orders::new(pool.clone(), internal.clone(), directory.clone(), metrics),
        onboarding: Onboarding::new(pool.clone(), settings.sealed.clone()),
        directory: directory.clone(),
        internal,
        grants: Grants::new(redis),
        pool: pool.clone(),
    };
    let apps = Arc::new(SignedRequests::new(directory.clone(), nonces, flow.clone()));
    let staff = Arc::new(StaffToken::new(&settings.admin_token));
    let routes = routes::all(&flow, &apps, &staff, &api);

    let http = Listener::bind(settings.listen).await?;
    let rpc = TcpListener::bind(settings.rpc_listen)
        .await
        .with_context(|| format!("cannot listen on {} (wallet_api.rpc_listen)", settings.rpc_listen))?;
    tokio::spawn(idempotency::purge_until(pool.clone(), shutdown.clone()));
    let options = Options { metrics: Some(http_metrics), ..Options::default() };
    let (address, rpc_address) = (http.address(), rpc.local_addr()?);
    started.store(true, Ordering::Release);
    tracing::info!(%address, %rpc_address, "ready");

    let desk = AccessDesk::new(directory);
    let serve_rpc = async {
        let ended = desk.serve(rpc, &settings.rpc_token, &shutdown).await;
        // one half alone is no wallet-api: an end that nobody asked for ends the other half too
        shutdown.request();
        ended.context("serve thrift")
    };
    let ((), rpc_ended) = tokio::join!(serve_on(http, routes, options, shutdown.clone()), serve_rpc);
    pool.close().await;
    rpc_ended
}

fn probes(pool: &MySqlPool, redis: &Redis, started: &Arc<AtomicBool>) -> Probes {
    let (pool, redis, started) = (pool.clone(), redis.clone(), started.clone());
    Probes::new()
        .with(Probe::new("mysql", move || {
            let pool = pool.clone();
            async move { sqlx::query("SELECT 1").execute(&pool).await.map(drop) }
        }))
        .with(Probe::new("redis", move || {
            let redis = redis.clone();
            async move { redis_link::ping(&redis).await }
        }))
        .with(Probe::new("start", move || {
            let started = started.load(Ordering::Acquire);
            async move { if started { Ok(()) } else { Err("the ports are not open yet") } }
        }))
}

/// Waits for the database. Nothing if a stop was asked for meanwhile.
async fn internal_accounts(
    pool: &MySqlPool,
    shutdown: &Shutdown,
) -> anyhow::Result<Option<Arc<InternalAccounts>>> {
    let read = retry::until_stopped(
        "read the internal accounts",
        START_RETRY_CAP,
        shutdown,
        |error: &sqlx::Error| verdict(error) == Verdict::Away,
        || InternalAccounts::load(pool),
    );
    match read.await {
        Ok(internal) if internal.currencies().is_empty() => {
            anyhow::bail!("the database accounting has no internal accounts: run `wallet-api migrate`")
        }
        Ok(internal) => Ok(Some(Arc::new(internal))),
        Err(Ended::Stopped) => Ok(None),
        Err(Ended::Definite(error)) => {
            Err(anyhow::Error::new(error).context("read accounting.account (was `wallet-api migrate` run?)"))
        }
    }
}
