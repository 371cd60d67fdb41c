//! The demo: start everything, move money, show a merchant's bills, compare every bill with the books.

mod proof;
mod show;

use anyhow::Context;
use clap::Parser;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use it_tests::{
    harness::{Daemon, Deployment, Stack, StackSpec},
    workload::{Latencies, Payments, Platform, Visibility},
};
use sqlx::MySqlPool;
use std::{
    io::IsTerminal,
    path::PathBuf,
    time::{Duration, Instant},
};

/// The whole system at work: real parts, all daemons, live payments, and a proof at the end.
#[derive(Debug, Parser)]
#[command(
    name = "demo",
    after_help = "exit codes: 0 all bills agree, 1 something failed, 2 bills differ, 130 interrupted"
)]
pub(crate) struct Options {
    /// Where data, configuration and logs go
    #[arg(long, default_value = ".run/demo")]
    run_dir: PathBuf,
    /// Leave everything running at the end, until Ctrl-C, and print how to use it
    #[arg(long)]
    keep: bool,
    /// Payments to make
    #[arg(long, default_value_t = 2_000)]
    payments: usize,
    /// Payments a second
    #[arg(long, default_value_t = 100)]
    rate: u32,
    /// Merchants to let in
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(2..))]
    merchants: u16,
}

/// What the comparison found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Every bill agrees in all three places.
    Agree,
    /// Some do not.
    Differ,
}

/// How long bills may take to become visible after the last payment.
const VISIBLE_DEADLINE: Duration = Duration::from_secs(60);

/// Runs the demo. Everything started here ends with this process, however it ends.
pub(crate) fn run(options: &Options) -> anyhow::Result<Verdict> {
    let spec = StackSpec::in_dir(std::path::absolute(&options.run_dir)?);
    let stack = step("start MariaDB, Redis, Kafka and Elasticsearch on free loopback ports", || {
        Stack::start(if options.keep { spec.keep() } else { spec })
    })?;
    let deployment = Deployment::new(&stack, "services")?;
    step("create databases, index and topics", || deployment.migrate())?;
    let daemons = step("start databus, sync-worker, wallet-api and bill-api", || start(&deployment))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let verdict = runtime.block_on(async {
        tokio::select! {
            verdict = act(options, &stack, &deployment) => verdict,
            _ = tokio::signal::ctrl_c() => {
                eprintln!("interrupted: stopping what was started");
                // the parts and daemons end with this process
                std::process::exit(130)
            }
        }
    })?;
    drop(daemons);
    Ok(verdict)
}

fn start(deployment: &Deployment) -> anyhow::Result<Vec<Daemon>> {
    // wallet-api first: bill-api asks it who is calling
    Ok(vec![
        deployment.wallet_api()?,
        deployment.databus()?,
        deployment.sync_worker()?,
        deployment.bill_api()?,
    ])
}

async fn act(options: &Options, stack: &Stack, deployment: &Deployment) -> anyhow::Result<Verdict> {
    let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30)).build()?;
    let platform = Platform::new(http.clone(), &deployment.wallet_url(), &stack.secrets().wallet_admin_token);
    let apps = platform.onboard(usize::from(options.merchants)).await.context("onboard merchants")?;
    eprintln!("ok  onboard {} merchants, one app each", apps.len());

    let store = MySqlPool::connect(&stack.mariadb()?.url("bills", "bills")?).await?;
    let visibility = Visibility::watch(store, http.clone(), &stack.elasticsearch_url()?, "bills")?;
    let bar = progress(options.payments as u64);
    let (observe, counted) = (visibility.observer(), bar.clone());
    let plan = Payments { count: options.payments, per_second: options.rate };
    let started = Instant::now();
    let made = plan
        .run(&http, &deployment.wallet_url(), &apps, move |paid| {
            observe(paid);
            counted.inc(1);
        })
        .await
        .context("make payments")?;
    bar.finish_and_clear();
    let seconds = started.elapsed().as_secs_f64();
    eprintln!("ok  {made} signed payments in {seconds:.1} s ({:.0} a second)", made as f64 / seconds);
    let (in_store, in_index) = visibility.finish(VISIBLE_DEADLINE).await?;
    eprintln!("ok  every bill is visible");

    if let Some(app) = apps.first() {
        show::bills(&http, deployment, app).await?;
    }
    show::timing(in_store, in_index);
    let proof = proof::compare(deployment).await?;
    println!("{}", last_line(made, &proof, in_store, in_index));
    if options.keep {
        show::how_to_use(stack, deployment, apps.first())?;
        tokio::signal::ctrl_c().await?;
        eprintln!("stopping what was started");
    }
    Ok(if proof.agrees() { Verdict::Agree } else { Verdict::Differ })
}

fn last_line(payments: usize, proof: &proof::Proof, store: Latencies, index: Latencies) -> String {
    format!(
        "demo: payments={payments} expected={} store={} index={} differences={} store_p50_ms={:.1} store_p99_ms={:.1} index_p50_ms={:.1} index_p99_ms={:.1}",
        proof.expected,
        proof.store,
        proof.index,
        proof.differences,
        store.p50_ms,
        store.p99_ms,
        index.p50_ms,
        index.p99_ms
    )
}

fn progress(total: u64) -> ProgressBar {
    let bar = ProgressBar::new(total);
    if !std::io::stderr().is_terminal() {
        bar.set_draw_target(ProgressDrawTarget::hidden());
        eprintln!("... make {total} signed payments");
    }
    if let Ok(style) = ProgressStyle::with_template("    payments {bar:40} {pos}/{len} {per_sec} {elapsed}") {
        bar.set_style(style);
    }
    bar
}

fn step<T>(what: &str, work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    eprintln!("... {what}");
    let started = Instant::now();
    let result = work().with_context(|| what.to_owned())?;
    eprintln!("ok  {what} ({:.1} s)", started.elapsed().as_secs_f32());
    Ok(result)
}
