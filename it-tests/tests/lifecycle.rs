//! Nothing that the harness starts outlives the process that started it.

use crate::shared::fresh;
use anyhow::{Context, Result};
use it_tests::harness::identity::Identity;
use it_tests::harness::paths::run_dir;
use it_tests::harness::record::StackRecord;
use it_tests::harness::{Stack, wait_until};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Set in the process that this test starts from its own binary, to be killed.
const VICTIM_DIR: &str = "DATABUS_TEST_VICTIM_DIR";

#[test]
fn a_killed_test_run_leaves_no_process_behind() -> Result<()> {
    if let Some(dir) = std::env::var_os(VICTIM_DIR) {
        return be_the_victim(dir.into());
    }
    let dir = run_dir().join(format!("test-{}-victim", std::process::id()));
    let mut victim = Command::new(std::env::current_exe()?)
        .args(["--exact", "lifecycle::a_killed_test_run_leaves_no_process_behind"])
        .env(VICTIM_DIR, &dir)
        .stdout(Stdio::null())
        .spawn()?;
    let started = wait_until("the victim's stack", Duration::from_secs(150), || {
        let record = StackRecord::load(&dir).map_err(|error| format!("{error:#}"))?;
        record.ok_or_else(|| format!("no record; the victim: {:?}", victim.try_wait()).into())
    });
    // the victim is killed in either case
    victim.kill()?;
    victim.wait()?;
    let processes = started?.processes;
    assert_eq!(processes.len(), 4);

    for (part, identity) in processes {
        wait_until(&format!("{part} to end"), Duration::from_secs(60), || {
            let left = identity.members();
            if left.is_empty() { Ok(()) } else { Err(format!("still running: {left:?}").into()) }
        })?;
    }
    std::fs::remove_dir_all(&dir).with_context(|| format!("cannot delete {}", dir.display()))
}

/// Starts all parts from a thread that ends at once, then waits to be killed.
fn be_the_victim(dir: PathBuf) -> Result<()> {
    let starter = std::thread::spawn(|| Stack::start(it_tests::harness::StackSpec::in_dir(dir)));
    let _stack = starter.join().map_err(|_| anyhow::anyhow!("the start panicked"))??;
    wait_until("being killed", Duration::from_secs(300), || Err("not killed yet".into()))
}

#[test]
fn a_dropped_stack_leaves_neither_processes_nor_files_behind() -> Result<()> {
    use it_tests::harness::Part;
    let stack = Stack::start(fresh("dropped").only(&[Part::MariaDb, Part::Redis]))?;
    let (dir, processes) = (stack.dir().to_path_buf(), stack.record().processes);
    assert!(processes.iter().all(|(_, identity)| Identity::is_alive(identity)));

    drop(stack);

    assert!(processes.iter().all(|(_, identity)| identity.members().is_empty()));
    assert!(!dir.exists());
    Ok(())
}

#[test]
fn a_stack_in_use_is_not_started_a_second_time() -> Result<()> {
    use it_tests::harness::Part;
    let first = Stack::start(fresh("twice").only(&[Part::Redis]))?;

    let second = Stack::start(fresh("twice").only(&[Part::Redis]));

    let error = format!("{:#}", second.err().context("it started")?);
    assert!(error.contains("in use by another run"), "{error}");
    assert!(first.record().is_running());
    Ok(())
}
