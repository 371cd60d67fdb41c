//! The admin port of every daemon: `/livez`, `/readyz` and `/metrics`, and `/` where it has a status page.
//!
//! It goes on answering while the daemon drains, with `/readyz` false, so that a balancer sees the end coming.

use std::borrow::Cow;
use std::fmt::Display;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use http::{HeaderValue, StatusCode, header};
use prometheus::{Encoder, Registry, TextEncoder};
use serde::Serialize;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::DropGuard;
use warp::reply::{Reply, Response};
use warp::{Filter, filters::BoxedFilter};

use crate::http::{ListenError, Listener, Options, serve_on};
use crate::problem::Problem;
use crate::shutdown::Shutdown;
pub use crate::status_page::StatusPage;

/// How long one check may take.
const CHECK_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a readiness report is good for: probing often must not load the dependencies.
const REPORT_LIFE: Duration = Duration::from_secs(1);

/// Answers a note to show beside the dependency, if there is one, or what is wrong.
type Check =
    Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<Option<String>, String>> + Send>> + Send + Sync>;

/// A dependency's name and how to ask it.
#[derive(Clone)]
pub struct Probe {
    name: Cow<'static, str>,
    /// Whether the daemon is not ready without it.
    required: bool,
    note: Option<String>,
    check: Check,
}

impl Probe {
    /// A dependency without which the daemon is not ready. A check that takes longer than 1 s counts as failed.
    pub fn new<C, Fut, E>(name: &'static str, check: C) -> Probe
    where
        C: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Display,
    {
        let check: Check = Arc::new(move || {
            let answer = check();
            Box::pin(async move { answer.await.map(|()| None).map_err(|error| error.to_string()) })
        });
        Probe { name: name.into(), required: true, note: None, check }
    }

    /// As [`Probe::new`], for something whose good state has more than one name, such as `standby`: the check answers it as the note.
    pub fn telling<C, E>(name: impl Into<Cow<'static, str>>, check: C) -> Probe
    where
        C: Fn() -> Result<String, E> + Send + Sync + 'static,
        E: Display,
    {
        let check: Check = Arc::new(move || {
            let answer = check().map(Some).map_err(|error| error.to_string());
            Box::pin(std::future::ready(answer))
        });
        Probe { name: name.into(), required: true, note: None, check }
    }

    /// Only reported: the daemon stays ready without it.
    #[must_use]
    pub fn optional(mut self) -> Probe {
        self.required = false;
        self
    }

    /// A fact about the set-up that readiness should show, such as "no index is configured: searches go to the store".
    pub fn note(name: &'static str, note: impl Into<String>) -> Probe {
        Probe { note: Some(note.into()), ..Probe::new(name, || async { Ok::<_, String>(()) }) }
    }
}

/// The dependencies of a daemon.
#[derive(Clone, Default)]
pub struct Probes(Vec<Probe>);

impl Probes {
    pub fn new() -> Probes {
        Probes::default()
    }

    #[must_use]
    pub fn with(mut self, probe: Probe) -> Probes {
        self.0.push(probe);
        self
    }
}

#[derive(Clone, Debug, Serialize)]
struct Report {
    ready: bool,
    draining: bool,
    dependencies: Vec<Dependency>,
}

#[derive(Clone, Debug, Serialize)]
struct Dependency {
    name: Cow<'static, str>,
    ok: bool,
    required: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// The admin port's life: it answers until this is dropped.
#[must_use = "the admin port closes when this is dropped"]
#[derive(Debug)]
pub struct AdminServer {
    address: SocketAddr,
    _stop: DropGuard,
}

impl AdminServer {
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Opens the admin port and answers in the background. `shutdown` only turns `/readyz` to false: keep the returned
/// value until the daemon has drained.
pub async fn serve(
    listen: SocketAddr,
    probes: Probes,
    registry: Registry,
    shutdown: Shutdown,
) -> Result<AdminServer, ListenError> {
    serve_routes(listen, routes(probes, registry, shutdown)).await
}

/// As [`serve`], with a status page at `/`.
pub async fn serve_with_page(
    listen: SocketAddr,
    probes: Probes,
    registry: Registry,
    page: StatusPage,
    shutdown: Shutdown,
) -> Result<AdminServer, ListenError> {
    serve_routes(listen, routes(probes, registry, shutdown).or(page.routes()).unify().boxed()).await
}

async fn serve_routes(
    listen: SocketAddr,
    routes: BoxedFilter<(Response,)>,
) -> Result<AdminServer, ListenError> {
    let listener = Listener::bind(listen).await?;
    let address = listener.address();
    let stop = Shutdown::manual();
    let options =
        Options { max_connections: 64, drain_deadline: Duration::from_millis(200), ..Options::default() };
    tokio::spawn(serve_on(listener, routes, options, stop.clone()));
    tracing::info!(%address, "admin port is open");
    Ok(AdminServer { address, _stop: stop.token().clone().drop_guard() })
}

fn routes(probes: Probes, registry: Registry, shutdown: Shutdown) -> BoxedFilter<(Response,)> {
    let live = warp::path!("livez").and(warp::get()).map(|| "ok\n".into_response());
    let readiness = Arc::new(Readiness { probes, shutdown, last: Mutex::new(None) });
    let ready = warp::path!("readyz").and(warp::get()).then(move || {
        let readiness = readiness.clone();
        async move { readiness.report().await.into_response() }
    });
    let metrics = warp::path!("metrics").and(warp::get()).map(move || render(&registry));
    live.or(ready).unify().or(metrics).unify().boxed()
}

impl Reply for Report {
    fn into_response(self) -> Response {
        let status = if self.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        warp::reply::with_status(warp::reply::json(&self), status).into_response()
    }
}

fn render(registry: &Registry) -> Response {
    let (encoder, mut text) = (TextEncoder::new(), Vec::new());
    if let Err(error) = encoder.encode(&registry.gather(), &mut text) {
        return Problem::internal(&error).to_response();
    }
    let mut response = Response::new(text.into());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(prometheus::TEXT_FORMAT));
    response
}

struct Readiness {
    probes: Probes,
    shutdown: Shutdown,
    last: Mutex<Option<(Instant, Vec<Dependency>)>>,
}

impl Readiness {
    async fn report(&self) -> Report {
        let dependencies = self.dependencies().await;
        let draining = self.shutdown.is_requested();
        let ready = !draining && dependencies.iter().all(|dependency| dependency.ok || !dependency.required);
        Report { ready, draining, dependencies }
    }

    async fn dependencies(&self) -> Vec<Dependency> {
        // held over the checks on purpose: whoever comes meanwhile gets the same report and asks nobody again
        let mut last = self.last.lock().await;
        match &*last {
            Some((at, report)) if at.elapsed() < REPORT_LIFE => report.clone(),
            _ => {
                let report = join_all(self.probes.0.iter().map(check)).await;
                *last = Some((Instant::now(), report.clone()));
                report
            }
        }
    }
}

async fn check(probe: &Probe) -> Dependency {
    let answer = match tokio::time::timeout(CHECK_TIMEOUT, (probe.check)()).await {
        Ok(result) => result,
        Err(_elapsed) => Err("no answer within 1 s".to_owned()),
    };
    let Probe { name, required, note, .. } = probe.clone();
    match answer {
        Ok(told) => Dependency { name, ok: true, required, note: told.or(note), error: None },
        Err(error) => Dependency { name, ok: false, required, note, error: Some(error) },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use serde_json::{Value, json};

    use super::*;

    async fn ready(routes: &BoxedFilter<(Response,)>) -> (u16, Value) {
        let response = warp::test::request().path("/readyz").reply(routes).await;
        (response.status().as_u16(), serde_json::from_slice(response.body()).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn readiness_names_each_dependency_and_is_false_while_draining() {
        let probes = Probes::new()
            .with(Probe::new("store", || async { Ok::<_, String>(()) }))
            .with(Probe::new("redis", || async { Err("connection refused") }).optional())
            .with(Probe::note("index", "not configured"))
            .with(Probe::telling("source a", || Ok::<_, String>("standby".to_owned())));
        let shutdown = Shutdown::manual();
        let routes = routes(probes, Registry::new(), shutdown.clone());
        let (status, body) = ready(&routes).await;
        assert_eq!(status, 200);
        assert_eq!(
            body["dependencies"],
            json!([
                { "name": "store", "ok": true, "required": true },
                { "name": "redis", "ok": false, "required": false, "error": "connection refused" },
                { "name": "index", "ok": true, "required": true, "note": "not configured" },
                { "name": "source a", "ok": true, "required": true, "note": "standby" },
            ])
        );
        shutdown.request();
        let (status, body) = ready(&routes).await;
        assert_eq!((status, &body["draining"]), (503, &json!(true)));
        let live = warp::test::request().path("/livez").reply(&routes).await;
        assert_eq!(live.status(), 200);
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_is_cut_after_a_second_and_asked_again_only_after_another() {
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = asked.clone();
        let hangs = Probe::new("store", move || {
            counter.fetch_add(1, Ordering::SeqCst);
            std::future::pending::<Result<(), String>>()
        });
        let routes = routes(Probes::new().with(hangs), Registry::new(), Shutdown::manual());
        let before = Instant::now();
        let (status, body) = ready(&routes).await;
        assert_eq!((status, &body["dependencies"][0]["error"]), (503, &json!("no answer within 1 s")));
        assert_eq!(before.elapsed().as_secs(), 1);
        ready(&routes).await;
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        tokio::time::advance(REPORT_LIFE).await;
        ready(&routes).await;
        assert_eq!(asked.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn the_port_shows_metrics_and_closes_with_its_guard() {
        let registry = Registry::new();
        let counter = prometheus::IntCounter::new("rows_total", "rows").unwrap();
        registry.register(Box::new(counter.clone())).unwrap();
        counter.inc();
        let admin =
            serve(([127, 0, 0, 1], 0).into(), Probes::new(), registry, Shutdown::manual()).await.unwrap();
        let address = admin.address();
        let text = reqwest::get(format!("http://{address}/metrics")).await.unwrap().text().await.unwrap();
        assert!(text.contains("rows_total 1"), "{text}");
        drop(admin);
        while tokio::net::TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    }
}
