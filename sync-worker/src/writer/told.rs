//! What a record of stage 2 without a value says.

use change_event::{
    barrier::{self, Barrier},
    progress::{self, Mark},
};
use rdkafka::{Message, message::Headers as _};

/// By its header.
pub(super) enum Told {
    Progress(Mark),
    Barrier(Barrier),
    /// Nothing for a sink.
    Nothing,
}

impl Told {
    /// An error says what about the header cannot be read.
    pub(super) fn read(message: &impl Message) -> Result<Self, String> {
        for header in message.headers().iter().flat_map(|headers| headers.iter()) {
            let value = header.value.unwrap_or_default();
            let told = match header.key {
                progress::HEADER => serde_json::from_slice(value).map(Self::Progress),
                barrier::HEADER => serde_json::from_slice(value).map(Self::Barrier),
                _ => continue,
            };
            return told.map_err(|error| error.to_string());
        }
        Ok(Self::Nothing)
    }
}
