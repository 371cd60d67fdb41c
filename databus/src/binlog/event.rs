//! Binlog events as they arrive: header, kind, body. What is not on the list of known kinds is never skipped (G7).
//!
//! Format: <https://mariadb.com/kb/en/replication-protocol/>, <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_replication_binlog_event.html>.

use super::bytes::{Bytes, DecodeError};

/// Bytes of the common header.
pub const HEADER_LEN: usize = 19;
/// Bytes of the CRC32 behind every event.
pub const CRC_LEN: usize = 4;

/// The server made this event up for us; it is not in the file.
const FLAG_ARTIFICIAL: u16 = 0x20;
/// The format says that a reader that does not know the event may ignore it.
const FLAG_IGNORABLE: u16 = 0x80;

/// The 19 bytes in front of every event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// When the statement started, in Unix seconds.
    pub timestamp: u32,
    /// The kind's number.
    pub type_code: u8,
    /// The server that first wrote it.
    pub server_id: u32,
    /// Length with header and CRC.
    pub event_len: u32,
    /// Where the event ends in its file, modulo 4 GiB; 0 where the server does not say (MariaDB >= 11.4 inside transactions).
    pub end_pos: u32,
    /// Flags.
    pub flags: u16,
}

impl Header {
    /// Reads a header.
    pub fn parse(bytes: &mut Bytes<'_>) -> Result<Self, DecodeError> {
        let u32_of = |raw: [u8; 4]| u32::from_le_bytes(raw);
        Ok(Self {
            timestamp: u32_of(bytes.array()?),
            type_code: bytes.u8()?,
            server_id: u32_of(bytes.array()?),
            event_len: u32_of(bytes.array()?),
            end_pos: u32_of(bytes.array()?),
            flags: u16::from_le_bytes(bytes.array()?),
        })
    }

    /// Whether the event stands in the file at all.
    pub fn is_artificial(&self) -> bool {
        self.flags & FLAG_ARTIFICIAL != 0
    }

    /// What kind of event it is.
    pub fn kind(&self) -> Kind {
        Kind::of(self.type_code, self.flags & FLAG_IGNORABLE != 0)
    }
}

/// One event without its CRC, which has been verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawEvent {
    /// The header.
    pub header: Header,
    bytes: Vec<u8>,
    body: usize,
}

impl RawEvent {
    /// The event that starts at `start` of `bytes` (header, body, and CRC where `checksum` says so); verifies length and CRC before
    /// anything else is read.
    pub fn parse(mut bytes: Vec<u8>, start: usize, checksum: Checksum) -> Result<Self, DecodeError> {
        let event = bytes.get(start..).ok_or(DecodeError::Truncated)?;
        let header = Header::parse(&mut Bytes(event))?;
        if header.event_len as usize != event.len() {
            return Err(DecodeError::Malformed("the event's length is not the packet's"));
        }
        if checksum == Checksum::Crc32 {
            let at = event
                .len()
                .checked_sub(CRC_LEN)
                .filter(|at| *at >= HEADER_LEN)
                .ok_or(DecodeError::Truncated)?;
            let (content, crc) = event.split_at(at);
            if crc32fast::hash(content).to_le_bytes() != crc {
                return Err(DecodeError::Malformed(
                    "the CRC32 does not match: the event was damaged on its way or on disk",
                ));
            }
            bytes.truncate(start + at);
        }
        Ok(Self { header, bytes, body: start + HEADER_LEN })
    }

    /// The event that `bytes` hold without a CRC: one from within a compressed transaction.
    pub fn inner(bytes: Vec<u8>) -> Result<Self, DecodeError> {
        Self::parse(bytes, 0, Checksum::None)
    }

    /// Bytes that it takes in memory.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// What follows the header.
    pub fn body(&self) -> Bytes<'_> {
        Bytes(self.bytes.get(self.body..).unwrap_or_default())
    }
}

/// Whether events end in a CRC32.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checksum {
    /// `binlog_checksum=CRC32`, the default of every server we support.
    Crc32,
    /// `binlog_checksum=NONE`.
    None,
}

impl Checksum {
    /// What a format description (header, body and CRC) says of the events that follow it in its file; `None` for every other event.
    pub fn announced_by(event: &[u8]) -> Option<Self> {
        let header = Header::parse(&mut Bytes(event)).ok()?;
        // the algorithm stands in front of the CRC, which this event always has room for
        let algorithm = event.len().checked_sub(CRC_LEN + 1).and_then(|at| event.get(at))?;
        match (header.kind(), algorithm) {
            (Kind::FormatDescription, 0) => Some(Self::None),
            (Kind::FormatDescription, 1) => Some(Self::Crc32),
            _ => None,
        }
    }
}

/// What a rows event does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowsKind {
    /// Inserted rows.
    Write,
    /// Pairs of before and after.
    Update,
    /// Deleted rows.
    Delete,
}

/// The kinds we know what to do with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The next file.
    Rotate,
    /// A file's first event.
    FormatDescription,
    /// MariaDB's start of a transaction or of a standalone statement.
    MariaGtid,
    /// MySQL's start of a transaction or of a standalone statement, with a GTID or without one (anonymous).
    MysqlGtid,
    /// Statement text.
    Query,
    /// The text of a LOAD DATA in statement format.
    LoadQuery,
    /// Table id to shape.
    TableMap,
    /// Row images; `extra` says that MySQL's version-2 header is there.
    Rows {
        /// What they do.
        kind: RowsKind,
        /// Version 2: two bytes of length and so much more before the columns.
        extra: bool,
        /// MariaDB `log_bin_compress`: the images are.
        compressed: bool,
    },
    /// Row images that we cannot read: partial JSON.
    UnreadableRows,
    /// Commit of a transaction.
    Xid,
    /// End of a transaction that is prepared, not committed.
    XaPrepare,
    /// A whole transaction compressed into one event (MySQL).
    TransactionPayload,
    /// A statement whose text is compressed (MariaDB `log_bin_compress`).
    CompressedQuery,
    /// The server is alive and has nothing to send.
    Heartbeat,
    /// Known, and carries nothing that we need.
    Harmless,
    /// Not known, but marked by the writer as one that readers may ignore.
    UnknownIgnorable,
    /// Not known.
    Unknown,
}

impl Kind {
    fn of(type_code: u8, ignorable: bool) -> Self {
        match type_code {
            2 => Self::Query,
            4 => Self::Rotate,
            // STOP, INTVAR, RAND, USER_VAR, and a LOAD DATA's file (APPEND_BLOCK, DELETE_FILE, BEGIN_LOAD_QUERY) carry no rows; the
            // statement that uses them is judged by its text
            3 | 5 | 9 | 11 | 13 | 14 | 17 => Self::Harmless,
            18 => Self::LoadQuery,
            15 => Self::FormatDescription,
            16 => Self::Xid,
            19 => Self::TableMap,
            23..=25 => Self::rows(type_code - 23, false, false),
            27 | 41 => Self::Heartbeat,
            30..=32 => Self::rows(type_code - 30, true, false),
            33 | 34 | 42 => Self::MysqlGtid,
            38 => Self::XaPrepare,
            39 => Self::UnreadableRows,
            40 => Self::TransactionPayload,
            165 => Self::CompressedQuery,
            162 => Self::MariaGtid,
            166..=168 => Self::rows(type_code - 166, false, true),
            169..=171 => Self::rows(type_code - 169, true, true),
            // ROWS_QUERY, PREVIOUS_GTIDS; ANNOTATE_ROWS, BINLOG_CHECKPOINT, GTID_LIST
            29 | 35 | 160 | 161 | 163 => Self::Harmless,
            _ if ignorable => Self::UnknownIgnorable,
            _ => Self::Unknown,
        }
    }

    /// The types come in threes.
    fn rows(of_three: u8, extra: bool, compressed: bool) -> Self {
        let kind = match of_three {
            0 => RowsKind::Write,
            1 => RowsKind::Update,
            _ => RowsKind::Delete,
        };
        Self::Rows { kind, extra, compressed }
    }
}

/// A readable name for error messages.
pub fn type_name(type_code: u8) -> &'static str {
    match type_code {
        2 => "QUERY_EVENT",
        16 => "XID_EVENT",
        18 => "EXECUTE_LOAD_QUERY_EVENT",
        19 => "TABLE_MAP_EVENT",
        23 | 30 => "WRITE_ROWS_EVENT",
        24 | 31 => "UPDATE_ROWS_EVENT",
        25 | 32 => "DELETE_ROWS_EVENT",
        33 => "GTID_LOG_EVENT",
        34 => "ANONYMOUS_GTID_LOG_EVENT",
        38 => "XA_PREPARE_LOG_EVENT",
        39 => "PARTIAL_UPDATE_ROWS_EVENT",
        40 => "TRANSACTION_PAYLOAD_EVENT",
        42 => "GTID_TAGGED_LOG_EVENT",
        162 => "GTID_EVENT",
        164 => "START_ENCRYPTION_EVENT",
        165 => "QUERY_COMPRESSED_EVENT",
        166 | 169 => "WRITE_ROWS_COMPRESSED_EVENT",
        167 | 170 => "UPDATE_ROWS_COMPRESSED_EVENT",
        168 | 171 => "DELETE_ROWS_COMPRESSED_EVENT",
        _ => "event of an unknown type",
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// An event with a right length and CRC around any body.
    pub(crate) fn event_bytes(type_code: u8, body: &[u8]) -> Vec<u8> {
        let len = (HEADER_LEN + body.len() + CRC_LEN) as u32;
        let mut bytes = vec![0, 0, 0, 0, type_code, 1, 0, 0, 0];
        bytes.extend(len.to_le_bytes());
        bytes.extend([0; 6]);
        bytes.extend(body);
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        bytes
    }

    /// An event that ends at `end_pos` of its file.
    pub(crate) fn event_at(type_code: u8, end_pos: u32, body: &[u8]) -> RawEvent {
        let mut bytes = event_bytes(type_code, body);
        let content = bytes.len() - CRC_LEN;
        bytes.truncate(content);
        bytes[13..17].copy_from_slice(&end_pos.to_le_bytes());
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        RawEvent::parse(bytes, 0, Checksum::Crc32).unwrap()
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_event_or_an_error_and_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = RawEvent::parse(bytes.clone(), 0, Checksum::Crc32);
            let _ = RawEvent::parse(bytes, 0, Checksum::None);
        }

        #[test]
        fn a_flipped_bit_anywhere_is_noticed(body in proptest::collection::vec(any::<u8>(), 0..64), at in any::<prop::sample::Index>(), bit in 0u32..8) {
            let mut bytes = event_bytes(2, &body);
            let at = at.index(bytes.len());
            bytes[at] ^= 1u8 << bit;
            prop_assert!(RawEvent::parse(bytes, 0, Checksum::Crc32).is_err());
        }
    }

    #[test]
    fn only_a_format_description_says_whether_checksums_follow() {
        assert_eq!(Checksum::announced_by(&event_bytes(15, &[9, 9, 1])), Some(Checksum::Crc32));
        assert_eq!(Checksum::announced_by(&event_bytes(15, &[9, 9, 0])), Some(Checksum::None));
        assert_eq!(Checksum::announced_by(&event_bytes(2, &[9, 9, 1])), None);
        assert_eq!(Checksum::announced_by(&[1, 2, 3]), None);
    }

    #[test]
    fn a_row_bearing_event_that_we_cannot_read_is_never_harmless() {
        assert_eq!(Kind::of(39, true), Kind::UnreadableRows);
        for (code, kind, extra) in
            [(166, RowsKind::Write, false), (168, RowsKind::Delete, false), (170, RowsKind::Update, true)]
        {
            assert_eq!(Kind::of(code, true), Kind::Rows { kind, extra, compressed: true }, "{code}");
        }
        assert_eq!(
            Kind::of(24, false),
            Kind::Rows { kind: RowsKind::Update, extra: false, compressed: false }
        );
        assert_eq!(
            Kind::of(32, false),
            Kind::Rows { kind: RowsKind::Delete, extra: true, compressed: false }
        );
        assert_eq!(Kind::of(18, false), Kind::LoadQuery);
        assert_eq!(Kind::of(40, true), Kind::TransactionPayload);
        assert_eq!(Kind::of(43, false), Kind::Unknown);
        assert_eq!(Kind::of(200, true), Kind::UnknownIgnorable);
    }
}
