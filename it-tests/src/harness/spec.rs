//! What a stack is to be made of.

use super::database::Flavour;
use super::launch::Lifetime;
use super::paths::run_dir;
use super::record::{Addresses, Part};
use super::stack::Stack;
use std::path::PathBuf;

/// What to start.
#[derive(Debug, Clone)]
pub struct StackSpec {
    pub(super) dir: PathBuf,
    pub(super) parts: Vec<Part>,
    pub(super) lifetime: Lifetime,
    pub(super) keep: bool,
    pub(super) flavour: Flavour,
    pub(super) mariadb_args: Vec<String>,
    pub(super) kafka_properties: Vec<String>,
    pub(super) kafka_java: Vec<String>,
    pub(super) borrowed: Addresses,
}

impl StackSpec {
    /// All four parts in `.run/<name>/`, ended and deleted when the [`Stack`] is dropped.
    pub fn new(name: &str) -> Self {
        Self::in_dir(run_dir().join(name))
    }

    /// As [`StackSpec::new`], in a directory of the caller's choice.
    pub fn in_dir(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            parts: Part::ALL.to_vec(),
            lifetime: Lifetime::WithParent,
            keep: std::env::var_os("DATABUS_KEEP_RUNS").is_some(),
            flavour: Flavour::MariaDb1011,
            mariadb_args: Vec::new(),
            kafka_properties: Vec::new(),
            kafka_java: Vec::new(),
            borrowed: Addresses::default(),
        }
    }

    /// Starts only these parts.
    pub fn only(mut self, parts: &[Part]) -> Self {
        self.parts = parts.to_vec();
        self
    }

    /// Does not start this part.
    pub fn without(mut self, part: Part) -> Self {
        self.parts.retain(|other| *other != part);
        self
    }

    /// Uses another stack's Elasticsearch, the slowest part to start; give the index a name of its own.
    pub fn borrow_elasticsearch(self, owner: &Stack) -> Self {
        self.borrow(owner, &[Part::Elasticsearch])
    }

    /// Uses these parts of another stack; give what is in them (topics, databases, an index) names of their own.
    pub fn borrow(mut self, owner: &Stack, parts: &[Part]) -> Self {
        let theirs = owner.addresses();
        for part in parts {
            match part {
                Part::MariaDb => self.borrowed.mariadb = theirs.mariadb,
                Part::Redis => self.borrowed.redis = theirs.redis,
                Part::Kafka => self.borrowed.kafka = theirs.kafka,
                Part::Elasticsearch => self.borrowed.elasticsearch = theirs.elasticsearch,
            }
            self = self.without(*part);
        }
        self
    }

    /// The make and series of the database server, MariaDB 10.11 if not set.
    pub fn flavour(mut self, flavour: Flavour) -> Self {
        self.flavour = flavour;
        self
    }

    /// Leaves the directory in place on drop. Setting `DATABUS_KEEP_RUNS` does the same for every stack.
    pub fn keep(mut self) -> Self {
        self.keep = true;
        self
    }

    /// The parts go on when this process ends; `StackRecord::stop` ends them.
    pub fn detached(mut self) -> Self {
        self.lifetime = Lifetime::Detached;
        self.keep()
    }

    /// One more argument for the database server, for example `--log-bin-compress`.
    pub fn mariadb_arg(mut self, arg: &str) -> Self {
        self.mariadb_args.push(arg.to_owned());
        self
    }

    /// The broker's Java options, for example its heap, in place of those for a broker that lives for minutes.
    pub fn kafka_java(mut self, options: &[&str]) -> Self {
        self.kafka_java = options.iter().map(|option| (*option).to_owned()).collect();
        self
    }

    /// One more line for the broker's `server.properties`.
    pub fn kafka_property(mut self, line: &str) -> Self {
        self.kafka_properties.push(line.to_owned());
        self
    }
}
