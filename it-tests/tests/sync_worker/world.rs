//! A source, two topics, a store and an index that no other test uses, and hand-made records for them.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::shared::{stack, unique};
use anyhow::{Context, Result};
use change_event::checkpoint::LARGEST_RECORD;
use it_tests::{
    harness::{Deployment, Not, Stack, http::get_ok, wait_until},
    topic::{Record, read_all},
};
use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, Consumer},
    message::{Header, OwnedHeaders},
    producer::{BaseProducer, BaseRecord, Producer},
};
use serde_json::{Value, json};

pub(super) const SOON: Duration = Duration::from_secs(60);
const LEDGER: &str = include_str!("../../../migrations/accounting/0001_ledger.sql");

pub(super) struct World<'a> {
    pub(super) stack: &'a Stack,
    pub(super) deployment: Deployment,
    pub(super) name: String,
    brokers: String,
}

/// `account_id`, `bill_id` -> version, deleted, remark.
pub(super) type Held = BTreeMap<(u64, String), (i64, bool, String)>;

impl World<'static> {
    /// On the shared stack, migrated.
    pub(super) fn new() -> Result<Self> {
        Self::on(stack()?)
    }
}

impl<'a> World<'a> {
    pub(super) fn on(stack: &'a Stack) -> Result<Self> {
        let name = unique("sw");
        let store = format!("{name}_bills");
        stack.mariadb()?.create_database(&name)?;
        stack.mariadb()?.create_database(&store)?;
        stack.mariadb()?.sql(&format!("USE {name};\n{LEDGER}"))?;
        let deployment = Deployment::edited(stack, &name, |file| {
            file.replace("accounting", &name);
            file.set_text("kafka", "bills_topic", &store)?;
            file.set_text("store", "database", &store)?;
            file.set_text("index", "alias", &store)
        })?;
        deployment.run_ok("sync-worker", &["migrate"])?;
        Ok(Self { stack, deployment, brokers: stack.kafka_brokers()?, name })
    }

    pub(super) fn sql(&self, statements: &str) -> Result<String> {
        self.stack.mariadb()?.sql(&format!("USE {};\n{statements}", self.name))
    }

    pub(super) fn store_sql(&self, statements: &str) -> Result<String> {
        self.stack.mariadb()?.sql(&format!("USE {}_bills;\n{statements}", self.name))
    }

    /// Waits until sync-worker has made its topics.
    pub(super) fn feed(&self, transactional_id: &str) -> Result<Feed> {
        Feed::new(&self.brokers, &format!("{}.{transactional_id}", self.name))
    }

    pub(super) fn changes(&self) -> String {
        format!("changes.{}", self.name)
    }

    pub(super) fn bills(&self) -> String {
        format!("{}_bills", self.name)
    }

    /// Everything committed in stage 2, partition by partition.
    pub(super) fn stage2(&self) -> Result<Vec<Record>> {
        read_all(&self.brokers, &self.bills())
    }

    /// Records of stage 2 that belong to transactions that are not over.
    pub(super) fn open_records(&self) -> Result<i64> {
        let end = |isolation: &str| -> Result<i64> {
            let asked: BaseConsumer = ClientConfig::new()
                .set("bootstrap.servers", &self.brokers)
                .set("isolation.level", isolation)
                .create()?;
            (0..12).map(|at| Ok(asked.fetch_watermarks(&self.bills(), at, SOON)?.1)).sum()
        };
        let stable = end("read_committed")?;
        Ok(end("read_uncommitted")? - stable)
    }

    pub(super) fn store(&self) -> Result<Held> {
        let rows = self.store_sql("SELECT account_id, bill_id, version, deleted, remark FROM bill")?;
        rows.lines()
            .map(|row| {
                let mut cells = row.split('\t');
                let mut cell = || cells.next().context("a row with too few cells");
                let key = (cell()?.parse()?, cell()?.to_owned());
                Ok((key, (cell()?.parse()?, cell()? == "1", cell()?.to_owned())))
            })
            .collect()
    }

    pub(super) fn index(&self) -> Result<Held> {
        let url = format!("{}/{}_bills", self.stack.elasticsearch_url()?, self.name);
        get_ok(&format!("{url}/_refresh"), SOON)?;
        let found: Value = serde_json::from_str(&get_ok(&format!("{url}/_search?size=10000"), SOON)?)?;
        let hits = found["hits"]["hits"].as_array().context("no hits")?;
        hits.iter()
            .map(|hit| {
                let document = &hit["_source"];
                let text = |field: &str| document[field].as_str().context("no text").map(str::to_owned);
                let version = document["version"].as_i64().context("no version")?;
                let deleted = document["deleted"].as_bool().context("no deleted")?;
                Ok(((text("account_id")?.parse()?, text("bill_id")?), (version, deleted, text("remark")?)))
            })
            .collect()
    }

    /// Waits until both sinks hold exactly this.
    pub(super) fn wait_for(&self, expected: &Held) -> Result<()> {
        let differs = |sink: &str, held: Held| {
            let wrong = held.iter().find(|(key, value)| expected.get(*key) != Some(value));
            let missing = expected.keys().find(|key| !held.contains_key(*key));
            format!("{sink} has {} of {}; wrong {wrong:?}, missing {missing:?}", held.len(), expected.len())
        };
        wait_until("store and index to hold what was fed", SOON, || {
            let store = self.store().map_err(Not::yet)?;
            if store != *expected {
                return Err(differs("store", store).into());
            }
            let index = self.index().map_err(Not::yet)?;
            if index != *expected { Err(differs("index", index).into()) } else { Ok(()) }
        })
    }

    /// An order between account `payer` and account `payee`, as a row of the change stream.
    pub(super) fn order(&self, id: u64, payer: u64, payee: u64, remark: &str) -> Value {
        json!({
            "order_id": id, "order_no": format!("C{id}"), "kind": "pay", "status": "succeeded", "merchant_id": 7,
            "payer_merchant_id": 7, "payer_account_id": payer, "payer_name": "Ann",
            "payee_merchant_id": 8, "payee_account_id": payee, "payee_name": "Bob 收款", "origin_order_id": null,
            "amount": 1000, "fee": 6, "refunded_amount": 0, "currency": "CNY", "channel": "wallet", "channel_ref": null,
            "remark": remark, "created_at": 1_700_000_000_000_000_u64 + id, "updated_at": 1_700_000_000_000_000_u64 + id
        })
    }

    /// A change event of `fund_order`.
    pub(super) fn change(&self, seq: i64, before: Option<&Value>, after: Option<&Value>) -> Value {
        let op = match (before, after) {
            (None, _) => "c",
            (_, None) => "d",
            _ => "u",
        };
        json!({
            "before": before, "after": after, "op": op, "ts_ms": 1_700_000_000_000_u64,
            "source": {"version": "0.1.0", "connector": "mariadb", "name": self.name, "ts_ms": 1_700_000_000_000_u64, "snapshot": "false",
                "db": self.name, "table": "fund_order", "server_id": 1, "gtid": format!("0-1-{seq}"), "file": "binlog.000001", "pos": 4, "row": 0, "seq": seq},
            "transaction": null
        })
    }

    /// A stage-2 record, as a router would write it.
    pub(super) fn record(&self, op: &str, version: i64, account: u64, row: u64, remark: &str) -> Value {
        let (name, at) = (&self.name, "2026-11-22T18:20:00.123456Z");
        json!({
            "op": op, "version": version, "committed_at": at,
            "source": {"name": name, "db": name, "table": "fund_order", "gtid": null, "ts_ms": 0},
            "bill": {"account_id": account, "bill_id": format!("orders.{name}.payee.{row}"), "pipeline": "orders", "source": name, "side": "payee",
                "merchant_id": 8, "bill_type": "pay", "direction": "in", "status": "succeeded", "amount": 1000, "fee": 6, "currency": "CNY",
                "balance_after": null, "occurred_at": at, "posted_at": at, "counterparty": "Ann", "order_no": "C1", "channel": "wallet",
                "channel_ref": null, "remark": remark}
        })
    }
}

/// A transactional producer, as databus and the router are.
pub(super) struct Feed {
    producer: BaseProducer,
}

impl Feed {
    fn new(brokers: &str, transactional_id: &str) -> Result<Self> {
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("transactional.id", transactional_id)
            .set("partitioner", "murmur2_random")
            .set("message.max.bytes", LARGEST_RECORD)
            .create()?;
        producer.init_transactions(SOON)?;
        Ok(Self { producer })
    }

    /// Commits these records, in their order, as one transaction.
    pub(super) fn commit(&self, topic: &str, records: &[(String, Option<Value>)]) -> Result<()> {
        self.producer.begin_transaction()?;
        for (key, value) in records {
            let value = value.as_ref().map(Value::to_string);
            let deadline = Instant::now() + SOON;
            let mut record = BaseRecord::to(topic).key(key);
            if let Some(value) = &value {
                record = record.payload(value);
            }
            while let Err((error, back)) = self.producer.send(record) {
                anyhow::ensure!(Instant::now() < deadline, "cannot send: {error}");
                self.producer.poll(Duration::from_millis(10));
                record = back;
            }
        }
        self.producer.commit_transaction(SOON)?;
        Ok(())
    }

    /// Commits a record without key and value, as marks are.
    pub(super) fn mark(&self, topic: &str, headers: &[(&str, &str)]) -> Result<()> {
        let headers = headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header { key, value: Some(*value) })
        });
        self.producer.begin_transaction()?;
        let record: BaseRecord<'_, str, str> = BaseRecord::to(topic).headers(headers);
        self.producer.send(record).map_err(|(error, _)| error)?;
        self.producer.commit_transaction(SOON)?;
        Ok(())
    }
}
