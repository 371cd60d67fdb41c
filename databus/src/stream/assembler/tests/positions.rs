//! Where an event starts, where a restart goes on, and what is not published twice.

use super::*;
use crate::binlog::gtid_state::GtidState;

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
        let mut assembler = resumed(Resume::at(position(at)));
        assembler.handle(event_at(16, end_pos, &[0; 8]), &mut Kept::default()).unwrap();
        assert_eq!(assembler.resume().position.pos, expected, "at {at} with {end_pos}");
    }
}

/// A start by GTID: the file's head comes at its own place, then what follows our place, with the low 32 bits of where it is.
#[test]
fn after_a_start_by_gtid_positions_go_on_from_ours_also_past_2_and_4_gib() {
    let gib = 1u64 << 30;
    let len = 42;
    for (ours, same_server, begins) in [
        (position(4 * gib + 1_000), true, 4 * gib + 1_000),
        // an event of the server's own stood between
        (position(4 * gib + 1_000), true, 4 * gib + 1_040),
        (position(4 * gib - 20), true, 4 * gib - 20),
        (position(9 * gib), true, 9 * gib),
        (position(3 * gib), true, 3 * gib),
        // the place is another server's: it says nothing about this one's
        (position(4 * gib + 1_000), false, 5_000),
        (position(400), false, 3 * gib),
    ] {
        let resume = Resume { arrived: false, same_server, ..Resume::at(ours.clone()) };
        let (mut assembler, mut sink) = (resumed(resume), Kept::default());
        let head = [rotate(&ours.file), description()];
        feed(&mut assembler, &head, &mut sink).unwrap();
        assert_eq!(assembler.resume().position, ours, "a file's head is no place to go on from");
        let first = event_at(162, (begins + len) as u32, gtid(0).body().0);
        feed(&mut assembler, &[first], &mut sink).unwrap();
        let body = [entry(), inserted(1, 1), xid()];
        let rest: u64 = body.iter().map(|event| u64::from(event.header.event_len)).sum();
        feed(&mut assembler, &body, &mut sink).unwrap();
        assert_eq!(assembler.resume().position, BinlogPosition { pos: begins + len + rest, ..ours });
    }
}

/// Where there is nothing to read, the server's word about the end of its binlog is as short.
#[test]
fn a_start_by_gtid_at_the_end_past_4_gib_arrives_at_the_end() {
    let end = (1u64 << 32) + 2_000;
    let gtids = Some(GtidState::parse_mariadb("0-1-7").unwrap());
    let resume = Resume { arrived: false, gtids, ..Resume::at(position(end - 500)) };
    let mut assembler = resumed(resume);
    let heartbeat = event_at(27, end as u32, position(4).file.as_bytes());
    feed(&mut assembler, &[rotate(&position(4).file), description(), heartbeat], &mut Kept::default())
        .unwrap();
    assert_eq!(assembler.resume().position, position(end));
}

#[test]
fn rows_events_done_before_a_restart_are_counted_over_all_tables_and_not_published_again() {
    let mut sink = Kept::default();
    let mut assembler = resumed(Resume { events_done_in_next: 2, ..Resume::at(position(4)) });
    let events =
        [gtid(0), entry(), inserted(1, 1), table_map(2, "other", true), inserted(2, 1), inserted(1, 2)];
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
    let events = [gtid(0), entry(), inserted(1, 1), table_map(9, "entry", true), inserted(9, 2), xid()];
    feed(&mut at_start(), &events, &mut sink).unwrap();
    let last = Change::parse(&sink.0[1]).unwrap().transaction.unwrap();
    assert_eq!((last.total_order, last.data_collection_order), (2, 2));
}

#[test]
fn a_captured_table_without_a_primary_key_stops_the_stream_and_another_one_does_not() {
    let mut sink = Kept::default();
    feed(&mut at_start(), &[gtid(0), table_map(1, "other", false), inserted(1, 1)], &mut sink).unwrap();
    let error = feed(&mut at_start(), &[gtid(0), table_map(1, "entry", false)], &mut sink).unwrap_err();
    assert!(error.to_string().contains("no primary key"), "{error}");
}
