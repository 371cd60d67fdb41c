//! The hot path takes memory per event, never per row.

#[test]
fn a_row_of_twelve_columns_is_decoded_and_written_without_an_allocation_of_its_own() {
    let file = include_bytes!("../testdata/mariadb-10.11-bills.binlog");
    let mut rows = 0;
    let taken = allocation_counter::measure(|| {
        let tables = vec![("accounting".to_owned(), "bill".to_owned())];
        databus::read_file("accounting", "binlog.000001", file, tables, |_, _| rows += 1).unwrap();
    });
    // 2,000 rows in some 75 events of 8 KiB, and what is built once
    assert_eq!(rows, 2_000);
    assert!(taken.count_total < 400, "{} allocations for {rows} rows", taken.count_total);
}
