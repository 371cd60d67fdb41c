//! What was compared and what differs; printed as a table or as one JSON object.

use std::fmt::Write as _;

use serde::Serialize;

/// The result. As JSON: one object, `differences` being their number and `details` the first of them.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Bills that the ledger makes.
    pub expected: u64,
    /// Live bills in the store.
    pub store: u64,
    /// Live bills in the index; null without one.
    pub index: Option<u64>,
    /// Number of differences.
    pub differences: u64,
    /// The first of them.
    pub details: Vec<Difference>,
    #[serde(skip)]
    limit: usize,
}

/// One difference.
#[derive(Debug, Serialize)]
pub struct Difference {
    /// What is wrong.
    pub kind: Kind,
    /// Where; null if it is in the ledger itself.
    pub sink: Option<Sink>,
    /// Which bill.
    pub bill_id: String,
    /// Whose, as a decimal string.
    pub account_id: Option<String>,
    /// Which fields, or why.
    pub fields: Vec<String>,
}

/// How a bill differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The ledger makes it and the sink does not have it.
    Missing,
    /// The sink has it and the ledger does not make it.
    Extra,
    /// Both have it and fields differ.
    Changed,
    /// Store and index hold different versions of it.
    Version,
    /// A row of the ledger should become a bill and cannot.
    Unmappable,
}

/// Which sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Sink {
    /// The bill store.
    Store,
    /// The bill index.
    Index,
}

impl Report {
    pub(super) fn new(with_index: bool, limit: usize) -> Self {
        Self {
            expected: 0,
            store: 0,
            index: with_index.then_some(0),
            differences: 0,
            details: Vec::new(),
            limit,
        }
    }

    pub(super) fn add(&mut self, difference: Difference) {
        self.differences += 1;
        if self.details.len() < self.limit {
            self.details.push(difference);
        }
    }

    /// A line for each difference, then the line that machines read.
    pub fn table(&self) -> String {
        let mut text = String::new();
        for difference in &self.details {
            let kind = format!("{:?}", difference.kind).to_lowercase();
            let sink = difference.sink.map_or("ledger".to_owned(), |sink| format!("{sink:?}").to_lowercase());
            let account = difference.account_id.as_deref().unwrap_or("-");
            let fields = difference.fields.join(", ");
            // writing to a String cannot fail
            let _ = writeln!(text, "{kind:<10} {sink:<6} {account:>20} {}  {fields}", difference.bill_id);
        }
        let shown = self.details.len() as u64;
        if shown < self.differences {
            let _ = writeln!(text, "... and {} more (raise --limit to see them)", self.differences - shown);
        }
        let index = self.index.map_or("none".to_owned(), |count| count.to_string());
        let _ = writeln!(
            text,
            "diff: expected={} store={} index={index} differences={}",
            self.expected, self.store, self.differences
        );
        text
    }
}
