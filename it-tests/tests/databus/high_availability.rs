//! Several databus processes for one source: one is active, and whatever happens to it, another goes on where it stopped.

use super::{SOON, Source, assert_complete, assert_dense, last_lines, stack, wait_written, write_until};
use anyhow::{Context as _, Result, ensure};
use it_tests::harness::{Daemon, Fault, Not, Proxy, Service, http::get_ok, wait_until};
use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

const COLUMNS: &str = "id INT PRIMARY KEY, note VARCHAR(40) NOT NULL";

fn role(daemon: &Daemon) -> Option<f64> {
    daemon.metric("databus_role").ok().flatten()
}

fn wait_role(daemon: &Daemon, role_wanted: f64) -> Result<()> {
    wait_until(&format!("role {role_wanted}"), SOON, || match role(daemon) {
        Some(found) if found == role_wanted => Ok(()),
        other => Err(Not::Yet(format!("{other:?}; log: {}", last_lines(daemon)))),
    })
}

/// Two processes of one source, the first of them active.
struct Pair<'a> {
    source: Source<'a>,
    first: Daemon,
    second: Daemon,
}

impl<'a> Pair<'a> {
    fn start(source: Source<'a>) -> Result<Self> {
        let first = source.deployment.databus()?;
        wait_role(&first, 1.0)?;
        let second = source.deployment.twin(&format!("{}-twin", source.name))?.databus()?;
        ensure!(readiness(&second).contains("\"standby\""), "{}", readiness(&second));
        ensure!(
            role(&second) == Some(0.0) && role(&first) == Some(1.0),
            "the role moved to the one that joined"
        );
        Ok(Self { source, first, second })
    }

    /// Changes keep coming while `fault` happens; then the second one must go on. Answers how many rows were written.
    fn under_load(&mut self, fault: impl FnOnce(&mut Daemon) -> Result<()>) -> Result<u64> {
        let (stop, written) = (AtomicBool::new(false), AtomicU64::new(0));
        let Self { source, first, second } = self;
        std::thread::scope(|scope| -> Result<()> {
            let writer = scope.spawn(|| write_until(source, &stop, &written));
            let going_on = (|| -> Result<()> {
                wait_written(&written, 200)?;
                fault(first)?;
                let faulted = Instant::now();
                let goes_on =
                    wait_until("the second one to publish", SOON, || match second.metric("databus_seq") {
                        Ok(Some(seq)) if seq > 0.0 => Ok(()),
                        other => Err(Not::Yet(format!("{other:?}; log: {}", last_lines(second)))),
                    });
                println!("the second one goes on after {:?}", faulted.elapsed());
                goes_on?;
                // 10 s is the promise; a machine that is busy with other tests gets some more
                ensure!(faulted.elapsed() < Duration::from_secs(20), "it took {:?}", faulted.elapsed());
                let so_far = written.load(Ordering::Relaxed);
                wait_written(&written, so_far + 200)
            })();
            stop.store(true, Ordering::Relaxed);
            writer.join().map_err(|_| anyhow::anyhow!("the writer panicked"))??;
            going_on
        })?;
        Ok(written.load(Ordering::Relaxed))
    }
}

/// The body of `/readyz`, with the status before it where that is not 200.
fn readiness(daemon: &Daemon) -> String {
    get_ok(&format!("{}/readyz", daemon.admin_url()), Duration::from_secs(5))
        .unwrap_or_else(|error| error.to_string())
}

#[test]
fn a_killed_active_one_is_replaced_without_a_gap_or_a_repeat_g2_g4() -> Result<()> {
    let mut pair = Pair::start(Source::new(stack()?, COLUMNS)?)?;
    let rows = pair.under_load(|first| first.kill_9())?;
    assert_complete(&pair.source, rows)
}

#[test]
fn a_paused_active_one_is_replaced_and_publishes_nothing_when_it_wakes_g2_g4() -> Result<()> {
    let mut pair = Pair::start(Source::new(stack()?, COLUMNS)?)?;
    let rows = pair.under_load(|first| first.pause())?;
    assert_complete(&pair.source, rows)?;
    pair.first.resume()?;
    // it hears of it from the group and stands by, or in a transaction and ends; it takes nothing back
    wait_until("the woken one to know", SOON, || match pair.first.process_mut().exit_status() {
        Some(status) if status.code() == Some(10) => Ok(()),
        Some(status) => Err(Not::Ever(anyhow::anyhow!("it ended with {status}"))),
        None if role(&pair.first) == Some(0.0) => Ok(()),
        None => Err(Not::Yet(format!("it still thinks it is active; log: {}", last_lines(&pair.first)))),
    })?;
    pair.source.sql(&format!(
        "INSERT INTO entry VALUES ({}, 'after'), ({}, 'it woke')",
        rows + 1,
        rows + 2
    ))?;
    let changes = pair.source.wait_for_changes(usize::try_from(rows / 2 * 3 + 2)?)?;
    assert_dense(&changes)?;
    ensure!(
        pair.second.process_mut().is_running(),
        "the woken one fenced its successor: {}",
        last_lines(&pair.second)
    );
    ensure!(role(&pair.second) == Some(1.0), "the role went back");
    Ok(())
}

#[test]
fn an_active_one_that_is_cut_off_from_the_source_leaves_it_to_one_that_is_not_g2_g4() -> Result<()> {
    let mut source = Source::new(stack()?, COLUMNS)?;
    let proxy = Proxy::start(source.stack.mariadb()?.address())?;
    let port = source.stack.mariadb()?.address().port();
    let section = format!("source.{}", source.name);
    source.deployment.edit(|file| file.set(&section, "port", &proxy.address().port().to_string()))?;
    let first = source.deployment.databus()?;
    wait_role(&first, 1.0)?;
    let mut twin = source.deployment.twin(&format!("{}-twin", source.name))?;
    twin.edit(|file| file.set(&section, "port", &port.to_string()))?;
    let second = twin.databus()?;
    let mut pair = Pair { source, first, second };
    // half-open: connections stay, and nothing comes
    let rows = pair.under_load(|_| {
        proxy.set(Fault::Freeze);
        Ok(())
    })?;
    assert_complete(&pair.source, rows)?;
    ensure!(
        role(&pair.first) == Some(0.0),
        "the first one still holds its role: {}",
        last_lines(&pair.first)
    );
    ensure!(readiness(&pair.first).contains("the source does not answer"), "{}", readiness(&pair.first));
    proxy.set(Fault::None);
    wait_until("the first one to stand by again", SOON, || match readiness(&pair.first) {
        body if body.contains("\"standby\"") => Ok(()),
        body => Err(Not::Yet(body)),
    })?;
    ensure!(role(&pair.second) == Some(1.0), "the role went back");
    Ok(())
}

#[test]
fn a_clean_stop_hands_over_at_once_g6() -> Result<()> {
    let mut pair = Pair::start(Source::new(stack()?, COLUMNS)?)?;
    let rows = pair.under_load(|first| {
        let status = first.stop()?;
        ensure!(status.code() == Some(0), "{status}");
        Ok(())
    })?;
    assert_complete(&pair.source, rows)
}

#[test]
fn a_second_process_under_the_same_name_takes_the_place_and_the_first_ends_with_code_10_g4() -> Result<()> {
    let mut source = Source::new(stack()?, COLUMNS)?;
    source.deployment.edit(|file| file.set_text("databus", "instance", "the-one"))?;
    let mut first = source.deployment.databus()?;
    source.sql("INSERT INTO entry VALUES (1, 'to the first')")?;
    source.wait_for_changes(1)?;
    let second = source.deployment.twin(&format!("{}-twin", source.name))?.databus()?;
    assert_eq!(first.wait_exit()?, Some(10), "{}", last_lines(&first));
    // whichever tells it first, the group or a transaction
    let told = ["under the instance name the-one", "another databus has taken over"];
    let log = first.log()?;
    ensure!(told.iter().any(|words| log.contains(words)), "{}", last_lines(&first));
    source.sql("INSERT INTO entry VALUES (2, 'to the second')")?;
    assert_dense(&source.wait_for_changes(2)?)?;
    ensure!(role(&second) == Some(1.0), "{}", last_lines(&second));
    Ok(())
}

#[test]
fn a_successor_with_the_same_server_id_is_no_clash_for_the_one_that_it_replaced_g4() -> Result<()> {
    let mut source = Source::new(stack()?, COLUMNS)?;
    source.deployment.edit(|file| file.set_text("databus", "instance", "the-one"))?;
    let mut first = source.deployment.databus()?;
    source.sql("INSERT INTO entry VALUES (1, 'to the first')")?;
    source.wait_for_changes(1)?;
    // the server ends its connection with "same server_id" before it can hear of anything from the group
    first.pause()?;
    let second = source.deployment.twin(&format!("{}-twin", source.name))?.databus()?;
    wait_role(&second, 1.0)?;
    source.sql("INSERT INTO entry VALUES (2, 'to the second')")?;
    source.wait_for_changes(2)?;
    first.resume()?;
    assert_eq!(first.wait_exit()?, Some(10), "{}", last_lines(&first));
    source.sql("INSERT INTO entry VALUES (3, 'to the second')")?;
    assert_dense(&source.wait_for_changes(3)?)?;
    ensure!(role(&second) == Some(1.0), "{}", last_lines(&second));
    Ok(())
}

#[test]
fn a_lone_one_that_slept_almost_as_long_as_its_session_goes_on_when_it_wakes_g2_g4() -> Result<()> {
    let source = Source::new(stack()?, COLUMNS)?;
    let databus = source.deployment.databus()?;
    for (written, slept_ms) in [(1, 5_100), (2, 5_300), (3, 5_500)] {
        source.sql(&format!("INSERT INTO entry VALUES ({written}, 'before it slept')"))?;
        source.wait_for_changes(written)?;
        // longer than it does without word from the source, shorter than the group does without word from it
        databus.pause()?;
        let paused = Instant::now();
        wait_until("the time to pass", SOON, || match paused.elapsed() {
            enough if enough >= Duration::from_millis(slept_ms) => Ok(()),
            short => Err(Not::Yet(format!("{short:?}"))),
        })?;
        databus.resume()?;
    }
    source.sql("INSERT INTO entry VALUES (4, 'after')")?;
    assert_dense(&source.wait_for_changes(4).with_context(|| last_lines(&databus))?)?;
    // its own sleep is no silence of the source
    ensure!(!databus.log()?.contains("neither event nor heartbeat"), "{}", last_lines(&databus));
    Ok(())
}

#[test]
fn a_lone_one_starts_again_quickly_after_a_stop_and_after_a_kill() -> Result<()> {
    let source = Source::new(stack()?, COLUMNS)?;
    let mut databus = source.deployment.databus()?;
    source.sql("INSERT INTO entry VALUES (1, 'x')")?;
    source.wait_for_changes(1)?;
    for (id, killed) in [(2, true), (3, false)] {
        if killed {
            databus.kill_9()?
        } else {
            databus.stop().map(drop)?
        }
        source.sql(&format!("INSERT INTO entry VALUES ({id}, 'x')"))?;
        let started = Instant::now();
        databus.process_mut().start_again()?;
        wait_until("the first record", SOON, || match databus.metric("databus_seq") {
            Ok(Some(seq)) if seq > 0.0 => Ok(()),
            other => Err(Not::Yet(format!("{other:?}"))),
        })?;
        println!("first record {:?} after the start, killed before: {killed}", started.elapsed());
        // less than 1 s where nobody else works, whether it was stopped or killed; the session of a dead predecessor would be six
        ensure!(
            started.elapsed() < Duration::from_secs(20),
            "{:?}: {}",
            started.elapsed(),
            last_lines(&databus)
        );
    }
    assert_dense(&source.wait_for_changes(3)?)?;
    Ok(())
}

#[test]
fn readiness_turns_false_while_the_source_is_away_and_says_why() -> Result<()> {
    let mut source = Source::new(stack()?, COLUMNS)?;
    let proxy = Proxy::start(source.stack.mariadb()?.address())?;
    let section = format!("source.{}", source.name);
    source.deployment.edit(|file| file.set(&section, "port", &proxy.address().port().to_string()))?;
    let databus = source.deployment.databus()?;
    ensure!(readiness(&databus).contains("\"active\""), "{}", readiness(&databus));
    proxy.set(Fault::Refuse);
    let ready = |wanted: &'static str| {
        wait_until(&format!("{wanted} in /readyz"), SOON, || match readiness(&databus) {
            body if body.contains(wanted) => Ok(body),
            body => Err(Not::Yet(format!("{body}; log: {}", last_lines(&databus)))),
        })
    };
    let why = ready("503")?;
    ensure!(why.contains("connection to the source") || why.contains("source does not answer"), "{why}");
    proxy.set(Fault::None);
    ready("\"active\"")?;
    source.sql("INSERT INTO entry VALUES (1, 'after all')")?;
    source.wait_for_changes(1)?;
    Ok(())
}
