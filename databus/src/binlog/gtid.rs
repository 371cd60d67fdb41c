//! GTID events of both families: what starts a transaction, or announces a statement that stands alone.
//!
//! Formats: <https://mariadb.com/kb/en/gtid_event/> and, for MySQL, `GTID_LOG_EVENT` in
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/classmysql_1_1binlog_1_1event_1_1Gtid__event.html>.

use super::{
    bytes::{Bytes, DecodeError},
    event::RawEvent,
};
use std::fmt;

/// A transaction's name, the same on every server that has the transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gtid {
    /// `domain-server-sequence`.
    MariaDb {
        /// Replication domain.
        domain: u32,
        /// Server that first wrote it.
        server_id: u32,
        /// Place in the domain.
        sequence: u64,
    },
    /// `uuid:number` or `uuid:tag:number`.
    MySql {
        /// Who numbers.
        origin: Origin,
        /// The number.
        number: u64,
    },
    /// MySQL with `gtid_mode=OFF`.
    Anonymous,
}

impl fmt::Display for Gtid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MariaDb { domain, server_id, sequence } => write!(f, "{domain}-{server_id}-{sequence}"),
            Self::MySql { origin, number } => write!(f, "{origin}:{number}"),
            Self::Anonymous => Ok(()),
        }
    }
}

/// A numbering of MySQL: the server's uuid, and since 8.3 a tag of at most 32 letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    /// 16 bytes.
    pub uuid: [u8; 16],
    tag: [u8; Origin::TAG_MAX],
    tag_len: u8,
}

impl Origin {
    const TAG_MAX: usize = 32;

    /// With the tag's letters; none for the numbering without a tag.
    pub fn new(uuid: [u8; 16], tag: &[u8]) -> Result<Self, DecodeError> {
        let is_word = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'_';
        let mut letters = [0; Self::TAG_MAX];
        match letters.get_mut(..tag.len()) {
            Some(place) if tag.iter().all(is_word) => place.copy_from_slice(tag),
            _ => return Err(DecodeError::Malformed("a GTID's tag that is not one")),
        }
        Ok(Self { uuid, tag: letters, tag_len: tag.len() as u8 })
    }

    /// The tag; empty for none.
    pub fn tag(&self) -> &str {
        std::str::from_utf8(self.tag.get(..usize::from(self.tag_len)).unwrap_or_default()).unwrap_or_default()
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.uuid.iter().enumerate() {
            if matches!(at, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        if self.tag_len > 0 { write!(f, ":{}", self.tag()) } else { Ok(()) }
    }
}

/// What the event group behind the GTID is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupKind {
    /// Ends with XID, or with COMMIT or ROLLBACK text; a prepared XA transaction ends with XA PREPARE, and takes effect only at XA COMMIT.
    Transaction,
    /// One statement, DDL mostly; ends with it.
    Standalone,
    /// MySQL: the statement behind it tells; `BEGIN` opens a transaction, any other stands alone.
    Announced,
}

const FLAG_STANDALONE: u8 = 1;
const MYSQL_PLAIN: u8 = 33;
const MYSQL_TAGGED: u8 = 42;

/// Reads MariaDB's GTID event.
pub fn parse(event: &RawEvent) -> Result<(Gtid, GroupKind), DecodeError> {
    let mut body: Bytes<'_> = event.body();
    let sequence = body.uint(8)?;
    let domain = u32::from_le_bytes(body.array()?);
    let flags = body.u8()?;
    let kind = if flags & FLAG_STANDALONE != 0 { GroupKind::Standalone } else { GroupKind::Transaction };
    Ok((Gtid::MariaDb { domain, server_id: event.header.server_id, sequence }, kind))
}

/// Reads MySQL's GTID event: plain, tagged or anonymous.
pub fn parse_mysql(event: &RawEvent) -> Result<(Gtid, GroupKind), DecodeError> {
    let gtid = match event.header.type_code {
        MYSQL_PLAIN => parse_plain(event.body())?,
        MYSQL_TAGGED => parse_tagged(event.body())?,
        _ => Gtid::Anonymous,
    };
    Ok((gtid, GroupKind::Announced))
}

fn parse_plain(mut body: Bytes<'_>) -> Result<Gtid, DecodeError> {
    body.u8()?;
    let origin = Origin::new(body.array()?, b"")?;
    Ok(Gtid::MySql { origin, number: body.uint(8)? })
}

/// Since 8.3, for GTIDs with a tag: numbered fields of varints behind three varints of framing.
/// <https://dev.mysql.com/doc/dev/mysql-server/latest/PageLibsMysqlSerialization.html>
fn parse_tagged(mut body: Bytes<'_>) -> Result<Gtid, DecodeError> {
    const FLAGS: u64 = 0;
    const UUID: u64 = 1;
    const NUMBER: u64 = 2;
    const TAG: u64 = 3;
    for _framing in ["version", "length", "last field that must be known"] {
        varint(&mut body)?;
    }
    let (mut uuid, mut number, mut tag): (Option<[u8; 16]>, Option<u64>, &[u8]) = (None, None, b"");
    // fields come in order; what follows the tag does not concern us
    while !body.0.is_empty() {
        match varint(&mut body)? {
            FLAGS => drop(varint(&mut body)?),
            UUID => {
                let mut bytes = [0; 16];
                for byte in &mut bytes {
                    *byte = u8::try_from(varint(&mut body)?)
                        .map_err(|_| DecodeError::Malformed("a GTID's uuid that is not one"))?;
                }
                uuid = Some(bytes);
            }
            // signed: the lowest bit is the sign
            NUMBER => number = Some(varint(&mut body)? >> 1),
            TAG => {
                let len = usize::try_from(varint(&mut body)?).map_err(|_| DecodeError::Truncated)?;
                tag = body.take(len)?;
                break;
            }
            _ => break,
        }
    }
    match (uuid, number) {
        (Some(uuid), Some(number)) => Ok(Gtid::MySql { origin: Origin::new(uuid, tag)?, number }),
        _ => Err(DecodeError::Malformed("a tagged GTID without uuid or number")),
    }
}

/// As many further bytes as the first one ends in ones.
fn varint(body: &mut Bytes<'_>) -> Result<u64, DecodeError> {
    let first = body.u8()?;
    let further = first.trailing_ones() as usize;
    let rest = body.uint(further)?;
    Ok(match further {
        8 => rest,
        7 => rest,
        _ => u64::from(first) >> (further + 1) | rest << (7 - further),
    })
}

#[cfg(test)]
mod tests {
    use super::{super::event::tests::event_at, *};
    use proptest::prelude::*;

    fn gtid(type_code: u8, body: &str) -> String {
        let (gtid, kind) = parse_mysql(&event_at(type_code, 0, &hex(body))).unwrap();
        assert_eq!(kind, GroupKind::Announced);
        gtid.to_string()
    }

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|d| d as u8).collect();
        digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    }

    #[test]
    fn mysqls_gtids_read_as_the_server_writes_them() {
        // both from a MySQL 9.7.4
        let plain =
            "00 64d29ec7e6c111f188a902fc00000001 0500000000000000 02 0400000000000000 0500000000000000";
        assert_eq!(gtid(33, plain), "64d29ec7-e6c1-11f1-88a9-02fc00000001:5");
        let tagged = "02 78 00 0002 02 c8 4903 7902 1d03 9903 0503 22 c503 2102 a502 04 f103 00 00 00 02 \
                      04 08 06 0a 7461675f61 08 10 0a 1c";
        assert_eq!(gtid(42, tagged), "64d29ec7-e6c1-11f1-88a9-02fc00000001:tag_a:2");
    }

    #[test]
    fn varints_of_every_length() {
        let read = |bytes: &[u8]| varint(&mut Bytes(bytes)).unwrap();
        assert_eq!(read(&[0x78]), 60);
        assert_eq!(read(&[0x49, 0x03]), 0xd2);
        assert_eq!(read(&[0x7f, 1, 2, 3, 4, 5, 6, 7]), 0x07_0605_0403_0201);
        assert_eq!(read(&[0xff, 1, 2, 3, 4, 5, 6, 7, 8]), 0x0807_0605_0403_0201);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_gtid_or_an_error_and_never_a_panic(kind in prop::sample::select(vec![33u8, 34, 42, 162]), body in proptest::collection::vec(any::<u8>(), 0..80)) {
            let event = event_at(kind, 0, &body);
            let _ = (parse(&event), parse_mysql(&event));
        }
    }
}
