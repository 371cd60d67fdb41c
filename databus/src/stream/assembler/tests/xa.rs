//! XA transactions: prepared at one place, decided at another.

use super::*;

fn prepared(xid: u8) -> RawEvent {
    event_at(38, 0, &[0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, xid])
}

#[test]
fn rows_of_a_prepared_xa_transaction_go_out_at_its_commit_in_commit_order_g2() {
    let mut sink = Kept::default();
    let mut assembler = at_start();
    let events = [
        gtid(64),
        entry(),
        inserted(1, 1),
        query("XA END X'41',X'',1"),
        prepared(0x41),
        gtid(64),
        entry(),
        inserted(1, 2),
        prepared(0x42),
        gtid(0),
        entry(),
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
fn a_prepared_xa_transaction_whose_rows_cannot_be_read_at_its_commit_stays_undecided_g1() {
    let (mut assembler, mut sink) = (at_start(), Kept::default());
    let bad = event_at(23, 0, &[1, 0, 0, 0, 0, 0, 1, 0, 1, 1, 0, 2, 0]);
    feed(&mut assembler, &[gtid(64), entry(), bad, prepared(0x41)], &mut sink).unwrap();
    assert!(feed(&mut assembler, &[gtid(1), query("XA COMMIT X'41',X'',1")], &mut sink).is_err());
    assert!(assembler.is_whole());
    assert_eq!(assembler.resume().prepared_xa.len(), 1);
}

#[test]
fn a_prepared_xa_transaction_is_read_again_after_a_restart_g1_g4() {
    let events = vec![
        gtid(64),
        entry(),
        inserted(1, 1),
        inserted(1, 2),
        prepared(0x41),
        gtid(0),
        entry(),
        inserted(1, 3),
        xid(),
        gtid(1),
        query("XA COMMIT X'41',X'',1"),
        gtid(0),
        entry(),
        inserted(1, 4),
        xid(),
    ];
    let log = log(events);
    // after the prepare and after every later event, whatever is going on
    for kill_after in 4..20 {
        let mut sink = Kept::default();
        let mut assembler = at_start();
        serve(&mut assembler, &log, &mut sink, Some(kill_after));
        assert_eq!(sink.ids(), [3, 1, 2, 4], "killed after {kill_after}");
        assert!(assembler.resume().prepared_xa.is_empty());
        let end = log.last().map(|(start, event)| start + u64::from(event.header.event_len));
        assert_eq!(Some(assembler.resume().position.pos), end);
    }
}
