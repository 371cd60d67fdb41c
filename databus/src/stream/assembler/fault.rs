//! What stops the stream, told with its place.

use super::{Assembler, Step, StreamError};
use crate::{
    binlog::{DecodeError, event::RawEvent, rows},
    stream::{place::Place, tables::Table},
};

impl Assembler {
    /// Rows that cannot be read stop the stream only where they are captured.
    pub(super) fn unreadable_rows(&mut self, event: &RawEvent, start: u64) -> Result<Step, StreamError> {
        let table_id = rows::parse_table_id(&mut event.body())
            .map_err(|reason| self.undecodable(event, start, None, reason))?;
        let table = match self.tables.get(table_id) {
            Some(Table::Foreign) => {
                self.count_event();
                return Ok(Step::Inside);
            }
            Some(Table::Captured(captured)) => Some(captured.name.clone()),
            None => None,
        };
        let reason = "the update changes a part of a JSON value only, which is not decoded yet; set binlog_row_value_options empty on \
                      the source";
        Err(self.cannot_follow(event, start, table, reason))
    }

    pub(super) fn place_at(&self, start: u64, type_code: u8, table: Option<String>) -> Place {
        Place { file: self.file.clone(), pos: start, type_code, table }
    }

    pub(super) fn undecodable(
        &self,
        event: &RawEvent,
        start: u64,
        table: Option<String>,
        reason: DecodeError,
    ) -> StreamError {
        StreamError::Undecodable { place: self.place_at(start, event.header.type_code, table), reason }
    }

    pub(super) fn cannot_follow(
        &self,
        event: &RawEvent,
        start: u64,
        table: Option<String>,
        reason: &str,
    ) -> StreamError {
        let place = self.place_at(start, event.header.type_code, table);
        StreamError::CannotFollow { place, reason: reason.to_owned() }
    }
}
