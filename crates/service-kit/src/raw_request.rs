//! A request as it came over the wire: what a signature covers. Nothing in it is decoded or re-serialised.

use std::net::{IpAddr, SocketAddr};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures::{Stream, StreamExt};
use http::{HeaderMap, Method, StatusCode};
use warp::path::FullPath;
use warp::{Filter, Rejection};

use crate::problem::Problem;

/// Largest body of a route that does not ask for another limit, in bytes.
pub const DEFAULT_BODY_LIMIT: usize = 64 * 1024;

/// The address at the other end of the connection; the HTTP edge puts it into every request's extensions.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// Method, target, headers and body bytes exactly as received.
#[derive(Clone, Debug)]
pub struct RawRequest {
    pub method: Method,
    /// The path without its query, still percent-encoded.
    pub path: String,
    /// What follows the `?`, still percent-encoded; `Some("")` for a bare `?`.
    pub query: Option<String>,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub peer: Option<IpAddr>,
}

impl RawRequest {
    /// `PATH[?QUERY]`, the second line of the canonical string.
    pub fn target(&self) -> String {
        match &self.query {
            Some(query) => format!("{}?{query}", self.path),
            None => self.path.clone(),
        }
    }
}

/// Extracts the whole request, with a body of at most `body_limit` bytes (else 413). Put it after path and method.
pub fn raw_request(body_limit: usize) -> impl Filter<Extract = (RawRequest,), Error = Rejection> + Clone {
    let query = warp::query::raw().map(Some).or(warp::any().map(|| None)).unify();
    warp::method()
        .and(warp::path::full())
        .and(query)
        .and(warp::header::headers_cloned())
        .and(warp::ext::optional::<Peer>())
        .and(warp::body::stream())
        .and_then(move |method, path: FullPath, query, headers, peer: Option<Peer>, body| async move {
            let body = read(body, body_limit).await?;
            let peer = peer.map(|Peer(address)| address.ip().to_canonical());
            Ok::<_, Rejection>(RawRequest {
                method,
                path: path.as_str().to_owned(),
                query,
                headers,
                body,
                peer,
            })
        })
}

async fn read<B: Buf>(
    body: impl Stream<Item = Result<B, warp::Error>>,
    limit: usize,
) -> Result<Bytes, Problem> {
    let mut body = std::pin::pin!(body);
    let mut bytes = BytesMut::new();
    while let Some(piece) = body.next().await {
        let piece = piece
            .map_err(|_| Problem::bad_request("body_incomplete", "the connection ended inside the body"))?;
        if bytes.len() + piece.remaining() > limit {
            let detail = format!("the body is larger than the {limit} bytes this route takes");
            return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail));
        }
        bytes.put(piece);
    }
    Ok(bytes.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_target_is_kept_byte_for_byte() {
        for target in ["/v1/bills", "/v1/bills?", "/v1/bills?from=%2B1&to=a+b", "/a%2Fb?x=%E4%BD%A0&&"] {
            let request = warp::test::request().path(target).filter(&raw_request(8)).await.unwrap();
            assert_eq!(request.target(), target);
        }
    }

    #[tokio::test]
    async fn a_body_up_to_the_limit_is_read_and_one_byte_more_is_413() {
        let four = raw_request(4);
        let read = |body: &'static str| warp::test::request().method("POST").body(body).filter(&four);
        assert_eq!(read("1234").await.unwrap().body.as_ref(), b"1234");
        let rejection = read("12345").await.unwrap_err();
        assert_eq!(rejection.find::<Problem>().unwrap().status(), 413);
    }
}
