//! Servers that are not, or no longer, what databus read from before, and rows that are too large for a default broker.

use super::{Source, assert_dense, histories, last_lines, refusal};
use crate::shared::{fresh, stack};
use anyhow::{Context, Result, ensure};
use it_tests::harness::{Part, Service, Stack};
use std::{
    fs::OpenOptions,
    io::{Read, Seek, SeekFrom, Write},
};

const COLUMNS: &str = "id INT PRIMARY KEY, note VARCHAR(40) NOT NULL";

fn own_stack(name: &str) -> Result<Stack> {
    Stack::start(fresh(name).only(&[Part::MariaDb, Part::Kafka]))
}

#[test]
fn a_server_under_another_id_that_has_the_same_transactions_is_read_on_by_gtid_scenario_7() -> Result<()> {
    let stack = own_stack("databus-other-id")?;
    let source = Source::new(&stack, COLUMNS)?;
    let databus = source.deployment.databus()?;
    source.sql("INSERT INTO entry VALUES (1, 'x')")?;
    source.wait_for_changes(1)?;
    // what a failover behind one address looks like to a reader: another id, and the connection breaks
    let dump = source
        .sql("SET GLOBAL server_id = 77; SELECT id FROM information_schema.processlist WHERE command = 'Binlog Dump'")?;
    source.sql(&format!("KILL {}; INSERT INTO entry VALUES (2, 'x')", dump.trim()))?;
    assert_dense(&source.wait_for_changes(2).with_context(|| last_lines(&databus))?)?;
    let log = databus.log()?;
    ensure!(log.contains("reading on by gtid"), "{log}");
    Ok(())
}

#[test]
fn each_file_says_itself_whether_its_events_end_in_a_checksum() -> Result<()> {
    let stack = own_stack("databus-checksum")?;
    let source = Source::new(&stack, COLUMNS)?;
    let mut databus = source.deployment.databus()?;
    source.sql("INSERT INTO entry VALUES (1, 'with')")?;
    source.wait_for_changes(1)?;
    databus.stop()?;
    // both kinds of files wait to be read, and the server now says NONE
    source.sql("INSERT INTO entry VALUES (2, 'with'); SET GLOBAL binlog_checksum = NONE; INSERT INTO entry VALUES (3, 'without')")?;
    databus.start_again()?;
    assert_dense(&source.wait_for_changes(3)?)?;
    // and it changes under a reader
    source.sql("SET GLOBAL binlog_checksum = CRC32; INSERT INTO entry VALUES (4, 'with')")?;
    let changes = source.wait_for_changes(4)?;
    assert_dense(&changes)?;
    assert_eq!(histories(&changes)?.len(), 4);
    Ok(())
}

#[test]
fn an_event_that_is_damaged_on_the_sources_disk_stops_the_stream_with_its_place_g7() -> Result<()> {
    let stack = own_stack("databus-damaged")?;
    let source = Source::new(&stack, COLUMNS)?;
    source.sql("INSERT INTO entry VALUES (1, 'abcdefgh-to-be-damaged')")?;
    let datadir = source.sql("SELECT @@datadir")?;
    let file = source.sql("SHOW MASTER STATUS")?;
    let file = file.split('\t').next().context("no binlog")?;
    flip(&format!("{}/{file}", datadir.trim().trim_end_matches('/')), b"abcdefgh-to-be-damaged")?;
    let (code, message) = refusal(&source.deployment)?;
    ensure!(code == Some(1) && message.contains("damaged"), "exit code {code:?}:\n{message}");
    Ok(())
}

/// Changes one letter of the text's last place in the file.
fn flip(path: &str, text: &[u8]) -> Result<()> {
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let at = bytes.windows(text.len()).rposition(|window| window == text).context("the text is not there")?;
    file.seek(SeekFrom::Start(at as u64))?;
    file.write_all(b"X")?;
    Ok(())
}

#[test]
fn a_row_of_megabytes_gets_through_a_broker_with_default_limits_g1() -> Result<()> {
    let source = Source::new(stack()?, "id INT PRIMARY KEY, body LONGBLOB NOT NULL")?;
    let _databus = source.deployment.databus()?;
    source.sql(
        "SET group_concat_max_len = 9000000;
         INSERT INTO entry SELECT 1, GROUP_CONCAT(RANDOM_BYTES(1024) SEPARATOR '') FROM seq_1_to_3000;
         INSERT INTO entry VALUES (2, 'small')",
    )?;
    let changes = source.wait_for_changes(2)?;
    ensure!(changes[0].len() > 4_000_000, "only {} bytes", changes[0].len());
    Ok(())
}
