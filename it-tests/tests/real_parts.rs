//! The real parts do what the guarantees are built on, seen through the clients that the daemons use.

use crate::shared::{fresh, stack, stack_on, unique};
use anyhow::{Context, Result};
use elasticsearch::http::transport::Transport;
use elasticsearch::indices::IndicesCreateParts;
use elasticsearch::params::VersionType;
use elasticsearch::{BulkOperation, BulkParts, Elasticsearch, GetParts};
use futures::future::try_join_all;
use it_tests::harness::{Flavour, Not, Part, Service, Stack, wait_until, wait_until_async};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use serde_json::{Value, json};
use sqlx::{Connection, MySqlConnection};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_answers_a_row_that_was_written_to_it() -> Result<()> {
    let mariadb = stack()?.mariadb()?;
    let database = unique("rows");
    mariadb.create_database(&database)?;
    let mut owner = MySqlConnection::connect(&mariadb.url("wallet", &database)?).await?;
    sqlx::query("CREATE TABLE row_of_two (id BIGINT UNSIGNED PRIMARY KEY, name VARCHAR(40) NOT NULL)")
        .execute(&mut owner)
        .await?;
    sqlx::query("INSERT INTO row_of_two VALUES (?, ?)")
        .bind(u64::MAX)
        .bind("收款")
        .execute(&mut owner)
        .await?;

    let mut reader = MySqlConnection::connect(&mariadb.url("databus", &database)?).await?;
    let row: (u64, String) = sqlx::query_as("SELECT id, name FROM row_of_two").fetch_one(&mut reader).await?;

    assert_eq!(row, (u64::MAX, "收款".to_owned()));
    let refused = sqlx::query("DELETE FROM row_of_two").execute(&mut reader).await;
    assert!(refused.is_err(), "the databus user must not be able to write");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn both_mariadbs_write_a_binlog_that_databus_can_read() -> Result<()> {
    for (flavour, series) in [(Flavour::MariaDb1011, "10.11."), (Flavour::MariaDb118, "11.8.")] {
        let mariadb = stack_on(flavour)?.mariadb()?;
        let mut databus = MySqlConnection::connect(&mariadb.url("databus", "accounting")?).await?;

        let settings: (String, String, String, u64) = sqlx::query_as(
            "SELECT @@binlog_format, @@binlog_row_image, @@binlog_row_metadata, @@sync_binlog",
        )
        .fetch_one(&mut databus)
        .await?;
        let logs = sqlx::query("SHOW BINARY LOGS").fetch_all(&mut databus).await?;

        assert_eq!(settings, ("ROW".into(), "FULL".into(), "FULL".into(), 1));
        assert!(!logs.is_empty());
        assert!(mariadb.version()?.starts_with(series), "{flavour} is {}", mariadb.version()?);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_hides_the_records_of_an_aborted_transaction_from_committed_readers() -> Result<()> {
    let brokers = stack()?.kafka_brokers()?;
    let topic = unique("transactions");
    create_topic(&brokers, &topic).await?;
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", &brokers)
        .set("transactional.id", unique("producer"))
        .create()?;
    producer.init_transactions(SOON)?;

    for (value, keep) in [("kept", true), ("aborted", false), ("kept too", true)] {
        producer.begin_transaction()?;
        let record = FutureRecord::<str, str>::to(&topic).payload(value);
        producer.send(record, SOON).await.map_err(|(error, _)| error)?;
        if keep {
            producer.commit_transaction(SOON)?
        } else {
            producer.abort_transaction(SOON)?
        };
    }

    assert_eq!(read_to_end(&brokers, &topic, "read_committed")?, ["kept", "kept too"]);
    assert_eq!(read_to_end(&brokers, &topic, "read_uncommitted")?, ["kept", "aborted", "kept too"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_still_knows_a_nonce_after_a_power_cut() -> Result<()> {
    let mut stack = Stack::start(fresh("nonce").only(&[Part::Redis]))?;
    let url = stack.redis()?.url(0);
    assert!(set_nonce(&url).await?, "the first use of a nonce is accepted");

    stack.redis_mut()?.kill_9()?;
    stack.redis_mut()?.start_again()?;

    assert!(!set_nonce(&url).await?, "the second use is refused, also after the cut");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_and_kafka_come_back_with_their_data_after_a_power_cut() -> Result<()> {
    let mut stack = Stack::start(fresh("cut").only(&[Part::MariaDb, Part::Kafka]))?;
    let (brokers, topic) = (stack.kafka_brokers()?, unique("cut"));
    create_topic(&brokers, &topic).await?;
    let producer: FutureProducer =
        ClientConfig::new().set("bootstrap.servers", &brokers).set("enable.idempotence", "true").create()?;
    let sends = (0..100).map(|_| producer.send(FutureRecord::<str, str>::to(&topic).payload("x"), SOON));
    try_join_all(sends).await.map_err(|(error, _)| error)?;
    stack
        .mariadb()?
        .sql("CREATE TABLE bills.kept (id INT PRIMARY KEY); INSERT INTO bills.kept VALUES (7)")?;

    stack.mariadb_mut()?.kill_9()?;
    stack.kafka_mut()?.kill_9()?;
    stack.mariadb_mut()?.start_again()?;
    stack.kafka_mut()?.start_again()?;

    assert_eq!(stack.mariadb()?.sql("SELECT id FROM bills.kept")?, "7\n");
    assert_eq!(read_to_end(&brokers, &topic, "read_committed")?.len(), 100);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn elasticsearch_takes_a_version_again_and_refuses_an_older_one() -> Result<()> {
    let client = Elasticsearch::new(Transport::single_node(&stack()?.elasticsearch_url()?)?);
    let index = unique("gate");
    let mapping = json!({"settings": {"number_of_shards": 1, "number_of_replicas": 0},
        "mappings": {"dynamic": "strict", "properties": {"status": {"type": "keyword"}}}});
    client
        .indices()
        .create(IndicesCreateParts::Index(&index))
        .body(mapping)
        .send()
        .await?
        .error_for_status_code()?;

    let mut statuses = Vec::new();
    for (version, status) in [(7, "open"), (7, "again"), (6, "older"), (8, "newer")] {
        statuses.push(index_at(&client, &index, version, status).await?);
    }

    assert_eq!(statuses, [201, 200, 409, 200]);
    let found: Value = client.get(GetParts::IndexId(&index, "bill")).send().await?.json().await?;
    assert_eq!((&found["_version"], &found["_source"]["status"]), (&json!(8), &json!("newer")));
    Ok(())
}

async fn create_topic(brokers: &str, topic: &str) -> Result<()> {
    let admin: AdminClient<_> = ClientConfig::new().set("bootstrap.servers", brokers).create()?;
    let new = NewTopic::new(topic, 1, TopicReplication::Fixed(1));
    let created = admin.create_topics([&new], &AdminOptions::new()).await?;
    created
        .into_iter()
        .try_for_each(|result| result.map(drop))
        .map_err(|(name, code)| anyhow::anyhow!("{name}: {code}"))
}

/// The values of a topic's only partition, from its first record to its end.
fn read_to_end(brokers: &str, topic: &str, isolation: &str) -> Result<Vec<String>> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", unique("reader"))
        .set("isolation.level", isolation)
        .set("enable.partition.eof", "true")
        .create()?;
    let mut from_start = TopicPartitionList::new();
    from_start.add_partition_offset(topic, 0, Offset::Beginning)?;
    consumer.assign(&from_start)?;
    let mut values = Vec::new();
    wait_until(&format!("the end of {topic}"), SOON, || {
        loop {
            match consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => {
                    values.push(String::from_utf8_lossy(message.payload().unwrap_or_default()).into_owned());
                }
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(()),
                Some(Err(error)) => return Err(Not::yet(error)),
                None => return Err(format!("{} records so far", values.len()).into()),
            }
        }
    })?;
    Ok(values)
}

/// `SET NX`, as the signature check does it: true if the nonce was new.
async fn set_nonce(url: &str) -> Result<bool> {
    let client = redis::Client::open(url)?;
    let mut connection = wait_until_async("a redis connection", SOON, || async {
        client.get_multiplexed_async_connection().await.map_err(Not::yet)
    })
    .await?;
    let answer: Option<String> = redis::cmd("SET")
        .arg(&["nonce:app:1", "1", "NX", "EX", "600"])
        .query_async(&mut connection)
        .await
        .context("SET NX")?;
    Ok(answer.as_deref() == Some("OK"))
}

/// The status of the one item of a bulk request.
async fn index_at(client: &Elasticsearch, index: &str, version: i64, status: &str) -> Result<i64> {
    let operation = BulkOperation::index(json!({"status": status}))
        .id("bill")
        .version(version)
        .version_type(VersionType::ExternalGte);
    let body: Vec<BulkOperation<Value>> = vec![operation.into()];
    let answer: Value = client.bulk(BulkParts::Index(index)).body(body).send().await?.json().await?;
    answer["items"][0]["index"]["status"].as_i64().with_context(|| format!("no item status in {answer}"))
}
