//! The real parts of one run, started side by side in one directory.

use super::database::{DatabaseServer, ServerOptions};
use super::elasticsearch::Elasticsearch;
use super::kafka::Kafka;
use super::ports::{free_port, is_free};
use super::record::{Addresses, DirLock, Part, StackRecord, kill_leftovers};
use super::redis::Redis;
use super::secrets::Secrets;
use super::service::Service;
use super::spec::StackSpec;
use anyhow::Context;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread::ScopedJoinHandle;

/// Running parts. A part that the spec left out is `None`.
#[derive(Debug)]
pub struct Stack {
    /// The server of all databases: MariaDB, unless the spec names another flavour.
    pub mariadb: Option<DatabaseServer>,
    /// Redis.
    pub redis: Option<Redis>,
    /// Kafka.
    pub kafka: Option<Kafka>,
    /// Elasticsearch.
    pub elasticsearch: Option<Elasticsearch>,
    dir: PathBuf,
    addresses: Addresses,
    secrets: Secrets,
    keep: bool,
    _lock: DirLock,
}

impl Stack {
    /// Starts the parts side by side; returns when all are ready. What an earlier run left running in the
    /// directory is killed first; its data, ports and passwords are used again.
    pub fn start(spec: StackSpec) -> anyhow::Result<Self> {
        let lock = DirLock::take(&spec.dir)?;
        kill_leftovers(&spec.dir)?;
        let earlier = StackRecord::load(&spec.dir)?;
        let secrets = match &earlier {
            Some(record) => record.secrets.clone(),
            None => Secrets::random()?,
        };
        let before = earlier.map(|record| record.addresses).unwrap_or_default();
        let mut stack = Self {
            mariadb: None,
            redis: None,
            kafka: None,
            elasticsearch: None,
            addresses: spec.borrowed.clone(),
            dir: spec.dir.clone(),
            secrets,
            keep: spec.keep,
            _lock: lock,
        };
        if let Err(error) = stack.start_parts(&spec, &before) {
            stack.end();
            // the log files that the error speaks of stay
            stack.keep = true;
            return Err(error);
        }
        stack.record().save(&stack.dir)?;
        Ok(stack)
    }

    fn start_parts(&mut self, spec: &StackSpec, before: &Addresses) -> anyhow::Result<()> {
        let (dir, secrets, life) = (&self.dir, &self.secrets, spec.lifetime);
        let port = |part: Part| reuse(before.of(part));
        std::thread::scope(|scope| {
            let wanted = |part: Part| spec.parts.contains(&part);
            let folder = |part: Part| dir.join(part.name());
            let mariadb = wanted(Part::MariaDb).then(|| {
                scope.spawn(move || {
                    let options = ServerOptions::in_dir(folder(Part::MariaDb))
                        .port(port(Part::MariaDb)?)
                        .secrets(secrets)
                        .lifetime(life)
                        .args(&spec.mariadb_args);
                    DatabaseServer::start(spec.flavour, options)
                })
            });
            let redis = wanted(Part::Redis)
                .then(|| scope.spawn(move || Redis::start(&folder(Part::Redis), port(Part::Redis)?, life)));
            let kafka = wanted(Part::Kafka).then(|| {
                scope.spawn(move || {
                    let port = port(Part::Kafka)?;
                    Kafka::start(
                        &folder(Part::Kafka),
                        port,
                        free_port()?,
                        life,
                        &spec.kafka_java,
                        &spec.kafka_properties,
                    )
                })
            });
            let elasticsearch = wanted(Part::Elasticsearch).then(|| {
                scope.spawn(move || {
                    let port = port(Part::Elasticsearch)?;
                    Elasticsearch::start(&folder(Part::Elasticsearch), port, free_port()?, life)
                })
            });
            // every thread is joined before the first error is answered, so that nothing started gets lost
            let results = (
                join(Part::MariaDb, mariadb),
                join(Part::Redis, redis),
                join(Part::Kafka, kafka),
                join(Part::Elasticsearch, elasticsearch),
            );
            let mut errors = Vec::new();
            self.mariadb = keep(results.0, &mut errors);
            self.redis = keep(results.1, &mut errors);
            self.kafka = keep(results.2, &mut errors);
            self.elasticsearch = keep(results.3, &mut errors);
            match errors.into_iter().next() {
                Some(error) => Err(error.context(format!("stack in {}", dir.display()))),
                None => Ok(()),
            }
        })?;
        let own = &mut self.addresses;
        own.mariadb = self.mariadb.as_ref().map(DatabaseServer::address).or(own.mariadb);
        own.redis = self.redis.as_ref().map(Redis::address).or(own.redis);
        own.kafka = self.kafka.as_ref().map(Kafka::address).or(own.kafka);
        own.elasticsearch = self.elasticsearch.as_ref().map(Elasticsearch::address).or(own.elasticsearch);
        Ok(())
    }

    /// The stack's directory: a folder per part with its log, and one per deployment.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where the parts listen, borrowed ones too.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Passwords, tokens and keys of this stack.
    pub fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// The database server, for stacks that run it.
    pub fn mariadb(&self) -> anyhow::Result<&DatabaseServer> {
        self.mariadb.as_ref().context("this stack runs no mariadb")
    }

    /// The database server, to kill or restart it.
    pub fn mariadb_mut(&mut self) -> anyhow::Result<&mut DatabaseServer> {
        self.mariadb.as_mut().context("this stack runs no mariadb")
    }

    /// Redis, for stacks that run it.
    pub fn redis(&self) -> anyhow::Result<&Redis> {
        self.redis.as_ref().context("this stack runs no redis")
    }

    /// Redis, to kill or restart it.
    pub fn redis_mut(&mut self) -> anyhow::Result<&mut Redis> {
        self.redis.as_mut().context("this stack runs no redis")
    }

    /// Kafka, to kill or restart it.
    pub fn kafka_mut(&mut self) -> anyhow::Result<&mut Kafka> {
        self.kafka.as_mut().context("this stack runs no kafka")
    }

    /// Elasticsearch, to kill or restart it.
    pub fn elasticsearch_mut(&mut self) -> anyhow::Result<&mut Elasticsearch> {
        self.elasticsearch.as_mut().context("this stack runs no elasticsearch of its own")
    }

    /// `bootstrap.servers`.
    pub fn kafka_brokers(&self) -> anyhow::Result<String> {
        Ok(self.addresses.kafka.context("this stack runs no kafka")?.to_string())
    }

    /// `http://127.0.0.1:port`, borrowed or own.
    pub fn elasticsearch_url(&self) -> anyhow::Result<String> {
        Ok(format!("http://{}", self.addresses.elasticsearch.context("this stack has no elasticsearch")?))
    }

    /// What `stack.json` says.
    pub fn record(&self) -> StackRecord {
        let processes = self.services().map(|(part, service)| (part, service.process().identity())).collect();
        StackRecord { processes, addresses: self.addresses.clone(), secrets: self.secrets.clone() }
    }

    fn services(&self) -> impl Iterator<Item = (Part, &dyn Service)> {
        let all: [(Part, Option<&dyn Service>); 4] = [
            (Part::MariaDb, self.mariadb.as_ref().map(|part| part as &dyn Service)),
            (Part::Redis, self.redis.as_ref().map(|part| part as &dyn Service)),
            (Part::Kafka, self.kafka.as_ref().map(|part| part as &dyn Service)),
            (Part::Elasticsearch, self.elasticsearch.as_ref().map(|part| part as &dyn Service)),
        ];
        all.into_iter().filter_map(|(part, service)| Some((part, service?)))
    }

    /// `kill -9` to all parts, whatever their lifetime.
    fn end(&mut self) {
        for (part, service) in self.services() {
            if let Err(error) = service.process().identity().kill_group() {
                eprintln!("cannot end {part}: {error:#}");
            }
        }
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if self.keep || std::thread::panicking() {
            return;
        }
        self.end();
        if let Err(error) = std::fs::remove_dir_all(&self.dir) {
            eprintln!("cannot delete {}: {error}", self.dir.display());
        }
    }
}

/// The port of an earlier run in the same directory if it is free, else a new one.
fn reuse(before: Option<SocketAddr>) -> anyhow::Result<u16> {
    match before.map(|address| address.port()) {
        Some(port) if is_free(port) => Ok(port),
        _ => free_port(),
    }
}

type Starting<'scope, T> = Option<ScopedJoinHandle<'scope, anyhow::Result<T>>>;

fn join<T>(part: Part, starting: Starting<'_, T>) -> anyhow::Result<Option<T>> {
    let joined = starting.map(|thread| thread.join().unwrap_or_else(|_| anyhow::bail!("the start panicked")));
    joined.transpose().with_context(|| format!("cannot start {part}"))
}

fn keep<T>(result: anyhow::Result<Option<T>>, errors: &mut Vec<anyhow::Error>) -> Option<T> {
    result.map_err(|error| errors.push(error)).ok().flatten()
}
