//! The daemon: checks first, then one thread per role, until a stop or the first error.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, anyhow};
use pipeline_config::Config;
use service_kit::{
    Shutdown,
    admin::{self, Probe, Probes},
    process, retry,
};
use sqlx::MySqlPool;
use tokio::{runtime::Handle, sync::mpsc};

use crate::{
    kafka,
    mapping::{Mapper, TableShapes, validate},
    metrics::Metrics,
    mysql::{self, MySqlError},
    quarantine, router,
    sink::{Sink, elasticsearch::BillIndex, mysql::BillStore},
    writer,
};

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Role {
    /// Stage 1 to stage 2.
    Router,
    /// Stage 2 to the sinks.
    Writer,
    /// Both.
    All,
}

/// Where a thread's end is reported.
type Ends = mpsc::UnboundedSender<anyhow::Result<()>>;

/// Runs the roles until a stop is asked for or one of them cannot go on.
pub async fn run(config: &Config, role: Role, shutdown: Shutdown) -> anyhow::Result<()> {
    let metrics = Metrics::new().context("register the metrics")?;
    let shapes = if role == Role::Writer { TableShapes::new() } else { shapes(config, &shutdown).await? };
    let mapper = Arc::new(Mapper::new(&config.pipelines, &shapes));
    let sinks = if role == Role::Router { None } else { Some(Sinks::open(config).await?) };
    kafka::ensure_topics(config).await?;
    let probes = probes(config, sinks.as_ref());
    let admin =
        admin::serve(config.sync_worker.admin_listen, probes, metrics.registry.clone(), shutdown.clone())
            .await
            .context("open the admin port")?;

    // a role that fails takes the others with it, in order, so that the end is seen
    let stop = shutdown.child();
    let (ends, mut ended) = mpsc::unbounded_channel();
    if role != Role::Writer {
        for source in &config.sources {
            let (kafka, source) = (config.kafka.clone(), source.clone());
            let (mapper, metrics) = (Arc::clone(&mapper), metrics.clone());
            let settings = router::Settings { kafka, source, mapper, metrics };
            let name = format!("router-{}", settings.source.name);
            let stop = stop.clone();
            thread(&ends, name, move || Ok(router::run(&settings, &stop)?))?;
        }
    }
    if let Some(sinks) = sinks {
        let settings = writer::Settings {
            kafka: config.kafka.clone(),
            max_records: config.sync_worker.batch_max_records,
            max_wait: config.sync_worker.batch_max_wait,
            metrics: metrics.clone(),
        };
        let keeper = quarantine::Settings {
            kafka: config.kafka.clone(),
            store: sinks.store.clone(),
            metrics: metrics.clone(),
        };
        let (runtime, keeper_stop) = (Handle::current(), stop.clone());
        thread(&ends, "quarantine".to_owned(), move || {
            Ok(quarantine::run(&keeper, &runtime, &keeper_stop)?)
        })?;
        writer_thread(&ends, BillStore::new(sinks.store), &settings, &stop)?;
        if let Some(index) = sinks.index {
            writer_thread(&ends, index, &settings, &stop)?;
        }
    }
    drop(ends);
    tracing::info!(admin = %admin.address(), ?role, "ready");
    let mut result = Ok(());
    while let Some(end) = ended.recv().await {
        stop.request();
        result = result.and(end);
    }
    result
}

fn writer_thread<S: Sink>(
    ends: &Ends,
    sink: S,
    settings: &writer::Settings,
    stop: &Shutdown,
) -> anyhow::Result<()> {
    let (settings, stop, runtime) = (settings.clone(), stop.clone(), Handle::current());
    thread(ends, sink.group().to_owned(), move || Ok(writer::run(sink, &settings, runtime, &stop)?))
}

fn thread(
    ends: &Ends,
    name: String,
    body: impl FnOnce() -> anyhow::Result<()> + Send + 'static,
) -> anyhow::Result<()> {
    let ends = ends.clone();
    let role = name.clone();
    let spawned = std::thread::Builder::new().name(name).spawn(move || {
        let end = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
        // the receiver is gone only when the daemon has ended already
        let _ = ends.send(end.unwrap_or_else(|_| Err(anyhow!("{role} panicked: this is a bug"))));
    });
    spawned.context("start a thread").map(drop)
}

/// The sources' tables, checked against the mapping. A source that is away is waited for; a mapping that does not fit is not.
async fn shapes(config: &Config, shutdown: &Shutdown) -> anyhow::Result<TableShapes> {
    let away = |error: &MySqlError| matches!(error, MySqlError::Failed { away: true, .. });
    let read = || mysql::live_shapes(config);
    let cap = Duration::from_secs(5);
    let shapes = match retry::until_stopped("read the tables of the sources", cap, shutdown, away, read).await
    {
        Ok(shapes) => shapes,
        Err(retry::Ended::Stopped) => return Err(anyhow!("stopped before the sources answered")),
        Err(retry::Ended::Definite(error)) => return Err(definite(error)),
    };
    fits(config, &shapes)?;
    Ok(shapes)
}

/// Every misfit of the mapping on one line.
fn fits(config: &Config, shapes: &TableShapes) -> anyhow::Result<()> {
    let errors = validate::check(&config.pipelines, shapes);
    if errors.is_empty() {
        return Ok(());
    }
    let misfits: Vec<String> = errors.iter().map(ToString::to_string).collect();
    Err(process::usage(anyhow!(misfits.join("; "))))
}

/// A missing secret is a matter of configuration, all else is not.
fn definite(error: MySqlError) -> anyhow::Error {
    if matches!(error, MySqlError::Secret(_)) { process::usage(error) } else { error.into() }
}

struct Sinks {
    store: MySqlPool,
    index: Option<BillIndex>,
}

impl Sinks {
    /// A sink that is away does not keep the other from starting (G9); one that is not set up does.
    async fn open(config: &Config) -> anyhow::Result<Self> {
        let store = mysql::store_pool(&config.store).map_err(definite)?;
        match mysql::check_store(&store, &config.store).await {
            Ok(()) => {}
            Err(error @ MySqlError::Failed { away: true, .. }) => {
                tracing::warn!(%error, "starting without it")
            }
            Err(error) => return Err(definite(error)),
        }
        let index = match &config.index {
            None => None,
            Some(index) => Some(BillIndex::new(index).map_err(process::usage)?),
        };
        if let Some(index) = &index {
            match index.check().await {
                Ok(_) => {}
                Err(error) if error.is_away() => tracing::warn!(%error, "starting without it"),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Self { store, index })
    }
}

fn probes(config: &Config, sinks: Option<&Sinks>) -> Probes {
    let broker = config.kafka.clone();
    let mut probes = Probes::new().with(Probe::new("kafka", move || kafka::ping(broker.clone())));
    let Some(sinks) = sinks else { return probes };
    let (pool, store) = (sinks.store.clone(), config.store.clone());
    probes = probes.with(Probe::new("store", move || {
        let (pool, store) = (pool.clone(), store.clone());
        async move { mysql::check_store(&pool, &store).await }
    }));
    match sinks.index.clone() {
        Some(index) => probes.with(Probe::new("index", move || {
            let index = index.clone();
            async move { index.check().await.map(drop) }
        })),
        None => probes
            .with(Probe::note("index", "no [index] is configured: bills are written to the store alone")),
    }
}

/// Everything that `run` checks before it starts.
pub async fn check(config: &Config) -> anyhow::Result<()> {
    let live = mysql::live_shapes(config).await.map_err(definite)?;
    fits(config, &live)?;
    say(&format!("mapping: {} pipelines fit their tables", config.pipelines.len()));
    kafka::ensure_topics(config).await?;
    say(&format!("kafka: {} answers, topics are there", config.kafka.brokers));
    let store = mysql::store_pool(&config.store).map_err(definite)?;
    mysql::check_store(&store, &config.store).await?;
    say("store: its tables are there");
    let open = quarantine::count_open(&store).await.context("ask the store for the quarantine")?;
    say(&format!("quarantine: {open} set aside"));
    match &config.index {
        None => say("index: none is configured"),
        Some(index) => {
            let index = BillIndex::new(index).map_err(process::usage)?;
            let behind = index.check().await?;
            say(&format!("index: alias {} stands on {behind}", index.alias()));
        }
    }
    Ok(())
}

/// Bill store and bill index.
pub async fn migrate(config: &Config) -> anyhow::Result<()> {
    mysql::migrate_store(&config.store).await.map_err(definite)?;
    say("store: up to date");
    match &config.index {
        None => say("index: none is configured"),
        Some(index) => {
            let done = BillIndex::new(index).map_err(process::usage)?.migrate().await?;
            say(&format!("index: {done}"));
        }
    }
    Ok(())
}

fn say(line: &str) {
    println!("{line}");
}
