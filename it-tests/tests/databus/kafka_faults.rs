//! Scenario 18: whatever happens to the broker, stage 1 holds every change once and in order, or databus stops and says why.

use super::{
    SOON, Source, assert_complete, assert_dense, fresh, last_lines, stack, wait_written, write_until,
};
use anyhow::{Context, Result, bail, ensure};
use it_tests::{
    documented::documented,
    harness::{Daemon, Not, Part, Service, Stack, wait_until},
    topic,
};
use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

const COLUMNS: &str = "id INT PRIMARY KEY, note VARCHAR(40) NOT NULL";

/// A databus that logs what the Kafka client itself says: these tests look for it.
fn talkative(source: &Source<'_>) -> Result<Daemon> {
    source.deployment.clone().env("RUST_LOG", "info,databus::publish=debug").databus()
}

/// Starts databus on a source with one change, and answers it with stage 1's topic.
fn with_one_change<'a>(stack: &'a Stack) -> Result<(Source<'a>, Daemon, String)> {
    let source = Source::new(stack, COLUMNS)?;
    let databus = talkative(&source)?;
    source.sql("INSERT INTO entry VALUES (1, 'before')")?;
    source.wait_for_changes(1)?;
    let topic = format!("changes.{}", source.name);
    Ok((source, databus, topic))
}

fn ends_saying(mut databus: Daemon, code: i32, words: &str) -> Result<String> {
    let found = databus.wait_exit()?;
    ensure!(found == Some(code), "exit code {found:?}: {}", last_lines(&databus));
    ensure!(databus.log()?.contains(words), "{words:?} is not in: {}", last_lines(&databus));
    databus.log()
}

#[test]
fn a_databus_that_is_fenced_from_outside_its_group_ends_with_code_10_scenario_18() -> Result<()> {
    let stack = stack()?;
    let (source, databus, _) = with_one_change(stack)?;
    topic::take_over(&stack.kafka_brokers()?, &format!("databus.{}", source.name))?;
    source.sql("INSERT INTO entry VALUES (2, 'after')")?;
    let log = ends_saying(databus, 10, "another databus has taken over")?;
    documented("another process takes over", &source.name, Some(10), &log)?;
    ensure!(source.changes()?.len() == 1, "a fenced process published");
    Ok(())
}

#[test]
fn a_stage_1_topic_with_more_partitions_stops_the_stream_scenario_18() -> Result<()> {
    let stack = stack()?;
    let (source, databus, topic) = with_one_change(stack)?;
    topic::widen(&stack.kafka_brokers()?, &topic, 2)?;
    let log = ends_saying(databus, 1, "has 2 partitions but must have 1")?;
    documented("stage 1 with more than one partition", &source.name, Some(1), &log)
}

#[test]
fn a_stage_1_topic_that_is_deleted_stops_the_stream_and_the_next_start_scenario_18() -> Result<()> {
    let stack = stack()?;
    let (source, databus, topic) = with_one_change(stack)?;
    topic::delete(&stack.kafka_brokers()?, &topic)?;
    let log = ends_saying(databus, 1, "was deleted while it was in use")?;
    documented("stage 1 deleted while it is written", &source.name, Some(1), &log)?;
    // it would make the topic anew, and number on in it as if the changes before were there
    let next = source.deployment.daemon_unready("databus", &["run"])?;
    let log = ends_saying(next, 1, "its topic was deleted and made anew")?;
    documented("stage 1 deleted between two runs", &source.name, Some(1), &log)
}

#[test]
fn a_stage_1_topic_that_is_made_anew_under_a_running_stream_takes_no_change_scenario_18() -> Result<()> {
    let stack = stack()?;
    let (source, databus, topic) = with_one_change(stack)?;
    topic::delete(&stack.kafka_brokers()?, &topic)?;
    topic::create(&stack.kafka_brokers()?, &topic)?;
    source.sql("INSERT INTO entry VALUES (2, 'into the new topic')")?;
    ends_saying(databus, 1, "was deleted")?;
    ensure!(source.changes()?.is_empty(), "a change without those before it is visible");
    Ok(())
}

#[test]
fn a_broker_that_answers_after_the_timeout_costs_and_doubles_nothing_scenario_18() -> Result<()> {
    let mut stack = Stack::start(fresh("databus-late").only(&[Part::MariaDb, Part::Kafka]))?;
    let kafka = stack.kafka.take().ok_or_else(|| anyhow::anyhow!("the stack has no broker"))?;
    let (stop, written) = (AtomicBool::new(false), AtomicU64::new(0));
    let source = Source::new(&stack, COLUMNS)?;
    let databus = talkative(&source)?;
    std::thread::scope(|scope| -> Result<()> {
        let writer = scope.spawn(|| write_until(&source, &stop, &written));
        let pausing = (|| -> Result<()> {
            wait_written(&written, 200)?;
            // what was sent lies in the broker's sockets: it takes it when it wakes, after the client has given it up
            kafka.pause()?;
            // its client first, or its place in the group, whichever comes to its end sooner
            let given_up = ["message(s) timed out on", "no longer the active one"];
            wait_until("databus to give up", SOON, || match databus.log() {
                Ok(log) if given_up.iter().any(|words| log.contains(words)) => Ok(()),
                _ => Err(Not::Yet(last_lines(&databus))),
            })?;
            kafka.resume()
        })();
        stop.store(true, Ordering::Relaxed);
        writer.join().map_err(|_| anyhow::anyhow!("the writer panicked"))??;
        pausing
    })?;
    assert_complete(&source, written.load(Ordering::Relaxed)).with_context(|| last_lines(&databus))?;
    // not every time: it depends on which of its requests to join the broker reads last
    println!("replaced by itself: {}", databus.log()?.contains("joining anew"));
    Ok(())
}

#[test]
fn a_transactional_id_that_the_broker_has_forgotten_is_made_anew_scenario_18() -> Result<()> {
    let spec = fresh("databus-forgotten")
        .only(&[Part::MariaDb, Part::Kafka])
        .kafka_property("transactional.id.expiration.ms=3000")
        .kafka_property("transaction.remove.expired.transaction.cleanup.interval.ms=500")
        .kafka_property("producer.id.expiration.ms=3000");
    let stack = Stack::start(spec)?;
    let (source, databus, _) = with_one_change(&stack)?;
    // the broker looks for what to forget at moments of its own
    for attempt in 0..5 {
        // a paused process commits nothing; it wakes before its session ends, so that it is still the active one
        databus.pause()?;
        let paused = Instant::now();
        wait_until("the broker to forget", SOON, || match paused.elapsed() {
            enough if enough >= Duration::from_millis(4_500) => Ok(()),
            short => Err(Not::Yet(format!("{short:?}"))),
        })?;
        databus.resume()?;
        let (first, second) = (2 + 2 * attempt, 3 + 2 * attempt);
        source.sql(&format!("INSERT INTO entry VALUES ({first}, 'after'), ({second}, 'that')"))?;
        assert_dense(&source.wait_for_changes(second).with_context(|| last_lines(&databus))?)?;
        if databus.log()?.contains("not currently assigned to its transactional id") {
            return Ok(());
        }
    }
    bail!("the broker never forgot it: {}", last_lines(&databus))
}
