//! raw -> model for every section but the pipelines.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use toml::Spanned;

use crate::{
    BillApi, Config, ConfigError, Databus, Flow, FlowClass, Index, Kafka, MySqlLogin, Name, Place, Redis,
    Secret, SnapshotMode, Source, Store, SyncWorker, TableName, Tls, TlsMode, WalletApi, check_pipeline, raw,
    secret,
};

/// The text under check: turns spans into places.
pub(crate) struct Text<'a> {
    file: Arc<Path>,
    text: &'a str,
}

impl Text<'_> {
    pub(crate) fn place(&self, span: Range<usize>) -> Place {
        Place::of(&self.file, self.text, &span)
    }

    pub(crate) fn invalid(&self, span: Range<usize>, message: impl Into<String>) -> ConfigError {
        ConfigError::Invalid { place: self.place(span), message: message.into() }
    }

    pub(crate) fn name(&self, name: &Spanned<String>, max: usize) -> Result<Name, ConfigError> {
        Name::parse(name.get_ref(), max).map_err(|message| self.invalid(name.span(), message))
    }

    pub(crate) fn table(&self, table: &Spanned<String>) -> Result<TableName, ConfigError> {
        table.get_ref().parse().map_err(|message: String| self.invalid(table.span(), message))
    }

    fn listen(&self, listen: Option<Spanned<String>>, default_port: u16) -> Result<SocketAddr, ConfigError> {
        let Some(listen) = listen else { return Ok(SocketAddr::from(([127, 0, 0, 1], default_port))) };
        listen.get_ref().parse().map_err(|_| {
            let message = format!("\"{}\" is not a listen address: wanted ip:port", listen.get_ref());
            self.invalid(listen.span(), message)
        })
    }

    /// A path as the file means it: relative ones are sought beside it.
    fn beside(&self, path: &str) -> PathBuf {
        self.file.parent().unwrap_or(Path::new("")).join(path)
    }

    fn secret(&self, key: &str, secret: Spanned<raw::Secret>) -> Result<Secret, ConfigError> {
        let span = secret.span();
        let from = match secret.into_inner() {
            raw::Secret { env: Some(name), file: None } if !name.is_empty() => secret::From::Env(name),
            raw::Secret { env: None, file: Some(path) } if !path.is_empty() => {
                secret::From::File(self.beside(&path))
            }
            _ => return Err(self.invalid(span, "a secret is { env = \"NAME\" } or { file = \"path\" }")),
        };
        Ok(Secret { key: key.to_owned(), from, place: self.place(span) })
    }

    fn positive<T: Copy + Default + PartialOrd>(
        &self,
        number: Option<Spanned<T>>,
        default: T,
    ) -> Result<T, ConfigError> {
        match number {
            Some(number) if *number.get_ref() <= T::default() => {
                Err(self.invalid(number.span(), "must be at least 1"))
            }
            Some(number) => Ok(number.into_inner()),
            None => Ok(default),
        }
    }

    fn at_most(&self, number: Option<Spanned<u64>>, default: u64, most: u64) -> Result<u64, ConfigError> {
        let span = number.as_ref().map(Spanned::span).unwrap_or_default();
        match self.positive(number, default)? {
            fits if fits <= most => Ok(fits),
            _ => Err(self.invalid(span, format!("must be at most {most}"))),
        }
    }
}

pub(crate) fn file(path: &Path, content: &str) -> Result<Config, ConfigError> {
    let text = Text { file: Arc::from(path), text: content };
    let raw: raw::File = toml::from_str(content).map_err(|error| {
        let message = error.message().lines().collect::<Vec<_>>().join("; ");
        ConfigError::Syntax { place: text.place(error.span().unwrap_or(0..0)), message }
    })?;
    let mut sources = Vec::new();
    for (name, section) in raw.source {
        sources.push(source(&text, &name, section)?);
    }
    if sources.is_empty() {
        return Err(text.invalid(0..0, "no [source.NAME] section: at least one is wanted"));
    }
    unique_server_ids(&sources)?;
    let pipelines = check_pipeline::all(&text, raw.pipeline, &sources)?;
    Ok(Config {
        path: path.to_owned(),
        kafka: kafka(&text, raw.kafka)?,
        store: store(&text, raw.store)?,
        index: raw.index.map(|section| index(&text, section)).transpose()?,
        redis: redis(&text, raw.redis)?,
        databus: Databus {
            admin_listen: text.listen(raw.databus.admin_listen, 8081)?,
            commit_max_wait: Duration::from_millis(text.positive(raw.databus.commit_max_wait_ms, 100)?),
            commit_max_rows: text.positive(raw.databus.commit_max_rows, 20_000)?,
            snapshot_connections: text.at_most(raw.databus.snapshot_connections, 2, 16)? as usize,
            snapshot_chunk_rows: text.at_most(raw.databus.snapshot_chunk_rows, 5_000, 20_000)?,
            instance: raw.databus.instance.map(|name| instance(&text, name)).transpose()?,
            purge_warning: Duration::from_secs(
                text.positive(raw.databus.purge_warning_hours, 24)?.saturating_mul(3_600),
            ),
        },
        sync_worker: sync_worker(&text, raw.sync_worker)?,
        wallet_api: raw.wallet_api.map(|section| wallet_api(&text, section)).transpose()?,
        bill_api: raw.bill_api.map(|section| bill_api(&text, section)).transpose()?,
        flow: Flow { read: flow_class(&text, raw.flow.read)?, write: flow_class(&text, raw.flow.write)? },
        sources,
        pipelines,
    })
}

/// A process's name among its like: what Kafka takes as a group instance id everywhere.
fn instance(text: &Text<'_>, name: Spanned<String>) -> Result<String, ConfigError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if name.get_ref().is_empty() || name.get_ref().len() > 100 || !name.get_ref().bytes().all(plain) {
        let wanted = "instance must be 1 to 100 of A-Z a-z 0-9 . _ -, and unique among all databus processes";
        return Err(text.invalid(name.span(), wanted));
    }
    Ok(name.into_inner())
}

fn source(text: &Text<'_>, name: &Spanned<String>, raw: raw::Source) -> Result<Source, ConfigError> {
    let name = text.name(name, Name::MAX)?;
    if *raw.server_id.get_ref() == 0 {
        return Err(
            text.invalid(raw.server_id.span(), "server_id must not be 0: it names this reader to the server")
        );
    }
    let tables_place = text.place(raw.tables.span());
    if raw.tables.get_ref().is_empty() {
        return Err(text.invalid(raw.tables.span(), "no tables: name at least one as \"database.table\""));
    }
    let mut seen = BTreeSet::new();
    let mut tables = Vec::new();
    for table in raw.tables.into_inner() {
        let parsed = text.table(&table)?;
        if !seen.insert(parsed.clone()) {
            return Err(text.invalid(table.span(), format!("table {parsed} is named twice")));
        }
        tables.push(parsed);
    }
    let password = text.secret(&format!("source.{name}.password"), raw.password)?;
    let login = MySqlLogin { host: raw.host, port: raw.port, user: raw.user, password };
    let snapshot = match raw.snapshot {
        raw::SnapshotMode::Initial => SnapshotMode::Initial,
        raw::SnapshotMode::Never => SnapshotMode::Never,
        raw::SnapshotMode::WhenNeeded => SnapshotMode::WhenNeeded,
    };
    let tls = tls(text, raw.tls, raw.tls_ca, raw.tls_cert, raw.tls_key)?;
    Ok(Source { name, login, tls, server_id: raw.server_id.into_inner(), tables, tables_place, snapshot })
}

fn tls(
    text: &Text<'_>,
    mode: Option<Spanned<String>>,
    ca: Option<Spanned<String>>,
    cert: Option<Spanned<String>>,
    key: Option<Spanned<String>>,
) -> Result<Tls, ConfigError> {
    let given = [&ca, &cert, &key].into_iter().flatten().map(Spanned::span).next();
    let mode = match mode.as_ref().map(|mode| mode.get_ref().as_str()) {
        None | Some("disabled") => TlsMode::Disabled,
        Some("required") => TlsMode::Required,
        Some("verify-ca") => TlsMode::VerifyCa,
        Some("verify-identity") => TlsMode::VerifyIdentity,
        Some(other) => {
            let span = mode.as_ref().map(Spanned::span).unwrap_or_default();
            return Err(text.invalid(
                span,
                format!("tls = \"{other}\": wanted disabled, required, verify-ca or verify-identity"),
            ));
        }
    };
    if let (TlsMode::Disabled, Some(span)) = (mode, given) {
        return Err(text.invalid(span, "tls_ca, tls_cert and tls_key mean nothing without tls"));
    }
    let read = |file: Spanned<String>| {
        let path = text.beside(file.get_ref());
        match std::fs::File::open(&path) {
            Ok(_) => Ok(path),
            Err(cause) => Err(text.invalid(file.span(), format!("cannot read {}: {cause}", path.display()))),
        }
    };
    let identity = match (cert, key) {
        (None, None) => None,
        (Some(cert), Some(key)) => Some((read(cert)?, read(key)?)),
        (Some(one), None) | (None, Some(one)) => {
            return Err(text.invalid(one.span(), "tls_cert and tls_key belong together: give both or none"));
        }
    };
    Ok(Tls { mode, ca: ca.map(read).transpose()?, identity })
}

fn unique_server_ids(sources: &[Source]) -> Result<(), ConfigError> {
    for (i, a) in sources.iter().enumerate() {
        let twin = sources.get(i + 1..).unwrap_or_default().iter().find(|b| {
            a.server_id == b.server_id && a.login.host == b.login.host && a.login.port == b.login.port
        });
        if let Some(b) = twin {
            let message =
                format!("sources {} and {} share server_id {} on one server", a.name, b.name, a.server_id);
            return Err(ConfigError::Invalid { place: b.tables_place.clone(), message });
        }
    }
    Ok(())
}

fn kafka(text: &Text<'_>, raw: raw::Kafka) -> Result<Kafka, ConfigError> {
    let brokers_place = text.place(raw.brokers.span());
    let addressed = |broker: &str| {
        broker
            .trim()
            .rsplit_once(':')
            .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
    };
    if !raw.brokers.get_ref().split(',').all(addressed) {
        return Err(text.invalid(raw.brokers.span(), "wanted broker addresses as host:port[,host:port]"));
    }
    let topic_safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let topic = raw.bills_topic.get_ref();
    if topic.is_empty() || topic.len() > 200 || !topic.chars().all(topic_safe) {
        return Err(text.invalid(raw.bills_topic.span(), format!("\"{topic}\" is not a topic name")));
    }
    let days = text.positive(raw.retention_days, 14)?;
    Ok(Kafka {
        brokers: raw.brokers.into_inner(),
        brokers_place,
        bills_partitions: text.positive(raw.bills_partitions, 12)?,
        bills_topic: raw.bills_topic.into_inner(),
        retention: Duration::from_secs(u64::from(days) * 24 * 3600),
    })
}

fn store(text: &Text<'_>, raw: raw::Store) -> Result<Store, ConfigError> {
    let database = raw.database.get_ref();
    if database.is_empty() || !database.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(text.invalid(raw.database.span(), "wanted a database name of letters, digits and _"));
    }
    let password = text.secret("store.password", raw.password)?;
    let login = MySqlLogin { host: raw.host, port: raw.port, user: raw.user, password };
    Ok(Store { login, database: raw.database.into_inner() })
}

fn index(text: &Text<'_>, raw: raw::Index) -> Result<Index, ConfigError> {
    let url = raw.url.get_ref().trim_end_matches('/').to_owned();
    let host = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    if !host.is_some_and(|host| !host.is_empty() && !host.contains('/')) {
        return Err(text.invalid(raw.url.span(), "wanted an address as http://host:port"));
    }
    // a password in the address would end up in logs: it has its own key
    if url.contains('@') {
        return Err(text.invalid(
            raw.url.span(),
            "no user or password in the address: use index.user and index.password",
        ));
    }
    let login = match (raw.user, raw.password) {
        (Some(user), Some(password)) => Some((user, text.secret("index.password", password)?)),
        (None, None) => None,
        _ => {
            return Err(text.invalid(
                raw.url.span(),
                "index.user and index.password belong together: give both or none",
            ));
        }
    };
    let alias = raw.alias.get_ref();
    if alias.is_empty()
        || !alias.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-')
    {
        return Err(text.invalid(raw.alias.span(), "wanted an alias of a-z, 0-9, _ and -"));
    }
    let refresh_interval = Duration::from_millis(raw.refresh_interval_ms.unwrap_or(200));
    Ok(Index { url, login, alias: raw.alias.into_inner(), refresh_interval })
}

fn redis(text: &Text<'_>, raw: raw::Redis) -> Result<Redis, ConfigError> {
    let url = match raw.url {
        None => "redis://127.0.0.1:6379/0".to_owned(),
        Some(url) if ["redis://", "rediss://", "unix://"].iter().any(|s| url.get_ref().starts_with(s)) => {
            // a password in the address would end up in logs: it has its own key
            if url.get_ref().contains('@') {
                return Err(
                    text.invalid(url.span(), "no user or password in the address: use redis.password")
                );
            }
            url.into_inner()
        }
        Some(url) => return Err(text.invalid(url.span(), "wanted an address as redis://host:port/database")),
    };
    Ok(Redis { url, password: raw.password.map(|secret| text.secret("redis.password", secret)).transpose()? })
}

fn sync_worker(text: &Text<'_>, raw: raw::SyncWorker) -> Result<SyncWorker, ConfigError> {
    let span = raw.batch_max_records.as_ref().map(Spanned::span).unwrap_or_default();
    let records = text.positive(raw.batch_max_records, 1000)?;
    if records > 100_000 {
        return Err(text.invalid(span, "batch_max_records must be at most 100000"));
    }
    Ok(SyncWorker {
        admin_listen: text.listen(raw.admin_listen, 8082)?,
        batch_max_records: usize::try_from(records).unwrap_or(1000),
        batch_max_wait: Duration::from_millis(raw.batch_max_wait_ms.unwrap_or(0)),
    })
}

fn wallet_api(text: &Text<'_>, raw: raw::WalletApi) -> Result<WalletApi, ConfigError> {
    let raw::Login { host, port, user, password } = raw.database;
    let password = text.secret("wallet_api.database.password", password)?;
    Ok(WalletApi {
        listen: text.listen(raw.listen, 8080)?,
        admin_listen: text.listen(raw.admin_listen, 8083)?,
        rpc_listen: text.listen(raw.rpc_listen, 9090)?,
        admin_token: text.secret("wallet_api.admin_token", raw.admin_token)?,
        rpc_token: text.secret("wallet_api.rpc_token", raw.rpc_token)?,
        master_key: text.secret("wallet_api.master_key", raw.master_key)?,
        database: MySqlLogin { host, port, user, password },
    })
}

fn bill_api(text: &Text<'_>, raw: raw::BillApi) -> Result<BillApi, ConfigError> {
    let port = raw.wallet_rpc.get_ref().rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    if port.is_none() {
        return Err(text.invalid(raw.wallet_rpc.span(), "wanted wallet-api's Thrift address as host:port"));
    }
    Ok(BillApi {
        listen: text.listen(raw.listen, 8090)?,
        admin_listen: text.listen(raw.admin_listen, 8084)?,
        wallet_rpc: raw.wallet_rpc.into_inner(),
        rpc_token: text.secret("bill_api.rpc_token", raw.rpc_token)?,
        cursor_key: text.secret("bill_api.cursor_key", raw.cursor_key)?,
    })
}

fn flow_class(text: &Text<'_>, raw: raw::FlowClass) -> Result<FlowClass, ConfigError> {
    Ok(FlowClass { per_second: text.positive(raw.per_second, 100)?, burst: text.positive(raw.burst, 200)? })
}
