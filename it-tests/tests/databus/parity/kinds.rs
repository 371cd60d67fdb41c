//! One table for each family of types, with the same rows in every run, so that each exception is met in each.

use it_tests::types::{
    canon::Canon,
    column::{CHARSETS, Column},
    literal,
    table::Table,
};

fn column(ddl: &str, canon: Canon, literal: literal::Literal) -> (String, Canon, literal::Literal) {
    (ddl.to_owned(), canon, literal)
}

fn table(name: &str, columns: Vec<(String, Canon, literal::Literal)>) -> Table {
    let columns = columns
        .into_iter()
        .enumerate()
        .map(|(at, (ddl, canon, literal))| Column::of(&format!("c{at}"), &ddl, canon, literal))
        .collect();
    Table::of(name, columns, "id")
}

/// The table that Debezium cannot read.
pub(super) const ADDRESSES: &str = "addresses";

/// All that both can read.
pub(super) fn tables() -> Vec<Table> {
    vec![numbers(), times(), texts(), charsets(), bytes(), mariadbs(), shapes()]
}

fn numbers() -> Table {
    let mut columns = Vec::new();
    for (name, bits) in [("TINYINT", 8), ("SMALLINT", 16), ("MEDIUMINT", 24), ("INT", 32), ("BIGINT", 64)] {
        columns.push(column(name, Canon::Plain, literal::integer(bits, false)));
        columns.push(column(&format!("{name} UNSIGNED"), Canon::Plain, literal::integer(bits, true)));
    }
    columns.push(column("TINYINT(1)", Canon::Plain, literal::integer(8, false)));
    columns.push(column("BOOLEAN", Canon::Plain, literal::integer(8, false)));
    columns.push(column("YEAR", Canon::Year, literal::year()));
    for (precision, scale) in [(1, 0), (5, 2), (10, 10), (38, 10), (65, 30)] {
        columns.push(column(
            &format!("DECIMAL({precision},{scale})"),
            Canon::Plain,
            literal::decimal(precision, scale, false),
        ));
    }
    columns.push(column("FLOAT", Canon::Float, literal::float()));
    columns.push(column("FLOAT(7,3)", Canon::Float, literal::decimal(7, 3, false)));
    columns.push(column("FLOAT(30)", Canon::Double, literal::double()));
    columns.push(column("DOUBLE", Canon::Double, literal::double()));
    for width in [1, 2, 8, 9, 33, 64] {
        columns.push(column(&format!("BIT({width})"), Canon::Bits(width), literal::bits(width)));
    }
    table("numbers", columns)
}

fn times() -> Table {
    let mut columns = vec![
        column("DATE", Canon::Date, literal::date()),
        column("DATE NOT NULL", Canon::Date, literal::date()),
        column("DATETIME NOT NULL", Canon::DateTime(0), literal::datetime()),
        column("DATETIME(6) NOT NULL", Canon::DateTime(6), literal::datetime()),
        column(
            "TIMESTAMP(3) NOT NULL DEFAULT '1970-01-01 00:00:01'",
            Canon::Timestamp(3),
            literal::timestamp(),
        ),
    ];
    for digits in 0..=6 {
        columns.push(column(&format!("TIME({digits})"), Canon::Time(digits), literal::time()));
        columns.push(column(&format!("DATETIME({digits})"), Canon::DateTime(digits), literal::datetime()));
        columns.push(column(
            &format!("TIMESTAMP({digits}) NULL"),
            Canon::Timestamp(digits),
            literal::timestamp(),
        ));
    }
    table("times", columns)
}

fn texts() -> Table {
    let mut columns = Vec::new();
    for kind in ["CHAR(9)", "CHAR(255)", "VARCHAR(40)", "TINYTEXT", "TEXT", "MEDIUMTEXT", "LONGTEXT"] {
        columns.push(column(kind, Canon::Text, literal::text("utf8mb4")));
    }
    for count in [3, 300] {
        let members = literal::members(count);
        columns.push(column(&format!("ENUM({})", members.join(", ")), Canon::Text, literal::one_of(members)));
    }
    for count in [1, 9, 64] {
        let members = literal::members(count);
        columns.push(column(&format!("SET({})", members.join(", ")), Canon::Text, literal::set(count)));
    }
    columns.push(column("JSON", Canon::Text, literal::json_text()));
    table("texts", columns)
}

fn charsets() -> Table {
    let columns = CHARSETS
        .iter()
        .map(|charset| {
            column(&format!("VARCHAR(40) CHARACTER SET {charset}"), Canon::Text, literal::text(charset))
        })
        .collect();
    table("charsets", columns)
}

fn bytes() -> Table {
    let mut columns = vec![
        column("BINARY(20)", Canon::Binary, literal::binary(20)),
        column("BINARY(255)", Canon::Binary, literal::binary(60)),
    ];
    for kind in ["VARBINARY(60)", "VARBINARY(300)", "TINYBLOB", "BLOB", "MEDIUMBLOB", "LONGBLOB"] {
        columns.push(column(kind, Canon::Binary, literal::binary(60)));
    }
    table("bytes", columns)
}

fn mariadbs() -> Table {
    table(
        "mariadbs",
        vec![
            column("UUID", Canon::Plain, literal::address("UUID")),
            column("INT INVISIBLE", Canon::Plain, literal::integer(32, false)),
        ],
    )
}

/// Debezium's grammar does not know these types.
pub(super) fn addresses() -> Table {
    table(
        ADDRESSES,
        vec![
            column("INET4", Canon::Plain, literal::address("INET4")),
            column("INET6", Canon::Plain, literal::address("INET6")),
        ],
    )
}

fn shapes() -> Table {
    let kinds = ["GEOMETRY", "POINT", "LINESTRING", "POLYGON", "GEOMETRYCOLLECTION"];
    let columns = kinds
        .iter()
        .map(|kind| column(kind, Canon::Geometry { mysql: false }, literal::geometry(kind, true)))
        .collect();
    table("shapes", columns)
}
