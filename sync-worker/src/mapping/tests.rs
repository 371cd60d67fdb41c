//! The shipped pipelines over hand-made rows.

use std::path::Path;

use change_event::{
    envelope::Change,
    stage2::{BillOp, Direction},
};
use pipeline_config::Config;

use super::*;

const SHIPPED: &str = include_str!("../../../pipelines.toml");

fn shape(primary_key: &str, columns: &[(&str, &str)]) -> TableShape {
    let column = |&(name, kind): &(&str, &str)| Column {
        name: name.to_owned(),
        data_type: kind.split(['(', ' ']).next().unwrap_or(kind).to_owned(),
        column_type: kind.to_owned(),
        time_digits: if kind == "datetime(6)" { 6 } else { 0 },
        scale: if kind == "decimal(18,2)" { 2 } else { 0 },
        nullable: false,
    };
    TableShape { columns: columns.iter().map(column).collect(), primary_key: vec![primary_key.to_owned()] }
}

fn order_shape() -> TableShape {
    let id = "bigint(20) unsigned";
    shape(
        "order_id",
        &[
            ("order_id", id),
            ("order_no", "varchar(32)"),
            ("kind", "enum('collect')"),
            ("status", "enum('created')"),
            ("payer_merchant_id", id),
            ("payer_account_id", id),
            ("payer_name", "varchar(128)"),
            ("payee_merchant_id", id),
            ("payee_account_id", id),
            ("payee_name", "varchar(128)"),
            ("amount", "bigint(20)"),
            ("fee", "bigint(20)"),
            ("currency", "char(3)"),
            ("channel", "varchar(32)"),
            ("channel_ref", "varchar(64)"),
            ("remark", "varchar(255)"),
            ("created_at", "datetime(6)"),
            ("updated_at", "datetime(6)"),
        ],
    )
}

fn entry_shape() -> TableShape {
    let id = "bigint(20) unsigned";
    shape(
        "entry_id",
        &[
            ("entry_id", id),
            ("account_id", id),
            ("merchant_id", id),
            ("order_no", "varchar(32)"),
            ("kind", "enum('fee')"),
            ("direction", "enum('credit','debit')"),
            ("amount", "bigint(20)"),
            ("currency", "char(3)"),
            ("balance_after", "bigint(20)"),
            ("counterparty", "varchar(128)"),
            ("remark", "varchar(255)"),
            ("created_at", "datetime(6)"),
        ],
    )
}

fn config(text: &str) -> (Config, TableShapes) {
    let config = Config::parse(Path::new("pipelines.toml"), text).unwrap();
    let key = |i: usize| (config.pipelines[i].source.clone(), config.pipelines[i].table.clone());
    let shapes = [(key(0), order_shape()), (key(1), entry_shape())].into();
    (config, shapes)
}

fn mapper() -> Mapper {
    let (config, shapes) = config(SHIPPED);
    Mapper::new(&config.pipelines, &shapes)
}

/// An order between two merchants; `edit` sets columns.
fn order(edit: &[(&str, serde_json::Value)]) -> serde_json::Value {
    let mut row = serde_json::json!({
        "order_id": 1042, "order_no": "C1", "kind": "pay", "status": "succeeded", "merchant_id": 7,
        "payer_merchant_id": 7, "payer_account_id": 70, "payer_name": "Ann", "payee_merchant_id": 8, "payee_account_id": 80,
        "payee_name": "Bob", "origin_order_id": null, "amount": 1000, "fee": 6, "refunded_amount": 0, "currency": "CNY",
        "channel": "wallet", "channel_ref": null, "remark": "tea", "created_at": 1_700_000_000_000_000_i64, "updated_at": 1_700_000_000_000_001_i64
    });
    for (column, value) in edit {
        row[*column] = value.clone();
    }
    row
}

fn mapped(table: &str, before: Option<serde_json::Value>, after: Option<serde_json::Value>) -> Mapped {
    mapped_as("u", table, before, after)
}

fn mapped_as(
    op: &str,
    table: &str,
    before: Option<serde_json::Value>,
    after: Option<serde_json::Value>,
) -> Mapped {
    let json = serde_json::json!({
        "before": before, "after": after, "op": op, "ts_ms": 1,
        "source": {"name": "accounting", "db": "accounting", "table": table, "server_id": 1, "gtid": "0-1-9", "file": "b.1", "pos": 4, "row": 0, "seq": 5, "ts_ms": 1_700_000_000_000_i64}
    })
    .to_string();
    mapper().map(&Change::parse(json.as_bytes()).unwrap())
}

/// `+account` for an upsert, `-account` for a delete.
fn signs(mapped: &Mapped) -> Vec<String> {
    let sign = |op| if op == BillOp::Upsert { '+' } else { '-' };
    mapped.records.iter().map(|r| format!("{}{}", sign(r.op), r.bill.account_id)).collect()
}

#[test]
fn an_order_between_merchants_makes_the_payers_and_the_payees_bill() {
    let mapped = mapped("fund_order", None, Some(order(&[])));
    assert_eq!((signs(&mapped), &mapped.refused), (vec!["+70".to_owned(), "+80".to_owned()], &vec![]));
    let [payer, payee] = mapped.records.as_slice() else { panic!("not two") };
    assert_eq!(payer.bill.bill_id.as_str(), "orders.accounting.payer.1042");
    assert_eq!(
        (payer.bill.direction, payer.bill.fee, payer.bill.counterparty.as_str()),
        (Direction::Out, 0, "Bob")
    );
    assert_eq!((payee.bill.direction, payee.bill.fee, payee.bill.merchant_id), (Direction::In, 6, 8));
    assert_eq!(payee.bill.posted_at.micros(), 1_700_000_000_000_001);
    assert_eq!((payee.version.get(), payee.partition_key().as_str()), (5, "80"));
    assert_eq!(payee.committed_at.to_string(), "2023-11-14T22:13:20.000000Z");
}

#[test]
fn a_row_that_a_snapshot_read_makes_the_bills_that_a_change_to_it_makes() {
    let read = mapped_as("r", "fund_order", None, Some(order(&[])));
    assert_eq!(signs(&read), ["+70", "+80"]);
    assert_eq!(read, mapped("fund_order", None, Some(order(&[]))));
}

#[test]
fn a_side_without_a_merchant_makes_no_bill_and_an_uncaptured_table_none_at_all() {
    assert_eq!(
        signs(&mapped("fund_order", None, Some(order(&[("payer_merchant_id", serde_json::Value::Null)])))),
        ["+80"]
    );
    assert_eq!(mapped("account", None, Some(order(&[]))), Mapped::default());
}

#[test]
fn a_bill_that_before_makes_and_after_does_not_is_deleted_first() {
    let moved = mapped("fund_order", Some(order(&[])), Some(order(&[("payer_account_id", 71.into())])));
    assert_eq!(signs(&moved), ["-70", "+71", "+80"]);
    let gone = mapped(
        "fund_order",
        Some(order(&[])),
        Some(order(&[("payee_merchant_id", serde_json::Value::Null)])),
    );
    assert_eq!(signs(&gone), ["-80", "+70"]);
    assert_eq!(signs(&mapped("fund_order", Some(order(&[])), None)), ["-70", "-80"]);
}

#[test]
fn a_side_that_cannot_become_a_bill_is_refused_and_keeps_its_old_state() {
    let long = "x".repeat(256);
    let mapped = mapped("fund_order", Some(order(&[])), Some(order(&[("remark", long.into())])));
    assert_eq!(signs(&mapped), Vec::<String>::new());
    assert_eq!(mapped.refused.len(), 2);
    let first = mapped.refused[0].to_string();
    assert_eq!(
        first,
        "pipeline orders, side payer, row 1042: remark: column remark does not hold at most 255 characters"
    );
}

#[test]
fn a_refused_side_under_another_account_still_ends_the_old_bill() {
    let edit = [("payer_account_id", 71.into()), ("currency", "yen".into())];
    let mapped = mapped("fund_order", Some(order(&[])), Some(order(&edit)));
    assert_eq!(signs(&mapped), ["-70"]);
}

#[test]
fn an_unmappable_before_alone_refuses_nothing() {
    let mapped = mapped("fund_order", Some(order(&[("currency", "yen".into())])), Some(order(&[])));
    assert_eq!((signs(&mapped), mapped.refused.len()), (vec!["+70".to_owned(), "+80".to_owned()], 0));
}

#[test]
fn values_go_through_their_map_and_what_it_does_not_name_is_refused() {
    let entry = |direction: &str| {
        serde_json::json!({"entry_id": 3, "account_id": u64::MAX, "merchant_id": 7, "order_no": "C1", "kind": "fee", "direction": direction,
            "amount": 6, "currency": "CNY", "balance_after": -5, "counterparty": "fees", "remark": "", "created_at": 0})
    };
    let made = mapped("entry", None, Some(entry("debit")));
    let bill = &made.records[0].bill;
    assert_eq!((bill.direction, bill.balance_after, bill.account_id), (Direction::Out, Some(-5), u64::MAX));
    let refused = mapped("entry", None, Some(entry("sideways")));
    assert!(matches!(refused.refused[0].reason, Reason::OutsideMap { field: "direction", .. }));
}

#[test]
fn the_shipped_mapping_fits_its_tables() {
    let (config, shapes) = config(SHIPPED);
    assert_eq!(validate::check(&config.pipelines, &shapes), []);
}

#[test]
fn a_missing_or_unsuitable_column_is_named_with_its_line() {
    let line = |text: &str, start: &str| text.lines().position(|line| line.starts_with(start)).unwrap() + 1;
    let errors = |from: &str, to: &str| {
        let text = SHIPPED.replacen(from, to, 1);
        let (config, shapes) = config(&text);
        let errors = validate::check(&config.pipelines, &shapes);
        (text, errors.iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    let (text, found) = errors("order_no = { column = \"order_no\" }", "order_no = { column = \"number\" }");
    let wanted = format!(
        "pipelines.toml:{}:23: column number does not exist in accounting.fund_order (order_no of pipeline orders)",
        line(&text, "order_no")
    );
    assert_eq!(found, [wanted]);
    let (_, found) = errors("amount = { column = \"amount\" }", "amount = { column = \"remark\" }");
    assert!(
        found[0].contains(
            "column remark of accounting.fund_order is VARCHAR(255), and amount of pipeline orders wants"
        ),
        "{found:?}"
    );
    let (_, found) = errors("id = { column = \"order_id\" }", "id = { column = \"order_no\" }");
    assert!(found[0].contains("the primary key of accounting.fund_order is (order_id)"), "{found:?}");
}

#[test]
fn datetimes_of_few_digits_are_milliseconds() {
    let (config, mut shapes) = config(SHIPPED);
    for shape in shapes.values_mut() {
        for column in &mut shape.columns {
            column.time_digits = 3;
        }
    }
    let row =
        change_event::Row::new(vec![("created_at".into(), change_event::Value::I64(1_700_000_000_123))]);
    let pipeline = &config.pipelines[1];
    let shape = &shapes[&(pipeline.source.clone(), pipeline.table.clone())];
    let field = value::Field { name: "occurred_at", row: &row, shape };
    assert_eq!(field.time(&pipeline.sides[0].fields.occurred_at).unwrap().micros(), 1_700_000_000_123_000);
}
