//! Writes Debezium's envelope around row images that are JSON already, into buffers that are reused.

use crate::render;
use change_event::Version;
use std::io::Write;

/// `"snapshot":"false","db":"…","table":"…"`: the same for every row of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TablePrefix(Vec<u8>);

impl TablePrefix {
    pub(super) fn new(database: &str, table: &str) -> Self {
        Self::of("false", database, table)
    }

    /// Of rows that a snapshot read.
    pub(super) fn of_snapshot(database: &str, table: &str) -> Self {
        Self::of("true", database, table)
    }

    fn of(snapshot: &str, database: &str, table: &str) -> Self {
        let mut bytes = b"\"snapshot\":".to_vec();
        put_name(snapshot, &mut bytes);
        bytes.extend_from_slice(b",\"db\":");
        put_name(database, &mut bytes);
        bytes.extend_from_slice(b",\"table\":");
        put_name(table, &mut bytes);
        Self(bytes)
    }
}

/// `"version":"…","connector":"mariadb","name":"…"`: the same for every row of a source.
#[derive(Debug)]
pub(super) struct SourcePrefix(Vec<u8>);

impl SourcePrefix {
    pub(super) fn new(source: &str) -> Self {
        let mut bytes = b"\"version\":".to_vec();
        put_name(env!("CARGO_PKG_VERSION"), &mut bytes);
        bytes.extend_from_slice(b",\"connector\":\"mariadb\",\"name\":");
        put_name(source, &mut bytes);
        Self(bytes)
    }
}

fn put_name(name: &str, out: &mut Vec<u8>) {
    render::text(out, name);
}

/// What the rows of one event share.
#[derive(Debug)]
pub(super) struct EventFacts<'a> {
    pub(super) source: &'a SourcePrefix,
    pub(super) gtid: &'a str,
    pub(super) file: &'a str,
    /// Start of the event in its file.
    pub(super) pos: u64,
    pub(super) server_id: u32,
    /// The event's time in Unix milliseconds.
    pub(super) source_ts_ms: i64,
    /// Now, in Unix milliseconds.
    pub(super) ts_ms: i64,
}

/// What is one row's alone.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowFacts {
    /// Its letter in ASCII.
    pub(super) op: u8,
    /// The row's place in its event.
    pub(super) row: u32,
    pub(super) seq: Version,
    pub(super) total_order: u64,
    pub(super) table_order: u64,
}

/// The parts of an envelope that all rows of one event have alike, written once.
#[derive(Debug, Default)]
pub(super) struct EventParts {
    /// From behind the `op` to the row's number.
    source: Vec<u8>,
    /// From behind the `seq` to the row's place in its transaction.
    transaction: Vec<u8>,
}

impl EventParts {
    /// Starts anew with another event or table.
    pub(super) fn prepare(&mut self, event: &EventFacts<'_>, table: &TablePrefix) {
        let out = &mut self.source;
        out.clear();
        out.extend_from_slice(b"\",\"ts_ms\":");
        render::integer(out, event.ts_ms);
        out.extend_from_slice(b",\"source\":{");
        out.extend_from_slice(&event.source.0);
        out.extend_from_slice(b",\"ts_ms\":");
        render::integer(out, event.source_ts_ms);
        out.push(b',');
        out.extend_from_slice(&table.0);
        out.extend_from_slice(b",\"server_id\":");
        render::unsigned(out, u64::from(event.server_id));
        out.extend_from_slice(b",\"gtid\":\"");
        out.extend_from_slice(event.gtid.as_bytes());
        out.extend_from_slice(b"\",\"file\":");
        put_name(event.file, out);
        out.extend_from_slice(b",\"pos\":");
        render::unsigned(out, event.pos);
        out.extend_from_slice(b",\"row\":");
        let out = &mut self.transaction;
        out.clear();
        out.extend_from_slice(b"},\"transaction\":{\"id\":\"");
        out.extend_from_slice(event.gtid.as_bytes());
        out.extend_from_slice(b"\",\"total_order\":");
    }

    /// Appends the whole envelope to `out`. `before` and `after` are JSON objects; an absent one is null.
    pub(super) fn write(
        &self,
        out: &mut Vec<u8>,
        before: Option<&[u8]>,
        after: Option<&[u8]>,
        row: RowFacts,
    ) {
        out.extend_from_slice(b"{\"before\":");
        out.extend_from_slice(before.unwrap_or(b"null"));
        out.extend_from_slice(b",\"after\":");
        out.extend_from_slice(after.unwrap_or(b"null"));
        out.extend_from_slice(b",\"op\":\"");
        out.push(row.op);
        out.extend_from_slice(&self.source);
        render::unsigned(out, u64::from(row.row));
        out.extend_from_slice(b",\"seq\":");
        render::integer(out, row.seq.get());
        out.extend_from_slice(&self.transaction);
        render::unsigned(out, row.total_order);
        out.extend_from_slice(b",\"data_collection_order\":");
        render::unsigned(out, row.table_order);
        out.extend_from_slice(b"}}");
    }
}

/// Appends the envelope of a row that a snapshot read: it belongs to no transaction, and its place is the stream's.
pub(super) fn write_read(
    out: &mut Vec<u8>,
    after: &[u8],
    event: &EventFacts<'_>,
    table: &TablePrefix,
    seq: Version,
) {
    out.extend_from_slice(b"{\"before\":null,\"after\":");
    out.extend_from_slice(after);
    let head = write!(out, ",\"op\":\"r\",\"ts_ms\":{},\"source\":{{", event.ts_ms);
    out.extend_from_slice(&event.source.0);
    let times = write!(out, ",\"ts_ms\":{},", event.source_ts_ms);
    out.extend_from_slice(&table.0);
    let place = write!(out, ",\"server_id\":{},\"gtid\":null,\"file\":", event.server_id);
    put_name(event.file, out);
    let end = write!(out, ",\"pos\":{},\"row\":0,\"seq\":{}}},\"transaction\":null}}", event.pos, seq.get());
    debug_assert!(head.and(times).and(place).and(end).is_ok(), "memory takes any bytes");
}

#[cfg(test)]
mod tests {
    use super::*;
    use change_event::envelope::{Change, Op};

    #[test]
    fn what_is_written_is_an_envelope_that_parses_back() {
        let source = SourcePrefix::new("accounting");
        let event = EventFacts {
            source: &source,
            gtid: "0-1-9",
            file: "binlog.000001",
            pos: 345,
            server_id: 1,
            source_ts_ms: 4000,
            ts_ms: 5000,
        };
        let row = RowFacts {
            op: b'u',
            row: 2,
            seq: Version::try_from(12).unwrap(),
            total_order: 7,
            table_order: 3,
        };
        let mut out = Vec::new();
        let mut parts = EventParts::default();
        parts.prepare(&event, &TablePrefix::new("db", "another"));
        parts.prepare(&event, &TablePrefix::new("db", "t\"able"));
        parts.write(&mut out, Some(br#"{"a":1}"#), Some(br#"{"a":2}"#), row);
        let change = Change::parse(&out).unwrap();
        assert_eq!((change.op, change.ts_ms, change.source.ts_ms), (Op::Update, 5000, 4000));
        assert_eq!((change.source.table.as_ref(), change.source.pos, change.source.row), ("t\"able", 345, 2));
        assert_eq!(change.source.seq.get(), 12);
        let transaction = change.transaction.unwrap();
        assert_eq!(
            (transaction.id.as_ref(), transaction.total_order, transaction.data_collection_order),
            ("0-1-9", 7, 3)
        );
        assert!(change.before.is_some() && change.after.is_some());
    }
    #[test]
    fn a_row_that_a_snapshot_read_is_an_envelope_too() {
        let source = SourcePrefix::new("accounting");
        let event = EventFacts {
            source: &source,
            gtid: "",
            file: "binlog.000001",
            pos: 345,
            server_id: 1,
            source_ts_ms: 4000,
            ts_ms: 5000,
        };
        let mut out = Vec::new();
        let seq = Version::try_from(12).unwrap();
        write_read(&mut out, br#"{"a":2}"#, &event, &TablePrefix::of_snapshot("db", "t"), seq);
        let change = Change::parse(&out).unwrap();
        assert_eq!((change.op, change.source.seq, change.source.ts_ms), (Op::Read, seq, 4000));
        assert!(change.before.is_none() && change.after.is_some());
        assert!(change.transaction.is_none() && change.source.gtid.is_none());
        assert!(std::str::from_utf8(&out).unwrap().contains("\"snapshot\":\"true\""));
    }
}
