//! A source that compresses its binlog: the stream is the same. (MySQL's compressed transactions: databus's own tests, with its files.)

use super::{
    Source, assert_dense,
    transactions::{folded, selected, wait_equal},
};
use crate::shared::fresh;
use anyhow::{Result, ensure};
use it_tests::harness::{Part, Service, Stack};

#[test]
fn a_compressed_binlog_is_followed_like_any_other_scenario_14() -> Result<()> {
    let spec = fresh("databus-compressed")
        .only(&[Part::MariaDb, Part::Kafka])
        .mariadb_arg("--log-bin-compress=ON")
        .mariadb_arg("--log-bin-compress-min-len=10");
    let stack = Stack::start(spec)?;
    let mut source = Source::new(&stack, "id INT PRIMARY KEY, note VARCHAR(400) NOT NULL")?;
    source.deployment.edit(|file| file.set("databus", "commit_max_rows", "500"))?;
    source.sql(
        "CREATE TABLE odd (id INT PRIMARY KEY, t LONGTEXT); INSERT INTO odd VALUES (1, REPEAT('x', 100000));
         INSERT INTO entry SELECT seq, RPAD(RAND(), 300, RAND()) FROM seq_1_to_40000;
         BEGIN; INSERT INTO entry VALUES (50001, REPEAT('kept ', 20)); SAVEPOINT a_long_name_for_a_savepoint; DELETE FROM entry WHERE id < 30;
         CREATE TEMPORARY TABLE tt (id INT); ROLLBACK TO a_long_name_for_a_savepoint; COMMIT",
    )?;
    let mut databus = source.deployment.databus()?;
    source
        .sql("UPDATE entry SET note = REPEAT(id, 20) WHERE id % 2 = 0; DELETE FROM entry WHERE id % 7 = 0")?;
    wait_equal(&source, &["entry"], &databus)?;
    databus.kill_9()?;
    databus.start_again()?;
    source.sql("SET GLOBAL log_bin_compress = OFF; UPDATE entry SET id = id + 100000 WHERE id % 3 = 0; SET GLOBAL log_bin_compress = ON")?;
    let changes = wait_equal(&source, &["entry"], &databus)?;
    assert_dense(&changes)?;
    ensure!(folded(&changes)? == selected(&source, &["entry"])?, "the stream does not end in the table");
    // statements are compressed too, and recognised
    source
        .sql("TRUNCATE /* a comment that makes the statement long enough to be compressed */ TABLE entry")?;
    super::ddl::wait_for_mark(&source, "truncate")?;
    Ok(())
}
