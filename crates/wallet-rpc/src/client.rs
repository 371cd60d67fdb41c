//! The calling side: one shared client with a connection pool.

use std::{fmt, io, time::Duration};

use secrecy::{ExposeSecret, SecretString};
use volo_thrift::{ClientError, MaybeException, transport::pool};

use crate::{
    error::{Refusal, RpcError},
    generated::volo_gen::wallet as wire,
    grant::Grant,
};

/// How to reach wallet-api's Thrift port.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// `host:port`; resolved once, when the client is made.
    pub address: String,
    /// What the server's `rpc_token` must equal.
    pub service_token: SecretString,
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// Longest wait for one answer, connecting included.
    pub rpc_timeout: Duration,
    /// Idle connections kept.
    pub idle_connections: usize,
    /// How long an idle connection is kept.
    pub idle_timeout: Duration,
}

impl ClientSettings {
    /// Settings for a server nearby: 500 ms to connect, 1 s to answer, 32 idle connections for 15 s.
    pub fn new(address: impl Into<String>, service_token: SecretString) -> Self {
        Self {
            address: address.into(),
            service_token,
            connect_timeout: Duration::from_millis(500),
            rpc_timeout: Duration::from_secs(1),
            idle_connections: 32,
            idle_timeout: Duration::from_secs(15),
        }
    }
}

/// A client of `MerchantAccess`. Cheap to clone; clones share the pool.
#[derive(Clone)]
pub struct Client {
    inner: wire::MerchantAccessClient,
    settings: ClientSettings,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Client {
    /// Resolves the address and makes the client. Does not connect: the first call does.
    pub async fn new(settings: ClientSettings) -> Result<Self, RpcError> {
        let unreachable = |cause: String| RpcError::Unreachable { address: settings.address.clone(), cause };
        let target = tokio::net::lookup_host(&settings.address)
            .await
            .map_err(|e| unreachable(e.to_string()))?
            .next()
            .ok_or_else(|| unreachable("the name has no address".to_owned()))?;
        let inner = wire::MerchantAccessClientBuilder::new("MerchantAccess")
            .address(target)
            .connect_timeout(Some(settings.connect_timeout))
            // ours is around the whole call: volo's own timeout error is a text with its internals
            .rpc_timeout(None)
            .pool_config(pool::Config::new(settings.idle_connections, settings.idle_timeout))
            .build();
        Ok(Self { inner, settings })
    }

    /// The grant behind an app's key. `request_id` joins both sides' logs.
    ///
    /// A call on a pooled connection that broke meanwhile is repeated once on a new one, within the same timeout.
    pub async fn authenticate(
        &self,
        request_id: &str,
        app_id: &str,
        key_id: &str,
    ) -> Result<Grant, RpcError> {
        let waited = self.settings.rpc_timeout;
        let answer = tokio::time::timeout(waited, async {
            match self.call(request_id, app_id, key_id).await {
                Err(ClientError::Transport(e)) if connection_broke(e.kind()) => {
                    self.call(request_id, app_id, key_id).await
                }
                answer => answer,
            }
        })
        .await
        .map_err(|_| RpcError::Timeout { address: self.settings.address.clone(), waited })?;
        match answer {
            Ok(MaybeException::Ok(grant)) => Grant::try_from(grant).map_err(|cause| self.contract(cause)),
            Ok(MaybeException::Exception(exception)) => Err(refusal(exception).into()),
            Err(error) => Err(self.error(error)),
        }
    }

    async fn call(
        &self,
        request_id: &str,
        app_id: &str,
        key_id: &str,
    ) -> Result<MaybeException<wire::Grant, wire::MerchantAccessAuthenticateException>, ClientError> {
        self.inner
            .authenticate(wire::AuthenticateRequest {
                context: wire::CallContext {
                    request_id: request_id.to_owned().into(),
                    service_token: self.settings.service_token.expose_secret().to_owned().into(),
                },
                app_id: app_id.to_owned().into(),
                key_id: key_id.to_owned().into(),
            })
            .await
    }

    /// volo's texts carry its whole call state, so only the kind of a transport error is kept.
    fn error(&self, error: ClientError) -> RpcError {
        let address = self.settings.address.clone();
        match error {
            ClientError::Transport(e) if e.kind() == io::ErrorKind::TimedOut => {
                RpcError::Timeout { address, waited: self.settings.connect_timeout }
            }
            ClientError::Transport(e) => RpcError::Unreachable { address, cause: e.kind().to_string() },
            ClientError::Application(e) => {
                self.contract(format!("application exception of kind {:?}", e.kind()))
            }
            ClientError::Protocol(e) => self.contract(format!("protocol error of kind {:?}", e.kind())),
            ClientError::Biz(e) => self.contract(format!("undeclared error {}", e.status_code)),
        }
    }

    fn contract(&self, cause: String) -> RpcError {
        RpcError::Contract { address: self.settings.address.clone(), cause }
    }
}

fn connection_broke(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
    )
}

fn refusal(exception: wire::MerchantAccessAuthenticateException) -> Refusal {
    match exception {
        wire::MerchantAccessAuthenticateException::Denied(e) => {
            Refusal::Denied { reason: e.reason.into(), message: e.message.to_string() }
        }
        wire::MerchantAccessAuthenticateException::Unavailable(e) => Refusal::Unavailable {
            message: e.message.to_string(),
            retry_after: Duration::from_millis(u64::try_from(e.retry_after_ms).unwrap_or(0)),
        },
    }
}
