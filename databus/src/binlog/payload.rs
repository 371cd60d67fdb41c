//! MySQL's TRANSACTION_PAYLOAD_EVENT: the events of one transaction behind its GTID, compressed into one.
//!
//! Format: <https://dev.mysql.com/doc/dev/mysql-server/latest/classbinary__log_1_1Transaction__payload__event.html>: fields of type,
//! length and value, then the payload. The events in it have no CRC, and positions of their own that mean nothing in the file.
//!
//! Memory: the packed event as it came (at most 1 GiB, `max_allowed_packet`), zstd's window (8 MiB at most here) and one inner event.

use super::{
    bytes::{Bytes, DecodeError},
    event::{HEADER_LEN, Header, RawEvent},
};
use std::io::{BufReader, Cursor, Read};

/// Largest inner event: no event of a server is longer.
const LONGEST: u64 = 1 << 30;
/// Largest window that is granted to zstd: 8 MiB, what a decoder must support; servers use less.
const WINDOW_LOG: u32 = 23;
const END: u64 = 0;
const COMPRESSION: u64 = 2;
const ZSTD: u64 = 0;
const NONE: u64 = 255;

/// The inner events, one after the other.
pub struct Payload {
    plain: Plain,
}

enum Plain {
    Zstd(Box<zstd::stream::read::Decoder<'static, BufReader<Cursor<Vec<u8>>>>>),
    None(Cursor<Vec<u8>>),
}

impl std::fmt::Debug for Payload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Payload").finish_non_exhaustive()
    }
}

impl Payload {
    /// Reads the fields in front; keeps a copy of what follows them.
    pub fn parse(mut body: Bytes<'_>) -> Result<Self, DecodeError> {
        let mut compression = ZSTD;
        loop {
            let field = body.lenenc()?;
            if field == END {
                break;
            }
            let mut value = Bytes(body.lenenc_bytes()?);
            if field == COMPRESSION {
                compression = value.lenenc()?;
            }
        }
        let plain = match compression {
            NONE => Plain::None(Cursor::new(body.0.to_vec())),
            ZSTD => {
                let unreadable = |_| DecodeError::Malformed("a payload that zstd cannot read");
                let mut decoder =
                    zstd::stream::read::Decoder::new(Cursor::new(body.0.to_vec())).map_err(unreadable)?;
                decoder.window_log_max(WINDOW_LOG).map_err(unreadable)?;
                Plain::Zstd(Box::new(decoder))
            }
            other => {
                return Err(DecodeError::Unsupported(format!(
                    "the transaction is compressed by algorithm {other}, not by zstd"
                )));
            }
        };
        Ok(Self { plain })
    }

    /// The next inner event; `None` after the last.
    pub fn next_event(&mut self) -> Result<Option<RawEvent>, DecodeError> {
        let mut bytes = Vec::with_capacity(HEADER_LEN);
        self.read(HEADER_LEN as u64, &mut bytes)?;
        if bytes.is_empty() {
            return Ok(None);
        }
        let header = Header::parse(&mut Bytes(&bytes))?;
        let rest = u64::from(header.event_len)
            .checked_sub(HEADER_LEN as u64)
            .filter(|rest| *rest <= LONGEST)
            .ok_or(DecodeError::Malformed("an inner event with an impossible length"))?;
        // grows with what is really there, not with what is announced
        self.read(rest, &mut bytes)?;
        RawEvent::inner(bytes).map(Some)
    }

    fn read(&mut self, most: u64, into: &mut Vec<u8>) -> Result<(), DecodeError> {
        let read = match &mut self.plain {
            Plain::Zstd(decoder) => decoder.by_ref().take(most).read_to_end(into),
            Plain::None(bytes) => bytes.take(most).read_to_end(into),
        };
        read.map(drop).map_err(|_| DecodeError::Malformed("a payload that zstd cannot read"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn event(type_code: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 0, 0, 0, type_code, 1, 0, 0, 0];
        bytes.extend(((HEADER_LEN + body.len()) as u32).to_le_bytes());
        bytes.extend([0; 6]);
        bytes.extend(body);
        bytes
    }

    fn types(payload: &[u8]) -> Result<Vec<u8>, DecodeError> {
        let mut payload = Payload::parse(Bytes(payload))?;
        let mut found = Vec::new();
        while let Some(event) = payload.next_event()? {
            found.push(event.header.type_code);
        }
        Ok(found)
    }

    #[test]
    fn inner_events_come_out_of_a_compressed_and_of_a_plain_payload() {
        let inner = [event(2, b"BEGIN"), event(19, &[9; 3000]), event(16, &[0; 8])].concat();
        let mut plain = vec![2, 3, 252, 255, 0, 3, 1, 99, 0];
        plain.extend(&inner);
        assert_eq!(types(&plain), Ok(vec![2, 19, 16]));
        let mut packed = vec![2, 1, 0, 0];
        packed.extend(zstd::encode_all(inner.as_slice(), 3).unwrap());
        assert_eq!(types(&packed), Ok(vec![2, 19, 16]));
        packed.truncate(packed.len() - 5);
        assert!(types(&packed).is_err());
        assert!(types(&[2, 1, 7, 0]).unwrap_err().to_string().contains("algorithm 7"));
        let mut cut = vec![2, 3, 252, 255, 0, 0];
        cut.extend(&inner[..inner.len() - 1]);
        assert!(types(&cut).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_events_or_an_error_and_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..96), plain: bool) {
            let mut payload = if plain { vec![2, 3, 252, 255, 0, 0] } else { vec![2, 1, 0, 0] };
            payload.extend(&bytes);
            let _ = types(&payload);
            let _ = types(&bytes);
        }
    }
}
