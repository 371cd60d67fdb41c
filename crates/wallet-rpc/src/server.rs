//! The answering side: an accept loop that stops with the daemon, a token check, and the handler behind it.

use std::{fmt, future::Future, io, sync::Arc, time::Duration};

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use volo::net::{conn::Conn, incoming::Incoming};
use volo_thrift::{
    ApplicationException, ApplicationExceptionKind, MaybeException, ServerError, context::ServerContext,
};

use crate::{
    error::{Denial, Refusal},
    generated::volo_gen::wallet as wire,
    grant::Grant,
};

/// A call whose service token was right.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// For the logs.
    pub request_id: &'a str,
    /// The app that signed a request.
    pub app_id: &'a str,
    /// The key it signed with.
    pub key_id: &'a str,
}

/// What wallet-api answers. Called only after the service token was found right.
pub trait MerchantAccess: Send + Sync + 'static {
    /// The grant behind an app's key.
    fn authenticate(&self, call: Call<'_>) -> impl Future<Output = Result<Grant, Refusal>> + Send;
}

/// Serves `MerchantAccess` on `listener` until `shutdown`, then lets running calls end (2 s, at most 30 s).
///
/// Callers must show `service_token`; it is compared in constant time. A panic of the handler is one failed call.
pub async fn serve<H: MerchantAccess>(
    listener: TcpListener,
    service_token: &SecretString,
    handler: H,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let guard = Guard { token: digest(service_token.expose_secret()), handler: Arc::new(handler) };
    wire::MerchantAccessServer::new(guard)
        .layer_front(volo::catch_panic::Layer::new(on_panic::<wire::MerchantAccessResponseSend>))
        .run(StoppableIncoming { listener, shutdown })
        .await
        .map_err(io::Error::other)
}

fn on_panic<Resp>(
    _context: &mut ServerContext,
    _payload: Box<dyn std::any::Any + Send>,
    panic: volo::catch_panic::PanicInfo,
) -> Result<Resp, ServerError> {
    tracing::error!(location = ?panic.location, message = %panic.message, "a thrift handler panicked");
    Err(internal("internal error".to_owned()))
}

fn internal(message: String) -> ServerError {
    ApplicationException::new(ApplicationExceptionKind::INTERNAL_ERROR, message).into()
}

/// Digests have one length, so the comparison tells nothing about the token's.
fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

struct Guard<H> {
    token: [u8; 32],
    handler: Arc<H>,
}

impl<H> Guard<H> {
    fn admits(&self, shown: &str) -> bool {
        digest(shown).ct_eq(&self.token).into()
    }
}

impl<H: MerchantAccess> wire::MerchantAccess for Guard<H> {
    async fn authenticate(
        &self,
        request: wire::AuthenticateRequest,
    ) -> Result<MaybeException<wire::Grant, wire::MerchantAccessAuthenticateException>, ServerError> {
        if !self.admits(&request.context.service_token) {
            return Ok(MaybeException::Exception(exception(Refusal::Denied {
                reason: Denial::BadServiceToken,
                message: "the service token is wrong: set the same rpc_token on both sides".to_owned(),
            })));
        }
        let call = Call {
            request_id: &request.context.request_id,
            app_id: &request.app_id,
            key_id: &request.key_id,
        };
        match self.handler.authenticate(call).await {
            Ok(grant) => wire::Grant::try_from(grant).map(MaybeException::Ok).map_err(internal),
            Err(refusal) => Ok(MaybeException::Exception(exception(refusal))),
        }
    }
}

fn exception(refusal: Refusal) -> wire::MerchantAccessAuthenticateException {
    match refusal {
        Refusal::Denied { reason, message } => {
            wire::MerchantAccessAuthenticateException::Denied(wire::AccessDenied {
                reason: reason.into(),
                message: message.into(),
            })
        }
        Refusal::Unavailable { message, retry_after } => {
            wire::MerchantAccessAuthenticateException::Unavailable(wire::Unavailable {
                message: message.into(),
                retry_after_ms: i32::try_from(retry_after.as_millis()).unwrap_or(i32::MAX),
            })
        }
    }
}

/// volo binds with SO_REUSEPORT and stops at the first accept error; this does neither, and ends with the daemon's token.
struct StoppableIncoming {
    listener: TcpListener,
    shutdown: CancellationToken,
}

impl fmt::Debug for StoppableIncoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.listener.local_addr())
    }
}

impl volo::net::incoming::MakeIncoming for StoppableIncoming {
    type Incoming = Self;
    async fn make_incoming(self) -> io::Result<Self> {
        Ok(self)
    }
}

impl Incoming for StoppableIncoming {
    async fn accept(&mut self) -> io::Result<Option<Conn>> {
        loop {
            let accepted = tokio::select! {
                () = self.shutdown.cancelled() => return Ok(None),
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    // small frames in both directions: waiting to fill a segment only adds latency
                    if let Err(error) = stream.set_nodelay(true) {
                        tracing::debug!(%error, "cannot set TCP_NODELAY on a thrift connection");
                    }
                    return Ok(Some(Conn::from(stream)));
                }
                Err(error) => {
                    // such as too many open files: it passes, and a closed port would not
                    tracing::warn!(%error, "cannot accept a thrift connection, trying again");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }
}
