//! Accept, answer, drain.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use http::StatusCode;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::Service;
use tracing::Instrument;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use super::HttpMetrics;
use crate::context::{self, RequestContext};
use crate::problem::{self, Problem};
use crate::raw_request::Peer;
use crate::request_id::{REQUEST_ID_HEADER, RequestId};
use crate::shutdown::Shutdown;

/// The routes of a listener; their rejections are turned into problems here.
pub type Routes = BoxedFilter<(Response,)>;

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {}: {hint}", source, hint = hint(source))]
pub struct ListenError {
    pub address: SocketAddr,
    pub source: io::Error,
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another process has the port; stop it or set another one in the configuration"
        }
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 need a privilege; set a higher one in the configuration"
        }
        io::ErrorKind::AddrNotAvailable => "no interface has this address; set one that this machine has",
        _ => "set another address in the configuration",
    }
}

/// An open listening socket. Bind before the start is reported, so that a taken port stops the start.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Port 0 takes a free one; [`Listener::address`] says which.
    pub async fn bind(address: SocketAddr) -> Result<Listener, ListenError> {
        let refused = |source| ListenError { address, source };
        let socket = TcpListener::bind(address).await.map_err(refused)?;
        let address = socket.local_addr().map_err(refused)?;
        Ok(Listener { socket, address })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Limits of a listener. `Options::default()` is right for a daemon.
#[derive(Clone, Debug)]
pub struct Options {
    /// Connections at a time; further ones wait in the kernel's queue.
    pub max_connections: usize,
    /// Time for a request's headers, the wait for the next request on an open connection included.
    pub header_read_timeout: Duration,
    /// Time for one answer, reading its body included; then 503.
    pub request_timeout: Duration,
    /// Time for the answers under way when a stop is asked for; then they are cut.
    pub drain_deadline: Duration,
    pub metrics: Option<HttpMetrics>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            max_connections: 1024,
            header_read_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            drain_deadline: Duration::from_secs(10),
            metrics: None,
        }
    }
}

/// Binds `listen` and serves `routes` with the default options until `shutdown`.
pub async fn serve(listen: SocketAddr, routes: Routes, shutdown: Shutdown) -> Result<(), ListenError> {
    serve_on(Listener::bind(listen).await?, routes, Options::default(), shutdown).await;
    Ok(())
}

/// Serves `routes` until `shutdown`, then drains and returns.
pub async fn serve_on(listener: Listener, routes: Routes, options: Options, shutdown: Shutdown) {
    let edge = Edge { routes, options: Arc::new(options) };
    let slots = Arc::new(Semaphore::new(edge.options.max_connections));
    let draining = GracefulShutdown::new();
    // cut what outlives the deadline: the connections' tasks end with this set
    let mut connections = tokio::task::JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let (stream, peer, slot) = tokio::select! {
            accepted = accept(&listener.socket, &slots) => accepted,
            () = shutdown.requested() => break,
        };
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(edge.options.header_read_timeout)
            .serve_connection(TokioIo::new(stream), edge.clone().service(peer));
        let watched = draining.watch(connection);
        connections.spawn(async move {
            if let Err(error) = watched.await {
                tracing::debug!(%peer, %error, "connection ended early");
            }
            drop(slot);
        });
    }
    drop(listener);
    if tokio::time::timeout(edge.options.drain_deadline, draining.shutdown()).await.is_err() {
        tracing::warn!(connections = connections.len(), "the drain deadline is over: cutting the rest");
    }
}

// returns only with a connection: errors of single ones (reset before accept, no file handles left) must not stop us
async fn accept(
    socket: &TcpListener,
    slots: &Arc<Semaphore>,
) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else {
            // the semaphore is never closed
            std::future::pending::<()>().await;
            continue;
        };
        match socket.accept().await {
            Ok((stream, peer)) => {
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%peer, %error, "cannot set TCP_NODELAY");
                }
                return (stream, peer, slot);
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

#[derive(Clone)]
struct Edge {
    routes: Routes,
    options: Arc<Options>,
}

impl Edge {
    fn service(
        self,
        peer: SocketAddr,
    ) -> impl hyper::service::Service<
        http::Request<Incoming>,
        Response = Response,
        Error = Infallible,
        Future: Send + 'static,
    > {
        service_fn(move |request| self.clone().answer(peer, request))
    }

    async fn answer(
        self,
        peer: SocketAddr,
        mut request: http::Request<Incoming>,
    ) -> Result<Response, Infallible> {
        let started = Instant::now();
        request.extensions_mut().insert(Peer(peer));
        let method = request.method().clone();
        let context = RequestContext::new(RequestId::accept(request.headers()), request.uri().path());
        let span = tracing::info_span!("request", request_id = %context.request_id());
        let mut response = context::scope(context.clone(), self.routed(request).instrument(span)).await;

        let headers = response.headers_mut();
        headers.insert(REQUEST_ID_HEADER, context.request_id().header_value());
        if let Some(rate) = context.rate() {
            rate.write_to(headers);
        }
        let (route, status, took) = (context.route(), response.status(), started.elapsed());
        if let Some(metrics) = &self.options.metrics {
            metrics.observe(route, &method, status, took);
        }
        let request_id = context.request_id();
        tracing::debug!(%request_id, %method, route, status = status.as_u16(), ?took, "answered");
        Ok(response)
    }

    async fn routed(&self, request: http::Request<Incoming>) -> Response {
        let mut service = warp::service(self.routes.clone().recover(problem::recover));
        // called inside the async block, so that a filter that panics at once is caught too
        let answer = AssertUnwindSafe(async move { service.call(request).await }).catch_unwind();
        match tokio::time::timeout(self.options.request_timeout, answer).await {
            Ok(Ok(Ok(response))) => response,
            // the panic hook has logged where and why
            Ok(Err(_panic)) => Problem::internal("a handler panicked").to_response(),
            Err(_elapsed) => {
                let detail =
                    "the request took too long and was given up; whether it had an effect is not known";
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, "request_timed_out", detail)
                    .retryable(Duration::from_secs(1))
                    .to_response()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::Notify;
    use warp::Reply;

    use super::*;

    async fn start(routes: Routes, options: Options) -> (SocketAddr, Shutdown, tokio::task::JoinHandle<()>) {
        let listener = Listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let (address, shutdown) = (listener.address(), Shutdown::manual());
        (address, shutdown.clone(), tokio::spawn(serve_on(listener, routes, options, shutdown)))
    }

    fn hello() -> Routes {
        warp::path!("hello").map(|| "hi".into_response()).boxed()
    }

    #[tokio::test]
    async fn every_answer_carries_the_request_id_and_an_error_repeats_it() {
        let boom = warp::path!("boom").map(|| -> Response { panic!("boom") });
        let routes = hello().or(boom).unify().boxed();
        let (address, ..) = start(routes, Options::default()).await;
        let get = |path: &str| {
            reqwest::Client::new().get(format!("http://{address}{path}")).header("x-request-id", "r-1")
        };
        for (path, status) in [("/hello", 200), ("/nothing", 404), ("/boom", 500)] {
            let response = get(path).send().await.unwrap();
            assert_eq!(response.status().as_u16(), status);
            assert_eq!(response.headers()["x-request-id"], "r-1");
            if status != 200 {
                let body: serde_json::Value = response.json().await.unwrap();
                assert_eq!((&body["request_id"], &body["instance"]), (&"r-1".into(), &path.into()));
            }
        }
    }

    #[tokio::test]
    async fn a_stop_lets_the_answer_under_way_finish_and_takes_no_new_connection() {
        let (entered, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (in_handler, released) = (entered.clone(), go_on.clone());
        let slow = warp::path!("slow").then(move || {
            let (in_handler, released) = (in_handler.clone(), released.clone());
            async move {
                in_handler.notify_one();
                released.notified().await;
                "done".into_response()
            }
        });
        let (address, shutdown, server) = start(slow.boxed(), Options::default()).await;
        let answer = tokio::spawn(reqwest::get(format!("http://{address}/slow")));
        entered.notified().await;
        shutdown.request();
        while tokio::net::TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
        assert!(!server.is_finished());
        go_on.notify_one();
        assert_eq!(answer.await.unwrap().unwrap().text().await.unwrap(), "done");
        server.await.unwrap();
    }

    #[tokio::test]
    async fn the_drain_deadline_cuts_a_handler_that_never_ends() {
        let dropped = Arc::new(AtomicBool::new(false));
        struct OnDrop(Arc<AtomicBool>);
        impl Drop for OnDrop {
            fn drop(&mut self) {
                self.0.store(true, Ordering::SeqCst);
            }
        }
        let (entered, seen) = (Arc::new(Notify::new()), dropped.clone());
        let in_handler = entered.clone();
        let stuck = warp::path!("stuck").then(move || {
            let (in_handler, guard) = (in_handler.clone(), OnDrop(seen.clone()));
            async move {
                let _guard = guard;
                in_handler.notify_one();
                std::future::pending::<Response>().await
            }
        });
        let options = Options { drain_deadline: Duration::from_millis(50), ..Options::default() };
        let (address, shutdown, server) = start(stuck.boxed(), options).await;
        let answer = tokio::spawn(reqwest::get(format!("http://{address}/stuck")));
        entered.notified().await;
        shutdown.request();
        server.await.unwrap();
        assert!(answer.await.unwrap().is_err());
        assert!(dropped.load(Ordering::SeqCst));
    }

    #[tokio::test]
    async fn a_silent_client_is_let_go_and_its_slot_is_free_again() {
        let options = Options {
            max_connections: 1,
            header_read_timeout: Duration::from_millis(100),
            ..Options::default()
        };
        let (address, ..) = start(hello(), options).await;
        for sent in [&b""[..], b"GET /hello HT"] {
            let mut silent = TcpStream::connect(address).await.unwrap();
            silent.write_all(sent).await.unwrap();
            let mut rest = Vec::new();
            tokio::time::timeout(Duration::from_secs(10), silent.read_to_end(&mut rest))
                .await
                .unwrap()
                .unwrap();
            assert_eq!(reqwest::get(format!("http://{address}/hello")).await.unwrap().status(), 200);
        }
    }

    #[tokio::test]
    async fn a_handler_that_takes_too_long_is_a_retryable_503() {
        let stuck = warp::path!("stuck").then(std::future::pending::<Response>).boxed();
        let options = Options { request_timeout: Duration::from_millis(50), ..Options::default() };
        let (address, ..) = start(stuck, options).await;
        let response = reqwest::get(format!("http://{address}/stuck")).await.unwrap();
        assert_eq!(
            (response.status().as_u16(), &response.headers()["retry-after"]),
            (503, &"1".parse().unwrap())
        );
    }

    #[tokio::test]
    async fn a_taken_port_is_named_with_what_to_do() {
        let first = Listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let error = Listener::bind(first.address()).await.unwrap_err().to_string();
        assert!(error.contains(&first.address().to_string()) && error.contains("another process"), "{error}");
    }
}
