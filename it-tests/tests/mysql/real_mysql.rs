//! The server that these tests run against is a real MySQL, set up as a source must be.

use anyhow::{Context, Result, ensure};
use it_tests::harness::{Flavour, Part, Service, Stack};
use it_tests::shared::{fresh, stack_on, unique};
use sqlx::{Connection, MySqlConnection};

#[tokio::test(flavor = "multi_thread")]
async fn mysql_answers_a_row_to_a_user_with_a_sha2_password() -> Result<()> {
    let mysql = stack_on(Flavour::MySql97)?.mariadb()?;
    let version = mysql.version()?;
    println!("mysql {version}");
    ensure!(!version.contains("MariaDB"), "not a mysql: {version}");
    let database = unique("rows");
    mysql.create_database(&database)?;
    mysql.sql(&format!(
        "CREATE TABLE {database}.one (id BIGINT UNSIGNED PRIMARY KEY, name VARCHAR(40) NOT NULL);
         INSERT INTO {database}.one VALUES (18446744073709551615, '收款')"
    ))?;

    let mut reader = MySqlConnection::connect(&mysql.url("databus", &database)?).await?;
    let row: (u64, String) = sqlx::query_as("SELECT id, name FROM one").fetch_one(&mut reader).await?;

    assert_eq!(row, (u64::MAX, "收款".to_owned()));
    let plugin = mysql
        .sql("SELECT plugin FROM mysql.user WHERE user = 'databus'")
        .context("read the user's plugin")?;
    assert_eq!(plugin.trim(), "caching_sha2_password");
    Ok(())
}

#[test]
fn mysql_writes_a_binlog_that_databus_can_read_and_keeps_it_over_a_power_cut() -> Result<()> {
    let mut stack = Stack::start(fresh("mysql-cut").only(&[Part::MariaDb]).flavour(Flavour::MySql97))?;
    let settings =
        "SELECT @@binlog_format, @@binlog_row_image, @@binlog_row_metadata, @@gtid_mode, @@sync_binlog";
    assert_eq!(stack.mariadb()?.sql(settings)?.trim(), "ROW\tFULL\tFULL\tON\t1");
    stack
        .mariadb()?
        .sql("CREATE TABLE bills.kept (id INT PRIMARY KEY); INSERT INTO bills.kept VALUES (7)")?;
    let before = stack.mariadb()?.sql("SELECT @@gtid_executed")?;

    stack.mariadb_mut()?.kill_9()?;
    stack.mariadb_mut()?.start_again()?;

    assert_eq!(stack.mariadb()?.sql("SELECT id FROM bills.kept")?, "7\n");
    assert_eq!(stack.mariadb()?.sql("SELECT @@gtid_executed")?, before);
    Ok(())
}
