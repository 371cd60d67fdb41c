//! What arrived last on a link: the place that a message about the event after it can name.

use super::transport::TransportError;
use crate::binlog::{
    DecodeError,
    event::{Kind, RawEvent, type_name},
};
use change_event::checkpoint::BinlogPosition;

/// File and end of the last event that arrived whole.
#[derive(Debug)]
pub(super) struct LastEvent {
    file: String,
    pos: u64,
}

impl LastEvent {
    /// Before the first event: where reading was to begin.
    pub(super) fn new(position: &BinlogPosition) -> Self {
        Self { file: position.file.clone(), pos: position.pos }
    }

    /// This one has arrived.
    pub(super) fn note(&mut self, event: &RawEvent) {
        match event.header.kind() {
            // position (8 bytes) and name of the file that follows
            Kind::Rotate => {
                if let Some((pos, name)) = event.body().0.split_first_chunk::<8>() {
                    self.pos = u64::from_le_bytes(*pos);
                    self.file = String::from_utf8_lossy(name).into_owned();
                }
            }
            _ if event.header.end_pos > 0 && !event.header.is_artificial() => {
                self.pos = u64::from(event.header.end_pos);
            }
            _ => {}
        }
    }

    /// The error of the next one, which is damaged; `type_code` is what its header says, if that can still be believed.
    pub(super) fn damaged_next(&self, type_code: Option<u8>, reason: DecodeError) -> TransportError {
        let code = type_code.unwrap_or_default();
        TransportError::Damaged {
            after: format!("{}:{} (its header says type {code}, {})", self.file, self.pos, type_name(code)),
            reason,
        }
    }
}
