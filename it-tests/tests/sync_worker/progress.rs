//! Progress marks (G10).

use super::world::{SOON, World};
use anyhow::{Context, Result, ensure};
use change_event::{
    checkpoint,
    progress::{self, partition_of},
};
use it_tests::harness::{Not, http::get_ok, wait_until};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const PARTITIONS: i32 = 12;

/// A checkpoint as databus writes it, with a second of its `as_of`.
fn checkpoint(world: &World<'_>, seq: i64, second: u32) -> (String, Option<Value>) {
    let checkpoint = json!({
        "source_identity": {"server_id": 1}, "epoch": 0, "seq": seq, "gtid": format!("0-1-{seq}"),
        "position": {"file": "binlog.000001", "pos": 4}, "events_done_in_next": 0, "as_of": format!("2026-11-23T10:00:{second:02}.000000Z"),
    });
    (world.name.clone(), Some(checkpoint))
}

/// (seq, gtid, as_of) of each partition, in the store and in the index.
fn progress_in_store(world: &World<'_>) -> Result<Vec<(i32, String)>> {
    let rows = world.store_sql(&format!(
        "SELECT topic_partition, CONCAT_WS(' ', seq, gtid, DATE_FORMAT(as_of, '%H:%i:%s.%f')) FROM progress
         WHERE topic = '{}' AND source = '{}' ORDER BY topic_partition",
        world.bills(),
        world.name
    ))?;
    rows.lines()
        .map(|row| {
            let (partition, text) = row.split_once('\t').context("a row of one cell")?;
            Ok((partition.parse()?, text.to_owned()))
        })
        .collect()
}

fn progress_in_index(world: &World<'_>) -> Result<Vec<(i32, String)>> {
    let url = format!("{}/{}-progress", world.stack.elasticsearch_url()?, world.bills());
    get_ok(&format!("{url}/_refresh"), SOON)?;
    let found: Value = serde_json::from_str(&get_ok(&format!("{url}/_search?size=100"), SOON)?)?;
    let mut marks = Vec::new();
    for hit in found["hits"]["hits"].as_array().context("no hits")? {
        let mark = &hit["_source"];
        let as_of = mark["as_of"].as_str().context("no as_of")?;
        let partition = i32::try_from(mark["topic_partition"].as_i64().context("no partition")?)?;
        marks.push((
            partition,
            format!("{} {} {}", mark["seq"], mark["gtid"].as_str().unwrap_or("-"), &as_of[11..26]),
        ));
    }
    marks.sort();
    Ok(marks)
}

fn wait_for_progress(world: &World<'_>, expected: &str) -> Result<()> {
    let expected: Vec<_> = (0..PARTITIONS).map(|partition| (partition, expected.to_owned())).collect();
    wait_until("both sinks to say how far they are", SOON, || {
        let found =
            (progress_in_store(world).map_err(Not::yet)?, progress_in_index(world).map_err(Not::yet)?);
        if found.0 == expected && found.1 == expected { Ok(()) } else { Err(format!("{found:?}").into()) }
    })
}

#[test]
fn both_sinks_say_how_far_they_are_in_every_partition_also_on_an_idle_source_g10() -> Result<()> {
    let world = World::new()?;
    let _worker = world.deployment.daemon("sync-worker", &["run"])?;
    let feed = world.feed("databus")?;
    let order = |seq: i64| {
        let id = seq as u64;
        (
            format!("{{\"order_id\":{id}}}"),
            Some(world.change(seq, None, Some(&world.order(id, 10 + id, 50 + id, "x")))),
        )
    };
    feed.commit(&world.changes(), &[order(1), order(2), order(3)])?;
    feed.commit(checkpoint::TOPIC, &[checkpoint(&world, 3, 1)])?;
    wait_for_progress(&world, "3 0-1-3 10:00:01.000000")?;

    // nothing is claimed before it is there: of these two the second's changes are not in stage 1 yet
    feed.commit(checkpoint::TOPIC, &[checkpoint(&world, 3, 2), checkpoint(&world, 5, 3)])?;
    wait_for_progress(&world, "3 0-1-3 10:00:02.000000")?;
    feed.commit(&world.changes(), &[order(4), order(5)])?;
    wait_until("progress up to 5", SOON, || match progress_in_store(&world) {
        Ok(marks) if marks.iter().all(|(_, mark)| mark.starts_with("5 ")) => Ok(()),
        other => Err(Not::Yet(format!("{other:?}"))),
    })?;
    let held = world.store()?;
    ensure!(held.len() == 10, "the store is said to hold 10 bills: {held:?}");
    wait_for_progress(&world, "5 0-1-5 10:00:03.000000")?;

    // an idle source moves on in time alone
    feed.commit(checkpoint::TOPIC, &[checkpoint(&world, 5, 9)])?;
    wait_for_progress(&world, "5 0-1-5 10:00:09.000000")?;

    // every partition has its marks behind the bills that they cover
    let stage2 = world.stage2()?;
    let marked: BTreeSet<i32> = stage2
        .iter()
        .filter(|record| record.header(progress::HEADER).is_some())
        .map(|record| record.partition)
        .collect();
    assert_eq!(marked, (0..PARTITIONS).collect());
    for record in stage2.iter().filter(|record| record.value.is_some()) {
        assert_eq!(record.partition, partition_of(record.key.parse()?, PARTITIONS), "account {}", record.key);
    }
    Ok(())
}

#[test]
fn a_router_that_takes_over_marks_what_the_one_before_routed_g10() -> Result<()> {
    let world = World::new()?;
    let router = world.deployment.daemon("sync-worker", &["run", "--role", "router"])?;
    let feed = world.feed("databus")?;
    let change = world.change(1, None, Some(&world.order(1, 10, 20, "x")));
    feed.commit(&world.changes(), &[("1".to_owned(), Some(change))])?;
    wait_until("the change to be routed", SOON, || match world.stage2() {
        Ok(stage2) if stage2.len() == 2 => Ok(()),
        other => Err(Not::Yet(format!("{other:?}"))),
    })?;
    drop(router);
    feed.commit(checkpoint::TOPIC, &[checkpoint(&world, 1, 7)])?;
    let _worker = world.deployment.daemon("sync-worker", &["run"])?;
    wait_for_progress(&world, "1 0-1-1 10:00:07.000000")
}
