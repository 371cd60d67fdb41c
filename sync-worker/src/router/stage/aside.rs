//! Rows that cannot become bills: set aside in the transaction of the bills around them, healed in the same way (G8).

use std::time::{SystemTime, UNIX_EPOCH};

use change_event::{
    Version,
    envelope::Change,
    quarantine::{self, Facts, HEADER, Key},
};
use rdkafka::{
    Message,
    message::{Header, OwnedHeaders},
    producer::BaseRecord,
};

use super::{Router, RouterError, Stage};
use crate::mapping::Refusal;

impl Router<'_> {
    /// Sets the refused sides of a change aside, and heals those of its row that were set aside and are not refused now: they fit,
    /// their condition does not hold any more, or the row is gone.
    pub(super) fn set_aside(
        &self,
        stage: &mut Stage,
        change: &Change<'_>,
        message: &impl Message,
        refused: &[Refusal],
    ) -> Result<(), RouterError> {
        let row = String::from_utf8_lossy(message.key().unwrap_or_default());
        let still = |key: &Key| refused.iter().any(|refusal| is_of(refusal, key));
        let healed: Vec<Key> = stage
            .aside
            .of_row(&row)
            .iter()
            .map(|entry| &entry.key)
            .filter(|key| self.settings.mapper.reads(&key.pipeline, change) && !still(key))
            .cloned()
            .collect();
        self.heal(stage, message, healed)?;
        if refused.is_empty() {
            return Ok(());
        }
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
        for refusal in refused {
            let key = Key {
                stage: quarantine::Stage::Router,
                source: self.settings.source.name.to_string(),
                pipeline: refusal.pipeline.to_string(),
                side: refusal.side.to_string(),
                row: row.clone().into_owned(),
            };
            let key_text = self.encoded(message, &key)?;
            let (attempts, first_ms) = stage.aside.set_aside(key, change.source.seq, now_ms);
            let facts = Facts {
                version: change.source.seq,
                account: refusal.account,
                topic: self.topic.clone(),
                partition: message.partition(),
                offset: message.offset(),
                file: Some(change.source.file.to_string()),
                pos: Some(change.source.pos),
                gtid: change.source.gtid.as_deref().map(str::to_owned),
                reason: refusal.reason.to_string(),
                attempts,
                first_ms,
                last_ms: now_ms,
            };
            let facts = self.encoded(message, &facts)?;
            let headers = OwnedHeaders::new().insert(Header { key: HEADER, value: Some(&facts) });
            let bytes = message.payload().unwrap_or_default();
            let topic = self.quarantine();
            self.produce(
                stage,
                BaseRecord::to(&topic).key(key_text.as_str()).payload(bytes).headers(headers),
            )?;
            tracing::warn!(topic = self.topic, offset = message.offset(), attempts, %refusal, "set aside");
            self.settings
                .metrics
                .set_aside
                .with_label_values(&["router", &*self.settings.source.name, &*refusal.pipeline])
                .inc();
        }
        Ok(())
    }

    /// Heals all that was set aside of these pipelines before this change.
    pub(super) fn heal_all(
        &self,
        stage: &mut Stage,
        message: &impl Message,
        pipelines: &[String],
        seq: Version,
    ) -> Result<(), RouterError> {
        let healed = stage.aside.older_of(&self.settings.source.name, pipelines, seq);
        self.heal(stage, message, healed)
    }

    fn heal(&self, stage: &mut Stage, message: &impl Message, healed: Vec<Key>) -> Result<(), RouterError> {
        for key in healed {
            let key_text = self.encoded(message, &key)?;
            self.produce(stage, BaseRecord::to(&self.quarantine()).key(key_text.as_str()))?;
            tracing::info!(
                pipeline = key.pipeline,
                side = key.side,
                row = key.row,
                "a row that was set aside is well again"
            );
            stage.aside.heal(&key);
            self.settings.metrics.healed.with_label_values(&[key.stage.as_str(), &key.source]).inc();
        }
        Ok(())
    }

    fn quarantine(&self) -> String {
        quarantine::topic(&self.settings.kafka.bills_topic)
    }

    pub(super) fn encoded(
        &self,
        message: &impl Message,
        what: &impl serde::Serialize,
    ) -> Result<String, RouterError> {
        serde_json::to_string(what).map_err(|cause| RouterError::Encode {
            topic: self.topic.clone(),
            offset: message.offset(),
            cause,
        })
    }
}

fn is_of(refusal: &Refusal, key: &Key) -> bool {
    *refusal.pipeline == *key.pipeline && *refusal.side == *key.side
}
