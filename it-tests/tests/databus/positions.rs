//! Positions that the source no longer has: five different errors, and never a silent jump.

use super::{SOON, Source, assert_dense, histories, last_lines, refusal};
use crate::shared::fresh;
use anyhow::{Context, Result, ensure};
use change_event::checkpoint::BinlogPosition;
use it_tests::documented::documented;
use it_tests::harness::{Not, Part, Service, Stack, wait_until};

const COLUMNS: &str = "id INT PRIMARY KEY, note LONGTEXT NOT NULL";

fn own_stack(name: &str) -> Result<Stack> {
    Stack::start(fresh(name).only(&[Part::MariaDb, Part::Kafka]))
}

/// The end of the source's binlog.
fn end(source: &Source<'_>) -> Result<BinlogPosition> {
    let status = source.sql("SHOW MASTER STATUS")?;
    let mut fields = status.split('\t');
    let (file, pos) = fields.next().zip(fields.next()).context("no binlog")?;
    Ok(BinlogPosition { file: file.to_owned(), pos: pos.parse()? })
}

/// One row with a note of so many letters. The statement's own length, which is in the binlog too, is always the same.
fn insert(source: &Source<'_>, id: u32, letters: u64) -> Result<()> {
    source.sql(&format!("INSERT INTO entry VALUES ({id:03}, REPEAT('x', {letters:06}))")).map(drop)
}

/// Begins the binlog anew and fills its second file so that an event ends exactly at `pos`.
fn begin_anew_with_an_event_that_ends_at(source: &Source<'_>, pos: u64) -> Result<()> {
    source.sql("RESET MASTER; FLUSH BINARY LOGS")?;
    for id in 100..200 {
        let before = end(source)?.pos;
        insert(source, id, 1)?;
        let after = end(source)?.pos;
        // the server adds events of its own near the beginning of a file whenever it comes to it: measure again then
        let letters = (pos + 1).checked_sub(2 * after - before).context("the file is longer already")?;
        insert(source, id + 100, letters)?;
        if end(source)?.pos == pos {
            return insert(source, 300, 5);
        }
        source.sql("RESET MASTER; FLUSH BINARY LOGS")?;
    }
    anyhow::bail!("no event ends at {pos}")
}

/// A source whose databus read up to some way into its second binlog file and has ended.
fn read_into_the_second_file(stack: &Stack) -> Result<(Source<'_>, BinlogPosition)> {
    let source = Source::new(stack, COLUMNS)?;
    source.sql("FLUSH BINARY LOGS")?;
    let mut databus = source.deployment.databus()?;
    insert(&source, 1, 20_000)?;
    source.wait_for_changes(1)?;
    databus.stop()?;
    let position = source.checkpoint()?.position;
    ensure!(position.file.ends_with(".000002") && position.pos > 20_000, "{position:?}");
    Ok((source, position))
}

/// `input`: the row of docs/bad-input.md.
fn assert_refused(source: &Source<'_>, input: &str, code: i32, parts: &[&str]) -> Result<()> {
    let before = source.changes()?.len();
    let (found, message) = refusal(&source.deployment)?;
    ensure!(found == Some(code), "exit code {found:?} and not {code}:\n{message}");
    for part in parts {
        ensure!(message.contains(part), "{part:?} is not in:\n{message}");
    }
    documented(input, &source.name, found, &message)?;
    ensure!(!message.contains(" ready"), "ready before it was refused:\n{message}");
    ensure!(source.changes()?.len() == before, "changes behind a gap were published");
    Ok(())
}

#[test]
fn a_binlog_begun_anew_is_refused_even_where_the_stored_position_exists_again_scenario_5() -> Result<()> {
    let stack = own_stack("databus-reset-boundary")?;
    let (source, position) = read_into_the_second_file(&stack)?;
    begin_anew_with_an_event_that_ends_at(&source, position.pos)?;
    assert_refused(
        &source,
        "lost position: a binlog begun anew in which the stored place exists again",
        12,
        &["another history", "the last transaction before it was"],
    )
}

#[test]
fn a_binlog_begun_anew_is_refused_where_the_stored_position_lies_inside_an_event_scenario_5() -> Result<()> {
    let stack = own_stack("databus-reset-inside")?;
    let (source, _) = read_into_the_second_file(&stack)?;
    source.sql("RESET MASTER; FLUSH BINARY LOGS")?;
    insert(&source, 2, 90_000)?;
    assert_refused(
        &source,
        "lost position: a binlog begun anew in which no event begins at the stored place",
        12,
        &["another history", "no event begins there"],
    )
}

#[test]
fn a_purged_file_is_refused_with_the_oldest_that_is_left_scenario_4() -> Result<()> {
    let stack = own_stack("databus-purged")?;
    let (source, _) = read_into_the_second_file(&stack)?;
    insert(&source, 2, 5)?;
    source.sql("FLUSH BINARY LOGS; FLUSH BINARY LOGS")?;
    // the server keeps a file until it has noticed that its reader is gone
    wait_until("the file to be purged", SOON, || {
        let files = source.sql("PURGE BINARY LOGS TO 'binlog.000004'; SHOW BINARY LOGS").map_err(Not::yet)?;
        if files.contains("binlog.000002") { Err(Not::Yet(files)) } else { Ok(()) }
    })?;
    assert_refused(
        &source,
        "lost position: a binlog file purged before it was read",
        11,
        &["has purged the binlog file binlog.000002", "is binlog.000004", "snapshot"],
    )
}

#[test]
fn a_position_past_the_end_or_in_a_file_that_is_not_there_yet_is_another_history_scenarios_4_and_5()
-> Result<()> {
    let stack = own_stack("databus-past-end")?;
    let (source, _) = read_into_the_second_file(&stack)?;
    source.sql("RESET MASTER")?;
    assert_refused(
        &source,
        "lost position: a binlog that ends before the stored file",
        12,
        &["another history", "the files are binlog.000001"],
    )?;
    source.sql("FLUSH BINARY LOGS")?;
    assert_refused(
        &source,
        "lost position: a binlog file that is cut before the stored place",
        12,
        &["another history", "binlog.000002 ends at"],
    )?;
    source.sql("RESET MASTER TO 999998")?;
    // a higher number is purged or begun anew, and what is left cannot tell which: nothing is skipped either way
    assert_refused(
        &source,
        "lost position: a binlog file purged before it was read",
        11,
        &["has purged the binlog file binlog.000002"],
    )
}

#[test]
fn the_millionth_file_is_read_after_the_one_before_it_scenario_6() -> Result<()> {
    let stack = own_stack("databus-millionth")?;
    let source = Source::new(&stack, COLUMNS)?;
    source.sql("RESET MASTER TO 999999")?;
    let mut databus = source.deployment.databus()?;
    insert(&source, 1, 5)?;
    source.wait_for_changes(1)?;
    source.sql("FLUSH BINARY LOGS")?;
    insert(&source, 2, 5)?;
    source.wait_for_changes(2)?;
    databus.stop()?;
    ensure!(source.checkpoint()?.position.file == "binlog.1000000", "{:?}", source.checkpoint()?.position);
    insert(&source, 3, 5)?;
    databus.start_again()?;
    source.wait_for_changes(3)?;
    Ok(())
}

/// What a huge transaction adds to a file: as much as CI can bear; `DATABUS_HUGE_FILE_MB=4400` passes 4 GiB (and wants 10 GB of disk).
const HUGE_FILE_MB: u64 = 30;
/// Transactions that are committed in one group with the huge one, and so stand behind it in its file, which is closed only then.
const BEHIND: u64 = 20;
const ROWS_EACH: u64 = 2_000;

/// Rows of a transaction, by the ids that it begins with.
fn rows_from(first: u64) -> String {
    let rows: Vec<_> = (first..first + ROWS_EACH).map(|id| format!("({id}, 'x')")).collect();
    format!("INSERT INTO entry VALUES {}", rows.join(", "))
}

#[test]
fn what_stands_behind_a_huge_transaction_in_its_file_is_read_on_after_kills_scenario_15() -> Result<()> {
    let megabytes = std::env::var("DATABUS_HUGE_FILE_MB").ok().and_then(|size| size.parse().ok());
    let megabytes: u64 = megabytes.unwrap_or(HUGE_FILE_MB);
    let stack = own_stack("positions-huge")?;
    let mut source = Source::new(&stack, COLUMNS)?;
    source.deployment.edit(|file| file.set("databus", "commit_max_rows", "200"))?;
    // an update of it writes 6 MB: both images, and no more than a number is stored
    source.sql(&format!(
        "CREATE TABLE wide (id INT PRIMARY KEY, n INT NOT NULL, note LONGTEXT NOT NULL);
         INSERT INTO wide SELECT seq, 0, REPEAT('x', 60000) FROM seq_1_to_50; FLUSH BINARY LOGS;
         SET GLOBAL binlog_commit_wait_count = {}, GLOBAL binlog_commit_wait_usec = 100000000",
        BEHIND + 1
    ))?;
    let mut databus = source.deployment.databus()?;
    let updates = "UPDATE wide SET n = n + 1;".repeat(usize::try_from(megabytes / 6 + 1)?);
    let huge = format!("BEGIN; {updates} {}; COMMIT", rows_from(1));
    std::thread::scope(|scope| -> Result<()> {
        let mut writers = vec![scope.spawn(|| source.sql(&huge))];
        let committing = "SELECT COUNT(*) FROM information_schema.processlist WHERE info = 'COMMIT'";
        wait_until("the huge transaction to commit", SOON * 10, || match source.sql(committing) {
            Ok(count) if count.trim() == "1" => Ok(()),
            other => Err(Not::Yet(format!("{other:?}"))),
        })?;
        for behind in 1..=BEHIND {
            let source = &source;
            writers.push(scope.spawn(move || source.sql(&rows_from(1 + behind * ROWS_EACH))));
        }
        writers
            .into_iter()
            .try_for_each(|writer| writer.join().map_err(|_| anyhow::anyhow!("a writer panicked"))?.map(drop))
    })?;
    // within the huge one, behind it, and once more
    for wanted in [200, ROWS_EACH + 1_000, 5 * ROWS_EACH] {
        wait_until("some of the rows", SOON * 10, || match databus.metric("databus_seq") {
            Ok(Some(seq)) if seq >= wanted as f64 => Ok(()),
            other => Err(Not::Yet(format!("{other:?}"))),
        })
        .with_context(|| last_lines(&databus))?;
        databus.kill_9()?;
        println!(
            "{megabytes} MB: killed at seq {wanted} or later, checkpoint {:?}",
            source.checkpoint()?.position
        );
        databus.start_again()?;
    }
    let all = (BEHIND + 1) * ROWS_EACH;
    let changes = source.wait_for_changes(usize::try_from(all)?).with_context(|| last_lines(&databus))?;
    assert_dense(&changes)?;
    ensure!(histories(&changes)?.len() as u64 == all, "rows were doubled");
    source.sql("SET GLOBAL binlog_commit_wait_count = 0")?;
    insert(&source, 999_999, 5)?;
    source.wait_for_changes(usize::try_from(all + 1)?)?;
    Ok(())
}
