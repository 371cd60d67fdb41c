//! Marks on stage 1: records with a null value, whose headers say what they mean. Readers of changes pass over them.

use change_event::{Version, checkpoint::BinlogPosition};

/// Header: what the mark says, [`TRUNCATE`] or [`SNAPSHOT_NEEDED`] here.
pub(crate) const HEADER_MARK: &str = "databus.mark";
/// All rows of the table are gone; takes a `seq` like a change (op `t`).
pub(crate) const TRUNCATE: &str = "truncate";
/// Rows of the table changed in a way that the log does not show: only reading the table tells how it stands.
pub(crate) const SNAPSHOT_NEEDED: &str = "snapshot-needed";

/// One mark of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark<'a> {
    /// What it says.
    pub kind: &'static str,
    /// Database of the table.
    pub database: &'a str,
    /// The table.
    pub table: &'a str,
    /// The statement, or why.
    pub reason: &'a str,
    /// A truncate's version.
    pub seq: Option<Version>,
    /// The transaction's GTID; empty where there is none.
    pub gtid: &'a str,
    /// Where the statement stands.
    pub position: &'a BinlogPosition,
    /// When the statement ran, in Unix milliseconds.
    pub ts_ms: i64,
}

impl Mark<'_> {
    /// Its headers, in order.
    pub(crate) fn headers(&self) -> Vec<(&'static str, String)> {
        let mut headers = vec![
            (HEADER_MARK, self.kind.to_owned()),
            ("databus.db", self.database.to_owned()),
            ("databus.table", self.table.to_owned()),
        ];
        if let Some(seq) = self.seq {
            headers.push(("databus.seq", seq.get().to_string()));
        }
        headers.extend([
            ("databus.reason", self.reason.to_owned()),
            ("databus.gtid", self.gtid.to_owned()),
            ("databus.file", self.position.file.clone()),
            ("databus.pos", self.position.pos.to_string()),
            ("databus.ts_ms", self.ts_ms.to_string()),
        ]);
        headers
    }
}
