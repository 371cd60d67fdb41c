//! What takes the change events.

use super::super::mark::Mark;
use crate::publish::PublishError;
use change_event::envelope::Op;

/// Takes finished change events, in order.
pub(crate) trait ChangeSink {
    /// Adds one change of `table` (`database.table`) to the open Kafka transaction (opens one if there is none). It is durable only
    /// once that commits.
    fn publish(&mut self, table: &str, key: &[u8], value: &[u8]) -> Result<(), PublishError>;

    /// So many changes of `table` with this op were published; told once a rows event.
    fn tally(&mut self, _table: &str, _op: Op, _changes: u64) {}

    /// Adds a mark: a record with a null value.
    fn mark(&mut self, mark: &Mark<'_>) -> Result<(), PublishError>;

    /// A statement that stands in the stream here is about captured `table`: what a snapshot read of it before is read again.
    fn table_altered(&mut self, _table: &str) {}

    /// Rows of captured `table` changed in a way that the stream does not show; a snapshot of it, begun from here on, repairs that.
    fn needs_snapshot(&mut self, _table: &str, _why: &str) {}
}
