//! One row change, whoever published it.

use anyhow::{Context, Result};
use change_event::Row;
use it_tests::topic::Record;
use serde::Deserialize;
use std::borrow::Cow;

/// What both envelopes have in common.
#[derive(Debug, Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    before: Option<Row<'a>>,
    #[serde(borrow)]
    after: Option<Row<'a>>,
    #[serde(borrow)]
    op: Cow<'a, str>,
    #[serde(borrow)]
    source: Place<'a>,
}

#[derive(Debug, Deserialize)]
struct Place<'a> {
    #[serde(borrow)]
    table: Cow<'a, str>,
}

/// A change as it is compared.
#[derive(Debug)]
pub(super) struct Change<'a> {
    pub(super) table: String,
    /// `c`, `u`, `d`, `r`; `t` for a table that was emptied.
    pub(super) op: String,
    /// `None` for `t`.
    pub(super) key: Option<Row<'a>>,
    pub(super) before: Option<Row<'a>>,
    pub(super) after: Option<Row<'a>>,
}

impl<'a> Change<'a> {
    /// The change in a record; `None` for a mark that is none.
    pub(super) fn of(record: &'a Record) -> Result<Option<Self>> {
        let Some(value) = &record.value else {
            let emptied = record.header("databus.mark") == Some("truncate");
            return Ok(emptied.then(|| Self {
                table: record.header("databus.table").unwrap_or_default().to_owned(),
                op: "t".to_owned(),
                key: None,
                before: None,
                after: None,
            }));
        };
        let envelope: Envelope<'a> = serde_json::from_slice(value)
            .with_context(|| format!("no envelope: {}", String::from_utf8_lossy(value)))?;
        let key = match record.key.as_str() {
            "" => None,
            text => Some(serde_json::from_str(text).with_context(|| format!("no key: {text}"))?),
        };
        let Envelope { before, after, op, source } = envelope;
        Ok(Some(Self { table: source.table.into_owned(), op: op.into_owned(), key, before, after }))
    }
}
