//! The shipped `pipelines.toml`, and what edits of it are refused with.

use std::path::Path;

use pipeline_config::{Config, FieldRule, Otherwise, Test};

const SHIPPED: &str = include_str!("../../../pipelines.toml");

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(Path::new("pipelines.toml"), text).map_err(|error| error.to_string())
}

/// The shipped file with one place changed.
fn edited(from: &str, to: &str) -> Result<Config, String> {
    assert!(SHIPPED.contains(from), "the shipped file no longer holds {from}");
    parse(&SHIPPED.replacen(from, to, 1))
}

#[test]
fn the_shipped_file_loads_with_the_defaults_of_its_comments() {
    let config = parse(SHIPPED).unwrap();
    assert_eq!(config.sources[0].changes_topic(), "changes.accounting");
    assert_eq!(config.kafka.bills_topic, "bills");
    assert_eq!(config.kafka.bills_partitions, 12);
    assert_eq!(config.kafka.retention.as_secs(), 14 * 24 * 3600);
    assert_eq!(config.store.database, "bills");
    assert_eq!(config.index.as_ref().unwrap().refresh_interval.as_millis(), 200);
    assert_eq!(config.databus.admin_listen.to_string(), "127.0.0.1:8081");
    assert_eq!(config.sync_worker.admin_listen.to_string(), "127.0.0.1:8082");
    assert_eq!(config.sync_worker.batch_max_records, 1000);
    assert_eq!(config.require_wallet_api().unwrap().rpc_listen.to_string(), "127.0.0.1:9090");
    assert_eq!(config.require_bill_api().unwrap().listen.to_string(), "127.0.0.1:8090");
    assert_eq!((config.flow.read.per_second, config.flow.write.burst), (100, 200));
    let names: Vec<&str> = config.pipelines.iter().map(|pipeline| pipeline.name.as_str()).collect();
    assert_eq!(names, ["orders", "movements"]);
}

#[test]
fn rules_keep_their_place_and_their_value_maps() {
    let config = parse(SHIPPED).unwrap();
    let FieldRule::Column(direction) = &config.pipelines[1].sides[0].fields.direction else {
        panic!("direction is no column")
    };
    let line = SHIPPED.lines().position(|line| line.starts_with("direction = { column")).unwrap() + 1;
    assert_eq!(direction.place.to_string(), format!("pipelines.toml:{line}:24"));
    assert_eq!(direction.values["credit"], "in");
    assert_eq!(direction.otherwise, Otherwise::Refuse);
    assert_eq!(config.pipelines[0].sides[0].when[0].test, Test::NotNull);
}

#[test]
fn contradictions_are_refused_with_their_place() {
    let cases = [
        ("[kafka]", "[kafka]\nbroker = 1", "unknown field `broker`"),
        ("server_id = 4201", "server_id = 0", "server_id must not be 0"),
        ("source = \"accounting\"", "source = \"books\"", "no [source.books]: the sources are accounting"),
        (
            "table = \"accounting.entry\"",
            "table = \"accounting.journal\"",
            "does not capture accounting.journal",
        ),
        ("name = \"movements\"", "name = \"orders\"", "two pipelines are called orders"),
        ("name = \"payee\"", "name = \"payer\"", "two sides called payer"),
        ("name = \"payee\"", "name = \"a.b\"", "\"a.b\" is not a name"),
        ("# admin_listen = \"127.0.0.1:8082\"", "admin_listen = \"8082\"", "is not a listen address"),
        (
            "{ constant = \"out\" }",
            "{ constant = \"up\" }",
            "direction cannot be \"up\": wanted \"in\" or \"out\"",
        ),
        ("{ constant = 0 }", "{ constant = \"0\" }", "fee cannot be \"0\": wanted a whole number"),
        ("{ constant = 0 }", "{ constant = 0.5 }", "a string, a whole number or a boolean"),
        ("fee = { constant = 0 }\ncounterparty", "counterparty", "side payer has no fee"),
        ("is = \"not_null\"", "is = \"set\"", "\"set\" is not a test"),
        ("{ env = \"BILLS_PASSWORD\" }", "{ }", "a secret is { env"),
        ("{ env = \"BILLS_PASSWORD\" }", "\"plain\"", "a secret never stands in this file"),
        ("{ env = \"BILLS_PASSWORD\" }", "{ value = \"plain\" }", "a secret never stands in this file"),
        (
            "http://127.0.0.1:9200",
            "http://elastic:plain@127.0.0.1:9200",
            "no user or password in the address",
        ),
        ("{ constant = \"posted\" }", "{ constant = \"at rest\" }", "status cannot be \"at rest\""),
        ("\"accounting.fund_order\", ", "\"accounting.entry\", ", "accounting.entry is named twice"),
    ];
    for (from, to, wanted) in cases {
        let error = edited(from, to).expect_err(wanted);
        assert!(error.contains(wanted), "{from} -> {to}: wanted {wanted:?} in {error:?}");
        assert!(!error.contains("plain"), "a secret is shown: {error}");
        let mut place = error.split(':');
        assert_eq!(place.next(), Some("pipelines.toml"), "{error}");
        assert!(place.next().is_some_and(|line| line.parse::<u32>().is_ok()), "no line in {error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}

#[test]
fn the_place_of_a_mistake_is_its_line_and_column() {
    let error = parse("[kafka]\nbrokers = 5\n").unwrap_err();
    assert!(error.starts_with("pipelines.toml:"), "{error}");
    let error = edited("is = \"not_null\"", "is = \"set\"").unwrap_err();
    let line = SHIPPED.lines().position(|line| line.contains("is = \"not_null\"")).unwrap() + 1;
    assert!(error.starts_with(&format!("pipelines.toml:{line}:46: ")), "{error}");
}

#[test]
fn the_index_may_be_left_out() {
    let from = SHIPPED.find("[index]").unwrap();
    let to = SHIPPED.find("[redis]").unwrap();
    let text = format!("{}{}", &SHIPPED[..from], &SHIPPED[to..]);
    assert!(parse(&text).unwrap().index.is_none());
}

#[test]
fn a_secret_is_read_only_when_asked_for_and_its_absence_names_the_key() {
    let config = edited("BILLS_PASSWORD", "NO_SUCH_VARIABLE_IN_ANY_SHELL").unwrap();
    let error = config.store.login.password.resolve().unwrap_err().to_string();
    assert!(
        error.contains("store.password: the environment variable NO_SUCH_VARIABLE_IN_ANY_SHELL is not set"),
        "{error}"
    );
}

#[test]
fn a_secret_file_stands_beside_the_configuration_and_its_line_break_is_not_part_of_it() {
    use secrecy::ExposeSecret as _;
    let folder = std::env::temp_dir().join(format!("pipeline-config-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("bills.password"), "s3cret\n").unwrap();
    let path = folder.join("pipelines.toml");
    let text = SHIPPED.replacen("{ env = \"BILLS_PASSWORD\" }", "{ file = \"bills.password\" }", 1);
    std::fs::write(&path, text).unwrap();
    let config = Config::load(&path).unwrap();
    assert_eq!(config.store.login.password.resolve().unwrap().expose_secret(), "s3cret");
    assert!(!format!("{config:?}").contains("s3cret"));
    std::fs::remove_dir_all(&folder).unwrap();
}
