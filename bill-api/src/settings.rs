//! What this daemon takes from `pipelines.toml`, with its secrets read and checked.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pipeline_config::{Config, Flow};
use secrecy::{ExposeSecret, SecretBox, SecretString};

/// Bytes of the key that signs page cursors.
pub(crate) const CURSOR_KEY_BYTES: usize = 32;

pub(crate) struct Settings {
    pub(crate) listen: SocketAddr,
    pub(crate) admin_listen: SocketAddr,
    pub(crate) wallet_rpc: String,
    pub(crate) rpc_token: SecretString,
    pub(crate) cursor_key: SecretBox<[u8; CURSOR_KEY_BYTES]>,
    pub(crate) redis_url: String,
    pub(crate) redis_password: Option<SecretString>,
    pub(crate) store: StoreLogin,
    pub(crate) flow: Flow,
    /// Names of the pipelines, as the `pipeline` filter takes them.
    pub(crate) pipelines: Vec<String>,
}

pub(crate) struct StoreLogin {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) user: String,
    pub(crate) password: SecretString,
    pub(crate) database: String,
}

impl Settings {
    pub(crate) fn load(path: &Path) -> anyhow::Result<Settings> {
        let config = Config::load(path)?;
        let api = config.require_bill_api()?;
        let cursor_key = api.cursor_key.resolve()?;
        let cursor_key = cursor_key_bytes(&cursor_key).context("bill_api.cursor_key")?;
        let store = &config.store;
        Ok(Settings {
            listen: api.listen,
            admin_listen: api.admin_listen,
            wallet_rpc: api.wallet_rpc.clone(),
            rpc_token: api.rpc_token.resolve()?,
            cursor_key,
            redis_url: config.redis.url.clone(),
            redis_password: config
                .redis
                .password
                .as_ref()
                .map(pipeline_config::Secret::resolve)
                .transpose()?,
            store: StoreLogin {
                host: store.login.host.clone(),
                port: store.login.port,
                user: store.login.user.clone(),
                password: store.login.password.resolve()?,
                database: store.database.clone(),
            },
            flow: config.flow,
            pipelines: config.pipelines.iter().map(|pipeline| pipeline.name.to_string()).collect(),
        })
    }
}

fn cursor_key_bytes(text: &SecretString) -> anyhow::Result<SecretBox<[u8; CURSOR_KEY_BYTES]>> {
    let wanted =
        format!("wanted {CURSOR_KEY_BYTES} bytes in base64, as `openssl rand -base64 32` prints them");
    // not the decoder's own error: it quotes the text
    let bytes = STANDARD.decode(text.expose_secret().trim()).ok();
    let bytes: Option<[u8; CURSOR_KEY_BYTES]> = bytes.and_then(|bytes| bytes.try_into().ok());
    ensure!(bytes.is_some(), wanted);
    Ok(SecretBox::new(Box::new(bytes.unwrap_or_default())))
}
