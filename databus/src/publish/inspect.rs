//! Looks at the broker and the topics without making or changing any.

use super::{quiet::Quiet, stage1::ASK_TIMEOUT};
use change_event::checkpoint::{self, LARGEST_RECORD, changes_topic};
use pipeline_config::Kafka;
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, ResourceSpecifier},
    config::FromClientConfigAndContext as _,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
};

/// What a look at the broker brought to light.
#[derive(Debug, Default)]
pub(crate) struct KafkaExamination {
    /// What is as it must be.
    pub fine: Vec<String>,
    /// What is not, with the place of the setting or the command that changes it.
    pub findings: Vec<String>,
}

/// Asks the broker for the topics of these sources.
pub(crate) async fn inspect(kafka: &Kafka, sources: &[&str]) -> KafkaExamination {
    let mut seen = KafkaExamination::default();
    if let Err(cause) = look(kafka, sources, &mut seen).await {
        seen.findings.push(format!(
            "{}: no kafka broker answers at {} ({cause}); check kafka.brokers and that the broker runs",
            kafka.brokers_place, kafka.brokers
        ));
    }
    seen
}

async fn look(kafka: &Kafka, sources: &[&str], seen: &mut KafkaExamination) -> Result<(), String> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &kafka.brokers);
    let failed = |cause: KafkaError| cause.to_string();
    let asked = config.clone();
    let topics = tokio::task::spawn_blocking(move || -> Result<Vec<(String, usize)>, KafkaError> {
        let consumer: BaseConsumer<Quiet> = asked.create_with_context(Quiet)?;
        let metadata = consumer.fetch_metadata(None, ASK_TIMEOUT)?;
        Ok(metadata.topics().iter().map(|t| (t.name().to_owned(), t.partitions().len())).collect())
    })
    .await
    .map_err(|cause| cause.to_string())?
    .map_err(failed)?;
    seen.fine.push(format!("a broker answers at {}", kafka.brokers));
    let wanted = sources.iter().map(|source| (changes_topic(source), "delete"));
    for (topic, cleanup) in wanted.chain([(checkpoint::TOPIC.to_owned(), "compact")]) {
        match topics.iter().find(|(name, _)| *name == topic) {
            None => seen.fine.push(format!("topic {topic} is not there yet: the first run makes it")),
            Some((_, 1)) => settings(&config, &topic, cleanup, seen).await?,
            Some((_, more)) => seen.findings.push(format!(
                "topic {topic} has {more} partitions but must have 1: its order is the source's commit order; use another source name \
                 or make the topic anew"
            )),
        }
    }
    Ok(())
}

/// The settings of a topic that somebody else may have made.
async fn settings(
    config: &ClientConfig,
    topic: &str,
    cleanup: &str,
    seen: &mut KafkaExamination,
) -> Result<(), String> {
    let admin: AdminClient<Quiet> =
        AdminClient::from_config_and_context(config, Quiet).map_err(|cause| cause.to_string())?;
    let options = AdminOptions::new().request_timeout(Some(ASK_TIMEOUT));
    let answers = admin
        .describe_configs([&ResourceSpecifier::Topic(topic)], &options)
        .await
        .map_err(|cause| cause.to_string())?;
    let Some(Ok(resource)) = answers.into_iter().next() else {
        seen.fine.push(format!("topic {topic}: one partition (the broker does not tell its settings)"));
        return Ok(());
    };
    let value = |name: &str| {
        resource.entries.iter().find(|entry| entry.name == name).and_then(|entry| entry.value.clone())
    };
    let before = seen.findings.len();
    let has = value("cleanup.policy").unwrap_or_default();
    if has != cleanup {
        seen.findings.push(format!(
            "topic {topic} has cleanup.policy={has}: wanted {cleanup} \
             (kafka-configs.sh --alter --topic {topic} --add-config cleanup.policy={cleanup})"
        ));
    }
    let largest = value("max.message.bytes").and_then(|bytes| bytes.parse::<u64>().ok());
    if cleanup == "delete" && largest.is_some_and(|bytes| Some(bytes) < LARGEST_RECORD.parse().ok()) {
        seen.findings.push(format!(
            "topic {topic} has max.message.bytes={}: wanted {LARGEST_RECORD}, or a large row stops the source \
             (kafka-configs.sh --alter --topic {topic} --add-config max.message.bytes={LARGEST_RECORD})",
            largest.unwrap_or_default()
        ));
    }
    if seen.findings.len() == before {
        seen.fine.push(format!("topic {topic}: one partition, cleanup.policy={has}"));
    }
    Ok(())
}
