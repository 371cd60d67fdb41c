//! The Thrift side that bill-api asks for grants: the project's own server with a handler that the test controls.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use it_tests::workload::App;
use money::{AccountId, MerchantId};
use secrecy::{SecretSlice, SecretString};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use wallet_rpc::{AccountRef, Call, Denial, Grant, MerchantAccess, Refusal};

use crate::shared::unique;

/// Merchants and their keys. Ends with the value.
pub(super) struct Desk {
    state: Arc<State>,
    _stop: DropGuard,
}

#[derive(Default)]
struct State {
    grants: Mutex<HashMap<String, Grant>>,
    calls: AtomicU64,
    /// While held, an answer that is already decided waits here.
    held: tokio::sync::RwLock<()>,
}

impl State {
    fn grants(&self) -> MutexGuard<'_, HashMap<String, Grant>> {
        self.grants.lock().expect("no test panics with the lock")
    }
}

struct Handler(Arc<State>);

impl Desk {
    pub(super) async fn open(port: u16, token: &str) -> anyhow::Result<Desk> {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.context("open the desk")?;
        let (state, stop) = (Arc::new(State::default()), CancellationToken::new());
        let (handler, token, until) = (Handler(state.clone()), SecretString::from(token), stop.clone());
        tokio::spawn(async move { wallet_rpc::serve(listener, &token, handler, until).await });
        Ok(Desk { state, _stop: stop.drop_guard() })
    }

    /// A merchant with CNY accounts of those ids and one app; the grant is good for `life`.
    pub(super) fn merchant(&self, id: u64, accounts: &[u64], zone: &str, life: Duration) -> App {
        let app = App {
            merchant_id: id.to_string(),
            name: format!("merchant {id}"),
            account_id: accounts.first().copied().unwrap_or_default(),
            // the shared Redis is everybody's
            app_id: unique("app"),
            key_id: unique("key"),
            secret: format!("secret of merchant {id}").into_bytes(),
        };
        let account = |id: &u64| AccountRef {
            account_id: AccountId(*id),
            kind: "available".to_owned(),
            currency: "CNY".parse().expect("a currency"),
        };
        let until = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970") + life;
        let grant = Grant {
            merchant_id: MerchantId(id),
            app_id: app.app_id.clone(),
            key_id: app.key_id.clone(),
            algorithm: "HMAC-SHA256".to_owned(),
            verification_key: SecretSlice::from(app.secret.clone()),
            scopes: vec!["bills:read".to_owned()],
            accounts: accounts.iter().map(account).collect(),
            time_zone: zone.to_owned(),
            valid_until_ms: i64::try_from(until.as_millis()).expect("a moment within i64"),
        };
        self.state.grants().insert(app.key_id.clone(), grant);
        app
    }

    /// Takes the app's scopes away.
    pub(super) fn take_scopes(&self, app: &App) {
        if let Some(grant) = self.state.grants().get_mut(&app.key_id) {
            grant.scopes.clear();
        }
    }

    /// Revokes the key. As in wallet-api, the caller then deletes the cached grant.
    pub(super) fn revoke(&self, app: &App) {
        self.state.grants().remove(&app.key_id);
    }

    /// Lets answers be decided but not sent, until the returned guard is dropped.
    pub(super) async fn hold_answers(&self) -> impl Drop + '_ {
        self.state.held.write().await
    }

    /// Calls taken so far, answered or not.
    pub(super) fn calls(&self) -> u64 {
        self.state.calls.load(Ordering::SeqCst)
    }
}

impl MerchantAccess for Handler {
    async fn authenticate(&self, call: Call<'_>) -> Result<Grant, Refusal> {
        let decided = self.0.grants().get(call.key_id).filter(|grant| grant.app_id == call.app_id).cloned();
        self.0.calls.fetch_add(1, Ordering::SeqCst);
        let _sent = self.0.held.read().await;
        decided
            .ok_or_else(|| Refusal::Denied { reason: Denial::UnknownKey, message: "no such key".to_owned() })
    }
}
