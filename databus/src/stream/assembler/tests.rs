//! The assembler fed with events as a server writes them.

use super::*;
use crate::binlog::event::{Checksum, tests::event_at};
use change_event::envelope::Change;
use proptest::prelude::*;

/// Keeps what it is given: changes, and marks as "kind table seq".
#[derive(Default)]
struct Kept(Vec<Vec<u8>>, Vec<String>);

impl ChangeSink for Kept {
    fn publish(&mut self, _table: &str, _key: &[u8], value: &[u8]) -> Result<(), PublishError> {
        self.0.push(value.to_vec());
        Ok(())
    }

    fn mark(&mut self, mark: &Mark<'_>) -> Result<(), PublishError> {
        let seq = mark.seq.map_or("-".to_owned(), |seq| seq.counter().to_string());
        self.1.push(format!("{} {} {seq}", mark.kind, mark.table));
        Ok(())
    }
}

impl Kept {
    /// The ids of created rows, in order.
    fn ids(&self) -> Vec<i64> {
        let id = |value: &Vec<u8>| match Change::parse(value).unwrap().after.unwrap().get("id") {
            Some(change_event::Value::I64(id)) => *id,
            other => panic!("{other:?}"),
        };
        self.0.iter().map(id).collect()
    }
}

fn resume_at(position: BinlogPosition, events_done_in_next: u64) -> Resume {
    Resume {
        position,
        events_done_in_next,
        seq: Version::START,
        gtid: None,
        gtids: None,
        inside: None,
        arrived: true,
        prepared_xa: Vec::new(),
    }
}

fn assembler(pos: u64, events_done_in_next: u64) -> Assembler {
    let position = BinlogPosition { file: "binlog.000001".to_owned(), pos };
    let resume = resume_at(position, events_done_in_next);
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
    let mut steps = Vec::new();
    for event in events {
        steps.push(assembler.handle(event.clone(), sink)?);
        while let Some(step) = assembler.go_on(sink)? {
            steps.push(step);
        }
    }
    Ok(steps)
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
        assembler.handle(event_at(16, end_pos, &[0; 8]), &mut Kept::default()).unwrap();
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
    // nothing goes out before the end is known, and until then a restart begins where this one did
    assert_eq!(
        (sink.0.len(), assembler.resume().events_done_in_next, assembler.resume().position.pos),
        (0, 2, 4)
    );
    feed(&mut assembler, &[xid()], &mut sink).unwrap();
    let change = Change::parse(&sink.0[0]).unwrap();
    assert_eq!((change.source.seq.counter(), change.transaction.unwrap().total_order), (1, 2));
    assert_eq!((sink.0.len(), assembler.resume().events_done_in_next), (1, 0));
}

#[test]
fn a_table_that_changes_its_id_within_a_transaction_counts_on() {
    let mut sink = Kept::default();
    let events = [
        gtid(0),
        table_map(1, "entry", true),
        inserted(1, 1),
        table_map(9, "entry", true),
        inserted(9, 2),
        xid(),
    ];
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
fn a_transaction_cut_off_by_the_sources_death_is_not_published_and_the_stream_goes_on() {
    let mut sink = Kept::default();
    let mut assembler = assembler(4, 0);
    let cut = [gtid(0), table_map(1, "entry", true), inserted(1, 1), rotate("binlog.000002"), description()];
    feed(&mut assembler, &cut, &mut sink).unwrap();
    assert_eq!(assembler.resume().position, BinlogPosition { file: "binlog.000002".to_owned(), pos: 256 });
    assert_eq!(assembler.resume().gtid, None);
    feed(&mut assembler, &[gtid(0), table_map(1, "entry", true), inserted(1, 2), xid()], &mut sink).unwrap();
    assert_eq!(sink.ids(), [2]);
    let counts = assembler.counts();
    assert_eq!((counts.seen, counts.published, counts.undone, counts.transactions), (2, 1, 1, 1));
}

#[test]
fn what_was_rolled_back_is_not_published_g1_scenario_3() {
    let mut sink = Kept::default();
    let mut assembler = assembler(4, 0);
    let partly = [
        gtid(0),
        table_map(1, "entry", true),
        inserted(1, 1),
        query("SAVEPOINT `s1`"),
        inserted(1, 2),
        query("SAVEPOINT `s2`"),
        inserted(1, 3),
        query("ROLLBACK TO `s1`"),
        inserted(1, 4),
        xid(),
    ];
    feed(&mut assembler, &partly, &mut sink).unwrap();
    let wholly = [gtid(0), table_map(1, "entry", true), inserted(1, 5), query("ROLLBACK")];
    assert_eq!(feed(&mut assembler, &wholly, &mut sink).unwrap().last(), Some(&Step::Boundary));
    assert_eq!(sink.ids(), [1, 4]);
    let last = Change::parse(&sink.0[1]).unwrap();
    assert_eq!((last.source.seq.counter(), last.transaction.unwrap().total_order), (2, 2));
    let counts = assembler.counts();
    assert!(counts.add_up());
    assert_eq!((counts.seen, counts.published, counts.undone), (5, 2, 3));
    let unknown = [gtid(0), table_map(1, "entry", true), inserted(1, 6), query("ROLLBACK TO `s9`")];
    assert!(feed(&mut assembler, &unknown, &mut sink).is_err());
}

/// Rows events that fill the memory granted to a transaction.
fn too_much() -> Vec<RawEvent> {
    let many = group::MOST_HELD / 32;
    std::iter::repeat_n(inserted(1, 1), many).collect()
}

/// Hands in the events as a server would that is asked again after each jump; `kill_after`: a restart from the checkpoint after so many.
fn serve(assembler: &mut Assembler, log: &[(u64, RawEvent)], sink: &mut Kept, kill_after: Option<usize>) {
    let mut handed = 0;
    let mut at = 0;
    while let Some((_, event)) = log.get(at) {
        let mut step = assembler.handle(event.clone(), sink).unwrap();
        while let Some(next) = assembler.go_on(sink).unwrap() {
            step = next;
        }
        at += 1;
        if step == Step::Jump {
            let target = assembler.next_position();
            at = log.iter().position(|(start, _)| *start == target.pos).unwrap_or(log.len());
        }
        handed += 1;
        if kill_after == Some(handed) {
            let resume = assembler.resume();
            at = log.iter().position(|(start, _)| *start == resume.position.pos).unwrap_or(log.len());
            *assembler =
                Assembler::new("accounting", vec![("accounting".to_owned(), "entry".to_owned())], resume);
        }
    }
}

/// The events with the places where they start.
fn log(events: Vec<RawEvent>) -> Vec<(u64, RawEvent)> {
    let mut at = 4;
    let mut log = Vec::new();
    for event in events {
        let len = u64::from(event.header.event_len);
        log.push((at, event));
        at += len;
    }
    log
}

#[test]
fn a_transaction_too_large_to_be_kept_is_read_to_its_end_first_and_then_published_in_pieces_g1() {
    let mut events = vec![gtid(0), table_map(1, "entry", true)];
    events.extend(too_much());
    let many = events.len() - 2;
    events.extend([query("SAVEPOINT a"), inserted(1, 2), query("ROLLBACK TO a"), inserted(1, 3), xid()]);
    events.extend([gtid(0), table_map(1, "entry", true), inserted(1, 4), xid()]);
    let log = log(events);
    let mut whole = Kept::default();
    serve(&mut assembler(4, 0), &log, &mut whole, None);
    assert_eq!(whole.0.len(), many + 2);
    assert_eq!(whole.ids()[many..], [3, 4]);
    // read to the end, back to the start, and killed in the middle of publishing
    let kill_after = log.len() + many / 2;
    let mut killed = Kept::default();
    serve(&mut assembler(4, 0), &log, &mut killed, Some(kill_after));
    assert_eq!(killed.ids(), whole.ids());
    let dense = killed
        .0
        .iter()
        .enumerate()
        .all(|(at, value)| Change::parse(value).unwrap().source.seq.counter() == at as u64 + 1);
    assert!(dense);
}

fn prepared(xid: u8) -> RawEvent {
    event_at(38, 0, &[0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, xid])
}

#[test]
fn rows_of_a_prepared_xa_transaction_go_out_at_its_commit_in_commit_order_g2() {
    let mut sink = Kept::default();
    let mut assembler = assembler(4, 0);
    let events = [
        gtid(64),
        table_map(1, "entry", true),
        inserted(1, 1),
        query("XA END X'41',X'',1"),
        prepared(0x41),
        gtid(64),
        table_map(1, "entry", true),
        inserted(1, 2),
        prepared(0x42),
        gtid(0),
        table_map(1, "entry", true),
        inserted(1, 3),
        xid(),
        rotate("binlog.000002"),
        description(),
    ];
    feed(&mut assembler, &events, &mut sink).unwrap();
    assert_eq!(sink.ids(), [3]);
    let resume = assembler.resume();
    let xids: Vec<_> = resume.prepared_xa.iter().map(|xa| (xa.xid.as_str(), xa.position.pos)).collect();
    assert_eq!(xids[0], ("X'41',X'',1", 4));
    assert_eq!(resume.position.file, "binlog.000002");
    feed(&mut assembler, &[gtid(1), query("XA ROLLBACK X'42',X'',1")], &mut sink).unwrap();
    feed(&mut assembler, &[gtid(1), query("XA COMMIT X'41',X'',1")], &mut sink).unwrap();
    assert_eq!(sink.ids(), [3, 1]);
    assert!(assembler.resume().prepared_xa.is_empty());
    let counts = assembler.counts();
    assert_eq!((counts.seen, counts.published, counts.undone), (3, 2, 1));
    let late = Change::parse(&sink.0[1]).unwrap();
    assert_eq!((late.source.file.as_ref(), late.source.seq.counter()), ("binlog.000001", 2));
    let unknown = feed(&mut assembler, &[gtid(1), query("XA COMMIT X'43',X'',1")], &mut sink).unwrap_err();
    assert!(unknown.to_string().contains("X'43',X'',1 was prepared before"), "{unknown}");
}

#[test]
fn a_prepared_xa_transaction_is_read_again_after_a_restart_g1_g4() {
    let map = || table_map(1, "entry", true);
    let events = vec![
        gtid(64),
        map(),
        inserted(1, 1),
        inserted(1, 2),
        prepared(0x41),
        gtid(0),
        map(),
        inserted(1, 3),
        xid(),
        gtid(1),
        query("XA COMMIT X'41',X'',1"),
        gtid(0),
        map(),
        inserted(1, 4),
        xid(),
    ];
    let log = log(events);
    // after the prepare and after every later event, whatever is going on
    for kill_after in 4..20 {
        let mut sink = Kept::default();
        let mut assembler = assembler(4, 0);
        serve(&mut assembler, &log, &mut sink, Some(kill_after));
        assert_eq!(sink.ids(), [3, 1, 2, 4], "killed after {kill_after}");
        assert!(assembler.resume().prepared_xa.is_empty());
        let end = log.last().map(|(start, event)| start + u64::from(event.header.event_len));
        assert_eq!(Some(assembler.resume().position.pos), end);
    }
}

#[test]
fn a_table_that_is_emptied_is_a_truncate_with_a_seq_and_doubtful_rows_ask_for_a_snapshot() {
    let truncate = vec!["truncate entry 1".to_owned()];
    let snapshot = vec!["snapshot-needed entry -".to_owned()];
    for (text, marks) in [
        ("TRUNCATE entry", &truncate),
        ("DROP TABLE a, entry", &truncate),
        ("DROP DATABASE accounting", &truncate),
        ("CREATE OR REPLACE TABLE entry (id INT PRIMARY KEY)", &truncate),
        ("RENAME TABLE entry TO archive", &truncate),
        ("ALTER TABLE entry RENAME archive", &truncate),
        ("RENAME TABLE `filled` TO `entry`", &snapshot),
        ("RENAME TABLE entry TO _entry_del, _entry_gho TO entry", &snapshot),
        ("ALTER IGNORE TABLE entry ADD UNIQUE (id)", &snapshot),
        ("ALTER TABLE entry DROP PARTITION p1", &snapshot),
        ("ALTER TABLE entry IMPORT TABLESPACE", &snapshot),
        ("ALTER TABLE entry MODIFY id BIGINT", &snapshot),
        // another table where names differ by case, the same where they do not
        ("TRUNCATE ENTRY", &snapshot),
        ("DROP INDEX note ON entry", &vec![]),
        ("DROP TEMPORARY TABLE `entry` /* generated by server */", &vec![]),
        ("DROP DATABASE other", &vec![]),
        ("CREATE TABLE child (id INT REFERENCES entry (id) ON DELETE CASCADE)", &vec![]),
        ("ALTER TABLE entry ADD COLUMN c INT, RENAME COLUMN id TO ident", &vec![]),
        ("ALTER TABLE other RENAME archive", &vec![]),
    ] {
        let mut sink = Kept::default();
        let mut assembler = assembler(4, 0);
        let steps = feed(&mut assembler, &[gtid(STANDALONE), query(text)], &mut sink).unwrap();
        assert_eq!(steps.last(), Some(&Step::Boundary), "{text}");
        assert_eq!(&sink.1, marks, "{text}");
        let used = u64::from(marks.iter().any(|mark| mark.starts_with("truncate")));
        assert_eq!(assembler.resume().seq.counter(), used, "{text}");
    }
}

#[test]
fn create_or_replace_with_rows_is_a_truncate_in_front_of_them_and_neither_if_undone() {
    let group = |end: RawEvent| {
        let create = query("CREATE OR REPLACE TABLE `entry` (\n  `id` int NOT NULL)");
        [gtid(0), create, table_map(1, "entry", true), inserted(1, 7), end]
    };
    let mut sink = Kept::default();
    let mut assembler = assembler(4, 0);
    feed(&mut assembler, &group(query("ROLLBACK")), &mut sink).unwrap();
    assert_eq!((sink.0.len(), sink.1.len()), (0, 0));
    feed(&mut assembler, &group(xid()), &mut sink).unwrap();
    assert_eq!(sink.1, ["truncate entry 1"]);
    assert_eq!(Change::parse(&sink.0[0]).unwrap().source.seq.counter(), 2);
}

#[test]
fn statements_that_change_rows_unseen_stop_the_stream_unless_they_can_reach_no_captured_table_g7() {
    let stop = [
        "ALTER TABLE entry ADD FOREIGN KEY (id) REFERENCES parent (id) ON DELETE CASCADE",
        "ALTER TABLE entry ADD SYSTEM VERSIONING",
        "CREATE TABLE entry SELECT 1 AS id",
        "SELECT `accounting`.`f`()",
        "REPLACE INTO entry VALUES (1)",
        // a view or a trigger may be in between
        "INSERT INTO other VALUES ('entry')",
        "UPDATE elsewhere.other SET a = 1",
        "INSERT INTO mysql.x VALUES (f())",
    ];
    let go_on = ["CREATE TABLE other SELECT 1 AS id", "INSERT INTO mysql.time_zone VALUES (1)"];
    let elsewhere = |text: &str| {
        let mut body = vec![0; 8];
        body.extend([1, 0, 0, 0, 0]);
        body.extend(b"x\0");
        body.extend(text.as_bytes());
        let mut assembler = assembler(4, 0);
        let fed = feed(&mut assembler, &[gtid(STANDALONE), event_at(2, 0, &body)], &mut Kept::default());
        (fed.is_err(), assembler.counts().statements_elsewhere)
    };
    assert_eq!(elsewhere("INSERT INTO entry VALUES (1)"), (false, 1));
    assert_eq!(elsewhere("INSERT INTO entry SELECT * FROM Accounting.note"), (true, 0));
    let stops = |event| feed(&mut assembler(4, 0), &[gtid(STANDALONE), event], &mut Kept::default()).is_err();
    for text in stop {
        assert!(stops(query(text)), "{text}");
    }
    for text in go_on {
        assert!(!stops(query(text)), "{text}");
    }
    assert!(stops(load("LOAD DATA LOCAL INFILE 'x' INTO TABLE `entry`")));
    assert!(stops(load("LOAD DATA LOCAL INFILE 'x' INTO TABLE `other`")));
    let temporary = [
        query("CREATE TEMPORARY TABLE entry (id INT)"),
        query("INSERT INTO entry VALUES (1)"),
        query("UPDATE `accounting`.`entry` SET id = 2"),
        query("DROP /*!40005 TEMPORARY */ TABLE IF EXISTS `entry`"),
    ];
    let (mut assembler, mut sink) = (assembler(4, 0), Kept::default());
    for event in temporary {
        feed(&mut assembler, &[gtid(STANDALONE), event], &mut sink).unwrap();
    }
    assert!(sink.1.is_empty());
    assert!(
        feed(&mut assembler, &[gtid(STANDALONE), query("INSERT INTO entry VALUES (1)")], &mut sink).is_err()
    );
}

/// All events of a file that MySQL 9.7 wrote for table `t.i (id INT PRIMARY KEY, n VARCHAR(300))`.
fn mysql(file: &[u8]) -> (Assembler, Vec<RawEvent>) {
    let mut events = Vec::new();
    let mut rest = &file[4..];
    while rest.len() > 13 {
        let len = u32::from_le_bytes(rest[9..13].try_into().unwrap()) as usize;
        events.push(RawEvent::parse(rest[..len].to_vec(), 0, Checksum::Crc32).unwrap());
        rest = &rest[len..];
    }
    let position = BinlogPosition { file: "binlog.000001".to_owned(), pos: 4 };
    let resume = resume_at(position, 0);
    (Assembler::new("mysql", vec![("t".to_owned(), "i".to_owned())], resume), events)
}

#[test]
fn a_compressed_transaction_of_mysql_is_published_as_if_it_were_not_compressed_scenario_14() {
    let (mut assembler, events) =
        mysql(include_bytes!("../../../testdata/mysql-9.7-compressed-transaction.binlog"));
    let mut sink = Kept::default();
    feed(&mut assembler, &events, &mut sink).unwrap();
    assert_eq!(sink.ids(), [1, 2, 1]);
    let last = Change::parse(&sink.0[2]).unwrap();
    assert_eq!(last.source.gtid.as_deref(), Some("5763fa12-e6c1-11f1-b507-02fc00000001:6"));
    assert_eq!(last.after.unwrap().get("n"), Some(&change_event::Value::Str("x".into())));
    // three events share one place: the row tells them apart
    let rows: Vec<_> = sink.0.iter().map(|value| Change::parse(value).unwrap().source.row).collect();
    assert_eq!(rows, [0, 1, 2]);
}

#[test]
fn xa_transactions_of_mysql_are_published_at_their_commit_compressed_or_not() {
    for (file, ids) in [
        (include_bytes!("../../../testdata/mysql-9.7-xa.binlog").as_slice(), vec![21]),
        (include_bytes!("../../../testdata/mysql-9.7-xa-one-phase.binlog").as_slice(), vec![22]),
        (include_bytes!("../../../testdata/mysql-9.7-compressed-xa.binlog").as_slice(), vec![]),
    ] {
        let (mut assembler, events) = mysql(file);
        let mut sink = Kept::default();
        feed(&mut assembler, &events, &mut sink).unwrap();
        assert_eq!(sink.ids(), ids);
        assert!(assembler.resume().prepared_xa.is_empty() && assembler.counts().add_up());
    }
}

proptest! {
    #[test]
    fn no_sequence_of_events_makes_it_panic(codes in proptest::collection::vec((any::<u8>(), proptest::collection::vec(any::<u8>(), 0..40)), 0..12)) {
        let mut assembler = assembler(4, 0);
        let mut sink = Kept::default();
        for (code, body) in codes {
            if assembler.handle(event_at(code, 0, &body), &mut sink).is_err() { break; }
            if assembler.go_on(&mut sink).is_err() { break; }
        }
    }
}
