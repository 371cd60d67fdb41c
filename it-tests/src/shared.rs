//! The stacks that all tests of one binary share, fresh ones for tests that break things, and names that no
//! other test uses.

use crate::harness::paths::run_dir;
use crate::harness::record::sweep_ended_runs;
use crate::harness::{Flavour, Part, Stack, StackSpec};
use std::process::id;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

type Shared = OnceLock<Result<Stack, String>>;

/// All four parts, started by the first test that asks. Nobody can stop or kill them: there is no `&mut`. They
/// end when this process does, whatever way that is (`lifecycle` proves it).
pub fn stack() -> anyhow::Result<&'static Stack> {
    static STACK: Shared = OnceLock::new();
    started(&STACK, || {
        sweep_ended_runs(&run_dir(), "test-")?;
        Stack::start(StackSpec::new(&format!("test-{}", id())))
    })
}

/// As [`stack`], on a database server of this flavour; Redis, Kafka and Elasticsearch are those of [`stack`].
pub fn stack_on(flavour: Flavour) -> anyhow::Result<&'static Stack> {
    static MARIADB_11_8: Shared = OnceLock::new();
    static MYSQL_9_7: Shared = OnceLock::new();
    let (place, name) = match flavour {
        Flavour::MariaDb1011 => return stack(),
        Flavour::MariaDb118 => (&MARIADB_11_8, "mariadb-11.8"),
        Flavour::MySql97 => (&MYSQL_9_7, "mysql-9.7"),
    };
    started(place, || {
        let borrowed = [Part::Redis, Part::Kafka, Part::Elasticsearch];
        Stack::start(fresh(name).borrow(stack()?, &borrowed).flavour(flavour))
    })
}

fn started(
    place: &'static Shared,
    start: impl FnOnce() -> anyhow::Result<Stack>,
) -> anyhow::Result<&'static Stack> {
    let started = place.get_or_init(|| start().map_err(|error| format!("{error:#}")));
    started.as_ref().map_err(|error| anyhow::anyhow!("{error}"))
}

/// A stack of a test's own, to kill and restart at will. Ends with the value; its directory goes too, unless the
/// test panics.
pub fn fresh(name: &str) -> StackSpec {
    StackSpec::new(&format!("test-{}-{name}", id()))
}

/// A name for a database, topic, group or index that no other test uses.
pub fn unique(prefix: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("{prefix}_{}_{}", id(), COUNT.fetch_add(1, Ordering::Relaxed))
}
