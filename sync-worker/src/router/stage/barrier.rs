//! Marks of stage 1 that are changes: a TRUNCATE ends every bill of its table, in every partition.

use change_event::{Timestamp, Version, barrier};
use rdkafka::{
    Message,
    message::{Header, Headers as _, OwnedHeaders},
    producer::BaseRecord,
};

use super::{Router, RouterError, Stage};

/// A TRUNCATE or DROP of a captured table.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Truncate {
    pub(super) seq: Version,
    pub(super) database: String,
    pub(super) table: String,
    /// When the statement ran.
    pub(super) at: Timestamp,
}

impl Truncate {
    /// What a record with a null value says, if it takes a seq; every other mark takes none.
    pub(super) fn read(message: &impl Message) -> Result<Option<Self>, String> {
        let header = |name: &str| {
            let headers = message.headers()?;
            let found = headers.iter().find(|header| header.key == name)?;
            found.value.and_then(|value| std::str::from_utf8(value).ok())
        };
        let Some(text) = header("databus.seq") else { return Ok(None) };
        let seq = text.parse::<i64>().ok().and_then(|seq| Version::try_from(seq).ok());
        let seq = seq.ok_or_else(|| format!("a mark whose header databus.seq is no version: {text:?}"))?;
        let named = |name: &str| {
            header(name).map(str::to_owned).ok_or_else(|| format!("a mark with a seq and no header {name}"))
        };
        match header("databus.mark") {
            Some("truncate") => {}
            kind => {
                return Err(format!(
                    "a mark of kind {kind:?} that takes a seq: a newer sync-worker may know it"
                ));
            }
        }
        let ts_ms = named("databus.ts_ms")?;
        let at = ts_ms
            .parse::<i64>()
            .ok()
            .and_then(|ms| ms.checked_mul(1000))
            .and_then(|us| Timestamp::from_micros(us).ok());
        let at = at.ok_or_else(|| format!("a mark whose header databus.ts_ms is no time: {ts_ms:?}"))?;
        Ok(Some(Self { seq, database: named("databus.db")?, table: named("databus.table")?, at }))
    }
}

impl Router<'_> {
    /// Writes the barrier to every partition, and heals what was set aside of the table's rows: they are gone.
    pub(super) fn end_all(
        &self,
        stage: &mut Stage,
        message: &impl Message,
        truncate: &Truncate,
    ) -> Result<(), RouterError> {
        let source = self.settings.source.name.to_string();
        let pipelines = self.settings.mapper.of_table(&source, &truncate.database, &truncate.table);
        if pipelines.is_empty() {
            return Ok(());
        }
        self.heal_all(stage, message, &pipelines, truncate.seq)?;
        tracing::info!(topic = self.topic, seq = %truncate.seq, ?pipelines, "the table was emptied: its bills end");
        let barrier =
            barrier::Barrier { source, pipelines, version: truncate.seq, committed_at: truncate.at };
        let text = self.encoded(message, &barrier)?;
        let kafka = &self.settings.kafka;
        for partition in 0..kafka.bills_partitions {
            let headers = OwnedHeaders::new().insert(Header { key: barrier::HEADER, value: Some(&text) });
            self.produce(stage, BaseRecord::to(&kafka.bills_topic).partition(partition).headers(headers))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdkafka::{Timestamp as At, message::OwnedMessage};

    fn read(headers: &[(&str, &str)]) -> Result<Option<Truncate>, String> {
        let headers = headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header { key, value: Some(*value) })
        });
        let topic = "changes.x".to_owned();
        Truncate::read(&OwnedMessage::new(None, None, topic, At::NotAvailable, 0, 0, Some(headers)))
    }

    #[test]
    fn a_truncate_takes_a_seq_and_other_marks_take_none() {
        let truncate = [
            ("databus.mark", "truncate"),
            ("databus.db", "d"),
            ("databus.table", "t"),
            ("databus.seq", "12"),
            ("databus.ts_ms", "5"),
        ];
        let expected = Truncate {
            seq: Version::try_from(12).unwrap(),
            database: "d".to_owned(),
            table: "t".to_owned(),
            at: Timestamp::from_micros(5_000).unwrap(),
        };
        assert_eq!(read(&truncate), Ok(Some(expected)));
        assert_eq!(read(&[("databus.mark", "snapshot-begin")]), Ok(None));
        for at in 1..truncate.len() {
            let mut wrong = truncate.to_vec();
            wrong[at].1 = "-";
            let named = matches!(truncate[at].0, "databus.db" | "databus.table");
            assert_eq!(read(&wrong).is_err(), !named, "{wrong:?}");
            if truncate[at].0 != "databus.seq" {
                wrong.remove(at);
                assert!(read(&wrong).is_err(), "{wrong:?}");
            }
        }
        assert!(read(&[("databus.mark", "something-new"), ("databus.seq", "12")]).is_err());
    }
}
