//! Rows that a snapshot read, put between two transactions of the stream.

use super::super::{
    envelope::{self, EventFacts, TablePrefix},
    row_writer::now_ms,
};
use super::{Assembler, ChangeSink, Group, StreamError};
use change_event::checkpoint::BinlogPosition;

/// The table whose rows were read.
#[derive(Debug)]
pub(crate) struct ReadTable {
    name: String,
    prefix: TablePrefix,
    server_id: u32,
}

impl ReadTable {
    pub(crate) fn new(database: &str, table: &str, server_id: u32) -> Self {
        Self {
            name: format!("{database}.{table}"),
            prefix: TablePrefix::of_snapshot(database, table),
            server_id,
        }
    }

    /// `database.table`.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

impl Assembler {
    /// End of the last completed transaction.
    pub(crate) fn position(&self) -> &BinlogPosition {
        &self.resume.position
    }

    /// GTID of the last completed transaction.
    pub(crate) fn last_gtid(&self) -> Option<&str> {
        self.resume.gtid.as_deref()
    }

    /// Whether everything up to [`position`](Self::position) is published and nothing behind it.
    pub(crate) fn is_between_transactions(&self) -> bool {
        matches!(self.group, Group::Outside) && self.skip_events == 0
    }

    /// Publishes a row as it stood at the stream's place, as op `r` with the next version. `read_ms`: the source's clock at the read.
    pub(crate) fn publish_read(
        &mut self,
        table: &ReadTable,
        read_ms: i64,
        key: &[u8],
        after: &[u8],
        sink: &mut impl ChangeSink,
    ) -> Result<(), StreamError> {
        let seq = self.resume.seq.next()?;
        let facts = EventFacts {
            source: &self.source,
            gtid: "",
            file: &self.resume.position.file,
            pos: self.resume.position.pos,
            server_id: table.server_id,
            source_ts_ms: read_ms,
            ts_ms: now_ms(),
        };
        self.reads.clear();
        envelope::write_read(&mut self.reads, after, &facts, &table.prefix, seq);
        sink.publish(&table.name, key, &self.reads)?;
        // only now is the version used up
        self.resume.seq = seq;
        self.whole = self.handed_out();
        Ok(())
    }
}
