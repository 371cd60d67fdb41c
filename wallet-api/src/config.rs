//! What wallet-api needs of `pipelines.toml`, with its secrets read.

use std::{net::SocketAddr, path::Path};

use anyhow::Context;
use pipeline_config::{Config, FlowClass};
use secrecy::SecretString;
use service_kit::flow::Rate;
use sqlx::mysql::MySqlConnectOptions;

use crate::{merchants::SealedSecrets, store};

/// Checked settings of one wallet-api.
pub struct Settings {
    pub(crate) listen: SocketAddr,
    pub(crate) admin_listen: SocketAddr,
    pub(crate) rpc_listen: SocketAddr,
    pub(crate) admin_token: SecretString,
    pub(crate) rpc_token: SecretString,
    pub(crate) sealed: SealedSecrets,
    pub(crate) database: MySqlConnectOptions,
    pub(crate) connections: u32,
    pub(crate) redis_url: String,
    pub(crate) redis_password: Option<SecretString>,
    pub(crate) read: Rate,
    pub(crate) write: Rate,
}

impl Settings {
    /// Reads the file and the secrets it names. `connections` is the most that the database sees of this process.
    pub fn load(path: &Path, connections: u32) -> anyhow::Result<Self> {
        let config = Config::load(path)?;
        let wallet = config.require_wallet_api()?;
        Ok(Self {
            listen: wallet.listen,
            admin_listen: wallet.admin_listen,
            rpc_listen: wallet.rpc_listen,
            admin_token: wallet.admin_token.resolve()?,
            rpc_token: wallet.rpc_token.resolve()?,
            sealed: SealedSecrets::new(&wallet.master_key.resolve()?).context("wallet_api.master_key")?,
            database: store::options(&wallet.database)?,
            connections,
            redis_url: config.redis.url.clone(),
            redis_password: config
                .redis
                .password
                .as_ref()
                .map(pipeline_config::Secret::resolve)
                .transpose()?,
            read: rate(config.flow.read),
            write: rate(config.flow.write),
        })
    }

    /// Reads what `migrate` needs: the database alone.
    pub fn database_of(path: &Path) -> anyhow::Result<MySqlConnectOptions> {
        store::options(&Config::load(path)?.require_wallet_api()?.database)
    }
}

fn rate(class: FlowClass) -> Rate {
    Rate { per_second: class.per_second, burst: class.burst }
}
