//! A binlog file read without a server: its rows become change events as they do in the stream.

use crate::{
    binlog::{
        DecodeError,
        event::{Checksum, RawEvent},
    },
    publish::PublishError,
    stream::{Assembler, ChangeSink, Counts, Mark, Resume, Step, StreamError},
};
use change_event::checkpoint::BinlogPosition;

/// First bytes of a binlog file.
const MAGIC: &[u8] = b"\xfebin";
/// Length of an event's header; its own length stands at 9.
const HEADER: usize = 19;

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct FileError(String);

impl From<StreamError> for FileError {
    fn from(error: StreamError) -> Self {
        Self(error.to_string())
    }
}

/// Hands each change's key and envelope on.
struct Each<F>(F);

impl<F: FnMut(&[u8], &[u8])> ChangeSink for Each<F> {
    fn publish(&mut self, _table: &str, key: &[u8], value: &[u8]) -> Result<(), PublishError> {
        (self.0)(key, value);
        Ok(())
    }

    fn mark(&mut self, _mark: &Mark<'_>) -> Result<(), PublishError> {
        Ok(())
    }
}

/// Reads a whole file, which `name` is the name of, and hands `each` the key and the envelope of every change of `tables` (database,
/// table), in order. Returns what was counted (G1).
pub fn read_file(
    source: &str,
    name: &str,
    file: &[u8],
    tables: Vec<(String, String)>,
    each: impl FnMut(&[u8], &[u8]),
) -> Result<Counts, FileError> {
    if !file.starts_with(MAGIC) {
        return Err(FileError(format!("{name} is not a binlog file: it does not begin with fe 62 69 6e")));
    }
    let start = BinlogPosition { file: name.to_owned(), pos: MAGIC.len() as u64 };
    let mut assembler = Assembler::new(source, tables, Resume::at(start));
    let mut sink = Each(each);
    let checksum = checksum_of(file).map_err(|reason| FileError(format!("{name}: {reason}")))?;
    let mut at = MAGIC.len();
    while let Some(event) = event_at(file, at) {
        let event = RawEvent::parse(event.to_vec(), 0, checksum)
            .map_err(|reason| FileError(format!("{name}:{at}: {reason}")))?;
        at += event.header.event_len as usize;
        let mut step = Some(assembler.handle(event, &mut sink)?);
        while let Some(taken) = step {
            if taken == Step::Jump {
                at = usize::try_from(assembler.next_position().pos).unwrap_or(usize::MAX);
            }
            step = assembler.go_on(&mut sink)?;
        }
    }
    if at < file.len() {
        return Err(FileError(format!("{name} is cut off within the event at {at}")));
    }
    Ok(assembler.counts())
}

/// The whole event that starts there.
fn event_at(file: &[u8], at: usize) -> Option<&[u8]> {
    let rest = file.get(at..)?;
    let len = u32::from_le_bytes(*rest.get(9..)?.first_chunk()?) as usize;
    rest.get(..len.max(HEADER))
}

/// What the file's first event says of itself and of all others: its last byte in front of its own CRC's place.
fn checksum_of(file: &[u8]) -> Result<Checksum, DecodeError> {
    let description = event_at(file, MAGIC.len()).ok_or(DecodeError::Truncated)?;
    match description.len().checked_sub(5).and_then(|at| description.get(at)) {
        Some(1) => Ok(Checksum::Crc32),
        Some(_) => Ok(Checksum::None),
        None => Err(DecodeError::Truncated),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &[u8] = include_bytes!("../testdata/mariadb-10.11-bills.binlog");

    fn bills() -> Vec<(String, String)> {
        vec![("accounting".to_owned(), "bill".to_owned())]
    }

    #[test]
    fn every_row_of_a_file_comes_once_and_in_order() {
        let mut ids = Vec::new();
        let counts = read_file("accounting", "binlog.000001", FILE, bills(), |key, _| {
            let key: serde_json::Value = serde_json::from_slice(key).unwrap();
            ids.push(key["id"].as_u64().unwrap());
        })
        .unwrap();
        assert_eq!(ids, (1..=2_000).collect::<Vec<_>>());
        assert_eq!((counts.seen, counts.published), (2_000, 2_000));
    }

    #[test]
    fn a_file_with_a_flipped_bit_or_a_missing_end_or_of_another_kind_is_an_error_that_says_where_g7() {
        let error = |file: &[u8]| {
            read_file("accounting", "binlog.000001", file, bills(), |_, _| {}).unwrap_err().to_string()
        };
        let mut damaged = FILE.to_vec();
        damaged[300_000] ^= 4;
        assert!(error(&damaged).contains("CRC32 does not match"), "{}", error(&damaged));
        assert!(
            error(&FILE[..300_000]).contains("is cut off within the event at 29"),
            "{}",
            error(&FILE[..300_000])
        );
        assert!(error(b"PK").contains("is not a binlog file"));
    }
}
