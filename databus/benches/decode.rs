//! Decoding alone, without a server or Kafka: two transactions of 1,000 rows of 12 columns that MariaDB 10.11 wrote.
//!
//! `databus` verifies checksums and writes each row's key and envelope as they go to Kafka; `mysql_cdc` runs its own iterator over the same
//! file and only decodes.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::{fs::File, hint::black_box};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/mariadb-10.11-bills.binlog");
const ROWS: u64 = 2_000;

fn databus(file: &[u8]) -> u64 {
    let tables = vec![("accounting".to_owned(), "bill".to_owned())];
    let read = databus::read_file("accounting", "binlog.000001", file, tables, |key, value| {
        black_box((key, value));
    });
    read.map_or(0, |counts| counts.published)
}

fn mysql_cdc() -> u64 {
    let Ok(file) = File::open(PATH) else { return 0 };
    let Ok(reader) = mysql_cdc::binlog_reader::BinlogReader::new(file) else { return 0 };
    let mut rows = 0;
    for event in reader.read_events() {
        match event {
            Ok((_, mysql_cdc::events::binlog_event::BinlogEvent::WriteRowsEvent(event))) => {
                rows += black_box(event.rows).len() as u64;
            }
            Ok(_) => {}
            Err(_) => break,
        }
    }
    rows
}

fn decode(criterion: &mut Criterion) {
    let file = std::fs::read(PATH).unwrap_or_default();
    assert_eq!((databus(&file), mysql_cdc()), (ROWS, ROWS), "both read every row");
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Elements(ROWS));
    group.bench_function("databus", |bencher| bencher.iter(|| databus(&file)));
    group.bench_function("mysql_cdc", |bencher| bencher.iter(mysql_cdc));
    group.finish();
}

criterion_group!(benches, decode);
criterion_main!(benches);
