//! The assembler fed with events as a server writes them.

use super::*;
use crate::binlog::event::tests::event_at;
use change_event::envelope::Change;

/// Keeps what it is given.
#[derive(Default)]
struct Kept(Vec<Vec<u8>>);

impl ChangeSink for Kept {
    fn publish(&mut self, _table: &str, _key: &[u8], value: &[u8]) -> Result<(), PublishError> {
        self.0.push(value.to_vec());
        Ok(())
    }
}

fn assembler(pos: u64, events_done_in_next: u64) -> Assembler {
    let position = BinlogPosition { file: "binlog.000001".to_owned(), pos };
    let resume = Resume {
        position,
        events_done_in_next,
        seq: Version::START,
        gtid: None,
        gtids: None,
        inside: None,
        arrived: true,
    };
    Assembler::new("accounting", vec![("accounting".to_owned(), "entry".to_owned())], resume)
}

const STANDALONE: u8 = 1;

fn gtid(flags: u8) -> RawEvent {
    event_at(162, 0, &[7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, flags, 0, 0, 0, 0, 0, 0])
}

/// `id INT` with or without a primary key.
fn table_map(id: u8, table: &str, has_key: bool) -> RawEvent {
    let mut body = vec![id, 0, 0, 0, 0, 0, 1, 0, 10];
    body.extend(b"accounting\0");
    body.push(table.len() as u8);
    body.extend(table.as_bytes());
    body.extend([0, 1, 3, 0, 0]);
    body.extend([1, 1, 0, 4, 3, 2, b'i', b'd']);
    if has_key {
        body.extend([8, 1, 0]);
    }
    event_at(19, 0, &body)
}

fn inserted(id: u8, row: u8) -> RawEvent {
    event_at(23, 0, &[id, 0, 0, 0, 0, 0, 1, 0, 1, 1, 0, row, 0, 0, 0])
}

fn query(text: &str) -> RawEvent {
    let mut body = vec![0; 8];
    body.extend([10, 0, 0, 0, 0]);
    body.extend(b"accounting\0");
    body.extend(text.as_bytes());
    event_at(2, 0, &body)
}

fn load(text: &str) -> RawEvent {
    let mut body = vec![0; 8];
    body.extend([10, 0, 0, 0, 0]);
    body.extend([0; 13]);
    body.extend(b"accounting\0");
    body.extend(text.as_bytes());
    event_at(18, 0, &body)
}

fn description() -> RawEvent {
    event_at(15, 256, &[0; 60])
}

fn rotate(file: &str) -> RawEvent {
    let mut body = vec![4, 0, 0, 0, 0, 0, 0, 0];
    body.extend(file.as_bytes());
    event_at(4, 0, &body)
}

fn xid() -> RawEvent {
    event_at(16, 0, &[0; 8])
}

fn feed(assembler: &mut Assembler, events: &[RawEvent], sink: &mut Kept) -> Result<Vec<Step>, StreamError> {
    events.iter().map(|event| assembler.handle(event, sink)).collect()
}

#[test]
fn positions_follow_lengths_past_4_gib_and_the_servers_word_wherever_it_gives_one() {
    let four_gib = 1u64 << 32;
    // header, eight bytes of body, CRC
    let len = 31;
    for (at, end_pos, expected) in [
        (1_000, 0, 1_000 + len),
        (1_000, 1_000 + len as u32, 1_000 + len),
        // events that the server leaves out
        (1_000, 9_000, 9_000),
        // events that it put in: without a word from it we would be too far for the rest of the file
        (1_000, 800, 800),
        (four_gib - 10, 21, four_gib + 21),
        (four_gib + 10, 41, four_gib + 41),
        (four_gib - 10, 0, four_gib + 21),
    ] {
        let mut assembler = assembler(at, 0);
        assembler.handle(&event_at(16, end_pos, &[0; 8]), &mut Kept::default()).unwrap();
        assert_eq!(assembler.resume().position.pos, expected, "at {at} with {end_pos}");
    }
}

#[test]
fn rows_events_done_before_a_restart_are_counted_over_all_tables_and_not_published_again() {
    let mut sink = Kept::default();
    let mut assembler = assembler(4, 2);
    let events = [
        gtid(0),
        table_map(1, "entry", true),
        inserted(1, 1),
        table_map(2, "other", true),
        inserted(2, 1),
        inserted(1, 2),
    ];
    feed(&mut assembler, &events, &mut sink).unwrap();
    let resume = assembler.resume();
    assert_eq!((sink.0.len(), resume.events_done_in_next, resume.position.pos), (1, 3, 4));
    let change = Change::parse(&sink.0[0]).unwrap();
    assert_eq!((change.source.seq.counter(), change.transaction.unwrap().total_order), (1, 2));
    feed(&mut assembler, &[xid()], &mut sink).unwrap();
    assert_eq!(assembler.resume().events_done_in_next, 0);
}

#[test]
fn a_table_that_changes_its_id_within_a_transaction_counts_on() {
    let mut sink = Kept::default();
    let events =
        [gtid(0), table_map(1, "entry", true), inserted(1, 1), table_map(9, "entry", true), inserted(9, 2)];
    feed(&mut assembler(4, 0), &events, &mut sink).unwrap();
    let last = Change::parse(&sink.0[1]).unwrap().transaction.unwrap();
    assert_eq!((last.total_order, last.data_collection_order), (2, 2));
}

#[test]
fn a_captured_table_without_a_primary_key_stops_the_stream_and_another_one_does_not() {
    let mut sink = Kept::default();
    feed(&mut assembler(4, 0), &[gtid(0), table_map(1, "other", false), inserted(1, 1)], &mut sink).unwrap();
    let error = feed(&mut assembler(4, 0), &[gtid(0), table_map(1, "entry", false)], &mut sink).unwrap_err();
    assert!(error.to_string().contains("no primary key"), "{error}");
}

/// The source died while it wrote: the file ends inside a transaction, and the next one begins.
#[test]
fn a_transaction_cut_off_by_the_sources_death_stops_only_where_captured_rows_were_in_it() {
    let cut =
        |table| [gtid(0), table_map(1, table, true), inserted(1, 1), rotate("binlog.000002"), description()];
    let mut sink = Kept::default();
    let mut assembler = assembler(4, 0);
    feed(&mut assembler, &cut("other"), &mut sink).unwrap();
    assert_eq!(assembler.resume().position, BinlogPosition { file: "binlog.000002".to_owned(), pos: 256 });
    feed(&mut assembler, &[gtid(0), table_map(1, "entry", true), inserted(1, 1), xid()], &mut sink).unwrap();
    assert_eq!(sink.0.len(), 1);
    let error = feed(&mut assembler, &cut("entry"), &mut sink).unwrap_err();
    assert!(matches!(error, StreamError::CannotFollow { .. }), "{error}");
}

#[test]
fn statements_that_change_captured_rows_without_row_events_stop_the_stream_g7() {
    let stop = [
        "TRUNCATE entry",
        "DROP TABLE entry",
        "DROP DATABASE accounting",
        "CREATE OR REPLACE TABLE entry (id INT PRIMARY KEY)",
        "RENAME TABLE entry TO archive",
        "RENAME TABLE `filled` TO `entry`",
        "ALTER TABLE entry RENAME archive",
        "ALTER IGNORE TABLE entry ADD UNIQUE (id)",
        "ALTER TABLE entry DROP PARTITION p1",
        "ALTER TABLE entry IMPORT TABLESPACE",
        "ALTER TABLE entry ADD FOREIGN KEY (id) REFERENCES parent (id) ON DELETE CASCADE",
        "ALTER TABLE entry ADD SYSTEM VERSIONING",
        "SELECT `accounting`.`f`()",
        "REPLACE INTO entry VALUES (1)",
    ];
    let go_on = [
        "DROP INDEX note ON entry",
        "DROP TEMPORARY TABLE `entry` /* generated by server */",
        "DROP DATABASE other",
        "CREATE TABLE child (id INT REFERENCES entry (id) ON DELETE CASCADE)",
        "ALTER TABLE entry ADD COLUMN c INT, RENAME COLUMN id TO ident",
        "ALTER TABLE other RENAME archive",
        "INSERT INTO other VALUES ('entry')",
    ];
    let stops = |event| feed(&mut assembler(4, 0), &[gtid(STANDALONE), event], &mut Kept::default()).is_err();
    for text in stop {
        assert!(stops(query(text)), "{text}");
    }
    for text in go_on {
        assert!(!stops(query(text)), "{text}");
    }
    assert!(stops(load("LOAD DATA LOCAL INFILE 'x' INTO TABLE `entry`")));
    assert!(!stops(load("LOAD DATA LOCAL INFILE 'x' INTO TABLE `other`")));
}
