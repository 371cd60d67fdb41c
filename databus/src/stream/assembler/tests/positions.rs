//! Where an event starts, where a restart goes on, and what is not published twice.

use super::*;

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
