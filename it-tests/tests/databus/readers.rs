//! Readers of stage 1 that are not ours: what Flink's `debezium-json` format makes of it equals what the source's SELECT returns.

use super::{Source, assert_dense};
use crate::shared::stack;
use anyhow::{Context, Result, ensure};
use it_tests::{flink, topic::read_all};

/// Column, its type, Flink's type for it, and the value as Flink prints it, in SQL.
const COLUMNS: [(&str, &str, &str, &str); 29] = [
    ("id", "BIGINT UNSIGNED PRIMARY KEY", "DECIMAL(20, 0)", "id"),
    ("tiny", "TINYINT", "TINYINT", "tiny"),
    ("small", "SMALLINT UNSIGNED", "INT", "small"),
    ("medium", "MEDIUMINT", "INT", "medium"),
    ("whole", "INT UNSIGNED", "BIGINT", "whole"),
    ("big", "BIGINT", "BIGINT", "big"),
    ("year_of", "YEAR", "INT", "year_of + 0"),
    ("price", "DECIMAL(38,10)", "DECIMAL(38, 10)", "price"),
    ("cheap", "DECIMAL(4,2)", "DECIMAL(4, 2)", "cheap"),
    ("ratio", "DOUBLE", "DOUBLE", "ratio"),
    ("part", "FLOAT", "FLOAT", "part"),
    ("flag", "BIT(1)", "BOOLEAN", "IF(flag IS NULL, NULL, IF(flag, 'true', 'false'))"),
    ("bits", "BIT(9)", "BYTES", "LOWER(CONCAT(LPAD(HEX(bits & 255), 2, '0'), LPAD(HEX(bits >> 8), 2, '0')))"),
    ("code", "CHAR(3) CHARACTER SET ascii", "STRING", "code"),
    ("note", "TEXT", "STRING", "note"),
    ("latin", "VARCHAR(9) CHARACTER SET latin1", "STRING", "latin"),
    ("gbk", "VARCHAR(9) CHARACTER SET gbk", "STRING", "gbk"),
    ("kind", "ENUM('collect','pay')", "STRING", "kind"),
    ("tags", "SET('a','b')", "STRING", "tags"),
    ("doc", "JSON", "STRING", "doc"),
    ("raw", "BINARY(4)", "BYTES", "LOWER(HEX(raw))"),
    ("blob_of", "VARBINARY(300)", "BYTES", "LOWER(HEX(blob_of))"),
    ("day_of", "DATE", "INT", "DATEDIFF(day_of, '1970-01-01')"),
    ("clock", "TIME(6)", "BIGINT", "CAST(TIME_TO_SEC(clock) * 1000000 AS SIGNED)"),
    ("at_six", "DATETIME(6)", "BIGINT", "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', at_six)"),
    ("at_zero", "DATETIME", "BIGINT", "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', at_zero) DIV 1000"),
    ("stamp", "TIMESTAMP(3) NULL", "TIMESTAMP_LTZ(3)", "DATE_FORMAT(stamp, '%Y-%m-%dT%T.123')"),
    ("uid", "UUID", "STRING", "uid"),
    ("ip", "INET6", "STRING", "ip"),
];

/// The row as Flink should print it, by SELECT.
fn selected(source: &Source<'_>, id: &str) -> Result<Vec<String>> {
    let values: Vec<&str> = COLUMNS.iter().map(|(_, _, _, sql)| *sql).collect();
    let row = source
        .sql(&format!("SET time_zone = '+00:00'; SELECT {} FROM entry WHERE id = {id}", values.join(", ")))?;
    let row = row.trim_end_matches('\n');
    Ok(row.split('\t').map(|value| if value == "NULL" { "\\N" } else { value }.to_owned()).collect())
}

#[test]
fn a_stock_debezium_json_reader_gets_every_row_with_every_value_and_skips_marks() -> Result<()> {
    let columns: Vec<String> = COLUMNS.iter().map(|(name, kind, _, _)| format!("{name} {kind}")).collect();
    let source = Source::new(stack()?, &columns.join(", "))?;
    let _databus = source.deployment.databus()?;
    let mut expected: Vec<(&str, Vec<String>)> = Vec::new();
    source.sql(
        "SET time_zone = '+08:00';
         INSERT INTO entry VALUES (18446744073709551615, -128, 65535, -8388608, 4294967295, -9223372036854775808, 2026,
           -1234567890123456789012345678.0123456789, -0.29, -0.1, 0.5, 1, 5, 'CNY', 'tab\\tline\\nback\\\\slash', 'é', '收款', 'pay', 'a,b',
           '{\"a\": [1, 2.50]}', x'ff00', x'00ff', '1969-12-31', '-01:00:00.500000', '1969-12-31 23:59:59.999999', '2026-11-22 18:20:00',
           '2026-11-22 18:20:00.123', '123e4567-e89b-12d3-a456-426655440000', '2001:db8::ff00:42:8329')",
    )?;
    let extreme = selected(&source, "18446744073709551615")?;
    expected.push(("+I", extreme));
    source.sql("INSERT INTO entry (id) VALUES (1)")?;
    let nulls = selected(&source, "1")?;
    ensure!(nulls[1..].iter().all(|value| value == "\\N"), "{nulls:?}");
    expected.push(("+I", nulls.clone()));
    source
        .sql("UPDATE entry SET note = 'now', price = 0.5, stamp = '2026-11-22 10:20:00.123' WHERE id = 1")?;
    let updated = selected(&source, "1")?;
    expected.extend([("-U", nulls), ("+U", updated.clone())]);
    source.sql("UPDATE entry SET id = 2 WHERE id = 1")?;
    let moved = selected(&source, "2")?;
    expected.extend([("-D", updated), ("+I", moved.clone())]);
    source.sql("DELETE FROM entry WHERE id = 2")?;
    expected.push(("-D", moved));

    let changes = source.wait_for_changes(6)?;
    assert_dense(&changes)?;
    // marks have no value; the format is to pass over them
    let records = read_all(&source.stack.kafka_brokers()?, &format!("changes.{}", source.name))?;
    let mut values: Vec<_> = records.into_iter().map(|record| record.value).collect();
    values.insert(1, None);
    values.push(None);

    let flink_columns: Vec<(&str, &str)> =
        COLUMNS.iter().map(|(name, _, flink, _)| (*name, *flink)).collect();
    let rows = flink::read(source.deployment.dir(), &values, &flink_columns)?;

    ensure!(rows.len() == expected.len(), "{} rows, {} expected: {rows:?}", rows.len(), expected.len());
    for (row, (kind, wanted)) in rows.iter().zip(&expected) {
        let (got, metadata) = row.split_at_checked(1 + COLUMNS.len()).context("a row without metadata")?;
        ensure!(got[0] == *kind, "{} where {kind} is expected: {got:?}", got[0]);
        for ((value, wanted), (name, ..)) in got[1..].iter().zip(wanted).zip(&COLUMNS) {
            ensure!(value == wanted, "{kind} {name}: flink reads {value:?}, SELECT says {wanted:?}");
        }
        ensure!(metadata[..2] == [source.name.as_str(), "entry"], "{metadata:?}");
    }
    Ok(())
}
