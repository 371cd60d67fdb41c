//! Transactions whose rows do not last, or not all of them, and those too large to wait for their end in memory.

use super::*;

/// The source died while it wrote: the file ends inside a transaction, and the next one begins.
#[test]
fn a_transaction_cut_off_by_the_sources_death_is_not_published_and_the_stream_goes_on() {
    let mut sink = Kept::default();
    let mut assembler = at_start();
    let cut = [gtid(0), entry(), inserted(1, 1), rotate("binlog.000002"), description()];
    feed(&mut assembler, &cut, &mut sink).unwrap();
    assert_eq!(assembler.resume().position, BinlogPosition { file: "binlog.000002".to_owned(), pos: 256 });
    assert_eq!(assembler.resume().gtid, None);
    feed(&mut assembler, &transaction(&[2]), &mut sink).unwrap();
    assert_eq!(sink.ids(), [2]);
    let counts = assembler.counts();
    assert_eq!((counts.seen, counts.published, counts.undone, counts.transactions), (2, 1, 1, 1));
}

#[test]
fn what_was_rolled_back_is_not_published_g1_scenario_3() {
    let mut sink = Kept::default();
    let mut assembler = at_start();
    let partly = [
        gtid(0),
        entry(),
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
    let wholly = [gtid(0), entry(), inserted(1, 5), query("ROLLBACK")];
    assert_eq!(feed(&mut assembler, &wholly, &mut sink).unwrap().last(), Some(&Step::Boundary));
    assert_eq!(sink.ids(), [1, 4]);
    let last = Change::parse(&sink.0[1]).unwrap();
    assert_eq!((last.source.seq.counter(), last.transaction.unwrap().total_order), (2, 2));
    let counts = assembler.counts();
    assert!(counts.add_up());
    assert_eq!((counts.seen, counts.published, counts.undone), (5, 2, 3));
    let unknown = [gtid(0), entry(), inserted(1, 6), query("ROLLBACK TO `s9`")];
    assert!(feed(&mut assembler, &unknown, &mut sink).is_err());
}

#[test]
fn after_a_fault_in_the_log_what_stands_in_front_is_whole_unless_a_part_of_the_faulty_transaction_is_out_g1()
{
    let bad = || event_at(23, 0, &[1, 0, 0, 0, 0, 0, 1, 0, 1, 1, 0, 2, 0]);
    let keyless = || table_map(1, "entry", false);
    for (events, published, whole) in [
        (vec![gtid(0), entry(), bad(), xid()], 1, true),
        (vec![gtid(0), entry(), inserted(1, 2), keyless()], 1, true),
        (vec![gtid(0), entry(), inserted(1, 2), bad(), xid()], 2, false),
    ] {
        let (mut assembler, mut sink) = (at_start(), Kept::default());
        feed(&mut assembler, &transaction(&[1]), &mut sink).unwrap();
        let front = assembler.next_position();
        assert!(feed(&mut assembler, &events, &mut sink).is_err());
        assert_eq!((sink.0.len(), assembler.is_whole()), (published, whole));
        assert_eq!((assembler.resume().position, assembler.resume().events_done_in_next), (front, 0));
        assert!(assembler.counts().add_up());
    }
}

/// Rows events that fill the memory granted to a transaction.
fn too_much() -> Vec<RawEvent> {
    let many = group::MOST_HELD / 32;
    std::iter::repeat_n(inserted(1, 1), many).collect()
}

#[test]
fn a_transaction_too_large_to_be_kept_is_read_to_its_end_first_and_then_published_in_pieces_g1() {
    let mut events = vec![gtid(0), entry()];
    events.extend(too_much());
    let many = events.len() - 2;
    events.extend([query("SAVEPOINT a"), inserted(1, 2), query("ROLLBACK TO a"), inserted(1, 3), xid()]);
    events.extend(transaction(&[4]));
    let log = log(events);
    let mut whole = Kept::default();
    serve(&mut at_start(), &log, &mut whole, None);
    assert_eq!(whole.0.len(), many + 2);
    assert_eq!(whole.ids()[many..], [3, 4]);
    // read to the end, back to the start, and killed in the middle of publishing
    let kill_after = log.len() + many / 2;
    let mut killed = Kept::default();
    serve(&mut at_start(), &log, &mut killed, Some(kill_after));
    assert_eq!(killed.ids(), whole.ids());
    let dense = killed
        .0
        .iter()
        .enumerate()
        .all(|(at, value)| Change::parse(value).unwrap().source.seq.counter() == at as u64 + 1);
    assert!(dense);
}
