//! Decoding alone, without a server or Kafka: two transactions of 1,000 rows of 12 columns that MariaDB 10.11 wrote.
//!
//! `values` decodes each column, decimals to their text and texts checked to be UTF-8, which is what `mysql_cdc`'s own iterator does with
//! the same file; checksums, which that one passes by, are verified besides. `records` is the whole way: each row's key and envelope as
//! they go to Kafka.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use databus::binlog::{
    DecodeError,
    charset::Charset,
    column::Flavour,
    event::{Checksum, Kind, RawEvent, RowsKind},
    rows::{Images, parse_table_id},
    table_map::{TableShape, parse_name, parse_shape},
    value::Value,
};
use std::{fs::File, hint::black_box};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/mariadb-10.11-bills.binlog");
const ROWS: u64 = 2_000;
const MAGIC_LEN: usize = 4;

/// Reads every column of every row; answers how many rows there were.
fn values(file: &[u8]) -> Result<u64, DecodeError> {
    let (mut at, mut rows) = (MAGIC_LEN, 0);
    let (mut flavour, mut shape) = (Flavour::default(), None::<TableShape>);
    let mut text = Vec::new();
    while let Some(len) = file.get(at + 9..).and_then(|rest| rest.first_chunk()) {
        let len = u32::from_le_bytes(*len) as usize;
        let event = file.get(at..at + len).ok_or(DecodeError::Truncated)?;
        at += len;
        // owned, as it comes from a server
        let event = RawEvent::parse(event.to_vec(), 0, Checksum::Crc32)?;
        let mut body = event.body();
        match event.header.kind() {
            Kind::FormatDescription => flavour = Flavour::of_description(body.0),
            Kind::TableMap => {
                parse_name(&mut body)?;
                shape = Some(parse_shape(body, flavour)?);
            }
            Kind::Rows { kind, extra, compressed: false } => {
                parse_table_id(&mut body)?;
                let shape = shape.as_ref().ok_or(DecodeError::Malformed("rows without a table map"))?;
                let mut images = Images::parse(body, shape, extra, kind == RowsKind::Update)?;
                while !images.is_empty() {
                    images.read_row(|_, value| match value {
                        Some(Value::Decimal(decimal)) => {
                            text.clear();
                            black_box(decimal.write(&mut text).is_ok());
                            black_box(&text);
                        }
                        Some(Value::Text { bytes, charset: Charset::Utf8 }) => {
                            black_box(std::str::from_utf8(bytes).is_ok());
                        }
                        other => {
                            black_box(other);
                        }
                    })?;
                    rows += 1;
                }
            }
            _ => {}
        }
    }
    Ok(rows)
}

fn records(file: &[u8]) -> u64 {
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
    let read = (values(&file), records(&file), mysql_cdc());
    assert_eq!(read, (Ok(ROWS), ROWS, ROWS), "all read every row");
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Elements(ROWS));
    group.bench_function("databus, values", |bencher| bencher.iter(|| values(&file)));
    group.bench_function("databus, records", |bencher| bencher.iter(|| records(&file)));
    group.bench_function("mysql_cdc, values", |bencher| bencher.iter(mysql_cdc));
    group.finish();
}

criterion_group!(benches, decode);
criterion_main!(benches);
