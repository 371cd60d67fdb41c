//! Files that MySQL 9.7 wrote.

use super::*;

/// All events of a file that MySQL 9.7 wrote for table `t.i (id INT PRIMARY KEY, n VARCHAR(300))`.
fn mysql(file: &[u8]) -> (Assembler, Vec<RawEvent>) {
    let mut events = Vec::new();
    let mut rest = &file[4..];
    while rest.len() > 13 {
        let len = u32::from_le_bytes(rest[9..13].try_into().unwrap()) as usize;
        events.push(RawEvent::parse(rest[..len].to_vec(), 0, Checksum::Crc32).unwrap());
        rest = &rest[len..];
    }
    let captured = vec![("t".to_owned(), "i".to_owned())];
    (Assembler::new("mysql", captured, Resume::at(position(4))), events)
}

#[test]
fn a_compressed_transaction_of_mysql_is_published_as_if_it_were_not_compressed_scenario_14() {
    let (mut assembler, events) =
        mysql(include_bytes!("../../../../testdata/mysql-9.7-compressed-transaction.binlog"));
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
        (include_bytes!("../../../../testdata/mysql-9.7-xa.binlog").as_slice(), vec![21]),
        (include_bytes!("../../../../testdata/mysql-9.7-xa-one-phase.binlog").as_slice(), vec![22]),
        (include_bytes!("../../../../testdata/mysql-9.7-compressed-xa.binlog").as_slice(), vec![]),
    ] {
        let (mut assembler, events) = mysql(file);
        let mut sink = Kept::default();
        feed(&mut assembler, &events, &mut sink).unwrap();
        assert_eq!(sink.ids(), ids);
        assert!(assembler.resume().prepared_xa.is_empty() && assembler.counts().add_up());
    }
}
