//! The stack that all tests of this binary share, fresh ones for tests that break things, and names that no
//! other test uses.

use it_tests::harness::paths::run_dir;
use it_tests::harness::record::sweep_ended_runs;
use it_tests::harness::{Stack, StackSpec};
use std::process::id;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// All four parts, started by the first test that asks. Nobody can stop or kill them: there is no `&mut`. They
/// end when this process does, whatever way that is (`lifecycle` proves it).
pub(crate) fn stack() -> anyhow::Result<&'static Stack> {
    static STACK: OnceLock<Result<Stack, String>> = OnceLock::new();
    let started = STACK.get_or_init(|| {
        sweep_ended_runs(&run_dir(), "test-")
            .and_then(|()| Stack::start(StackSpec::new(&format!("test-{}", id()))))
            .map_err(|error| format!("{error:#}"))
    });
    started.as_ref().map_err(|error| anyhow::anyhow!("{error}"))
}

/// A stack of a test's own, to kill and restart at will. Ends with the value; its directory goes too, unless the
/// test panics.
pub(crate) fn fresh(name: &str) -> StackSpec {
    StackSpec::new(&format!("test-{}-{name}", id()))
}

/// A name for a database, topic, group or index that no other test uses.
pub(crate) fn unique(prefix: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("{prefix}_{}_{}", id(), COUNT.fetch_add(1, Ordering::Relaxed))
}
