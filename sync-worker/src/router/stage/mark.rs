//! Progress marks: databus's checkpoints, behind the bills that they cover, to every partition of stage 2.

use std::time::Duration;

use change_event::{
    checkpoint::Checkpoint,
    progress::{HEADER, Mark},
};
use rdkafka::{
    Message as _,
    consumer::Consumer as _,
    message::{Header, OwnedHeaders},
    producer::BaseRecord,
};

use super::{Router, RouterError, Stage};

/// Checkpoints taken in at once: a router that starts meets all that compaction has left.
const MOST: usize = 1_000;

impl Router<'_> {
    /// Writes the mark that is due to every partition, in the transaction of the bills in front of it.
    pub(super) fn mark(&self, stage: &mut Stage) -> Result<(), RouterError> {
        self.hear(stage);
        let Some(mark) = stage.marks.due(stage.read.last_seq) else { return Ok(()) };
        self.begin(stage)?;
        let text = serde_json::to_string(&mark).map_err(|cause| RouterError::Encode {
            topic: self.topic.clone(),
            offset: stage.read.offset,
            cause,
        })?;
        let kafka = &self.settings.kafka;
        for partition in 0..kafka.bills_partitions {
            let headers = OwnedHeaders::new().insert(Header { key: HEADER, value: Some(&text) });
            self.produce(stage, BaseRecord::to(&kafka.bills_topic).partition(partition).headers(headers))?;
        }
        Ok(())
    }

    /// Takes in what databus has said since.
    fn hear(&self, stage: &mut Stage) {
        for _ in 0..MOST {
            let message = match stage.checkpoints.poll(Duration::ZERO) {
                None => return,
                Some(Ok(message)) => message,
                // a broker that is away comes back; marks wait, bills do not
                Some(Err(error)) => return self.consumer.context().away.say(&self.group, &error),
            };
            if message.key() != Some(self.settings.source.name.as_bytes()) {
                continue;
            }
            let Some(value) = message.payload() else { continue };
            match serde_json::from_slice::<Checkpoint>(value) {
                Ok(checkpoint) => stage.marks.add(Mark {
                    source: self.settings.source.name.to_string(),
                    seq: checkpoint.seq,
                    gtid: checkpoint.gtid,
                    as_of: checkpoint.as_of,
                }),
                // databus itself would refuse it and say what to do
                Err(error) => {
                    tracing::warn!(offset = message.offset(), %error, "a checkpoint that cannot be read: no progress is marked from it");
                }
            }
        }
    }
}
