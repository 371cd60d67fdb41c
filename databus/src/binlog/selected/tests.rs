use super::*;
use proptest::prelude::*;

fn column(data_type: &str, column_type: &str, charset: Option<&str>, fraction: u8) -> SelectedColumn {
    SelectedColumn::new(&ColumnFacts {
        name: "c`",
        data_type,
        column_type,
        charset,
        nullable: false,
        fraction,
    })
    .unwrap()
}

fn check(column: &SelectedColumn, value: &[u8], json: &str) {
    let mut out = Vec::new();
    column.write(Some(value), &mut out).unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), json);
}

#[test]
fn selected_values_are_the_streams_json() {
    check(&column("bigint", "bigint unsigned", None, 0), b"18446744073709551615", "18446744073709551615");
    check(&column("int", "int(5) unsigned zerofill", None, 0), b"00042", "42");
    check(&column("int", "int", None, 0), b"0", "0");
    check(&column("decimal", "decimal(4,2)", None, 0), b"-0.29", "\"-0.29\"");
    check(&column("decimal", "decimal(8,2) unsigned zerofill", None, 0), b"000000.29", "\"0.29\"");
    check(&column("float", "float", None, 0), b"1.100000023841858", "1.1");
    check(&column("double", "double", None, 0), b"1e100", "1e100");
    check(&column("bit", "bit(9)", None, 0), b"257", "\"AQE=\"");
    check(&column("bit", "bit(1)", None, 0), b"1", "true");
    check(&column("date", "date", None, 0), b"1969-12-31", "-1");
    check(&column("date", "date", None, 0), b"0000-00-00", "0");
    check(&column("time", "time(6)", None, 6), b"-838:59:59.999999", "-3020399999999");
    check(&column("datetime", "datetime(6)", None, 6), b"1970-01-01 00:00:00.000001", "1");
    check(&column("datetime", "datetime", None, 0), b"1970-01-01 00:00:01", "1000");
    check(&column("timestamp", "timestamp(3)", None, 3), b"1700000000.120", "\"2023-11-14T22:13:20.120Z\"");
    check(&column("varchar", "varchar(9)", Some("latin1"), 0), b"\xe9", "\"é\"");
    check(&column("varbinary", "varbinary(9)", None, 0), b"\xff\x01", "\"/wE=\"");
    check(&column("uuid", "uuid", None, 0), b"123e4567", "\"123e4567\"");
}

#[test]
fn a_row_is_an_object_and_its_expressions_are_quoted() {
    let columns = [column("int", "int", None, 0), column("varchar", "varchar(9)", Some("utf8mb4"), 0)];
    assert_eq!(columns[0].expression(), "CAST(`c``` + 0 AS BINARY)");
    let mut out = Vec::new();
    write_row(&columns, [Some(&b"1"[..]), None], &mut out).unwrap();
    assert_eq!(out, br#"{"c`":1,"c`":null}"#);
}

#[test]
fn a_type_that_is_not_known_is_refused_by_name() {
    let facts = ColumnFacts {
        name: "c",
        data_type: "xmltype",
        column_type: "xmltype",
        charset: None,
        nullable: true,
        fraction: 0,
    };
    assert_eq!(SelectedColumn::new(&facts), Err("type XMLTYPE is not decoded by this version".to_owned()));
}

proptest! {
    #[test]
    fn any_value_is_json_or_an_error_and_never_a_panic(value in "[-0-9:. ]{0,30}|.{0,20}") {
        for (data_type, column_type) in [
            ("int", "int"), ("float", "float"), ("decimal", "decimal(4,2)"), ("bit", "bit(7)"), ("date", "date"), ("time", "time"),
            ("datetime", "datetime"), ("timestamp", "timestamp"), ("point", "point"), ("vector", "vector(3)"),
        ] {
            let _ = column(data_type, column_type, None, 6).write(Some(value.as_bytes()), &mut Vec::new());
        }
    }
}
