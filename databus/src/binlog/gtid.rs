//! MariaDB's GTID event: what starts a transaction, or announces a statement that stands alone.
//!
//! Format: <https://mariadb.com/kb/en/gtid_event/>.

use super::{
    bytes::{Bytes, DecodeError},
    event::RawEvent,
};
use std::fmt;

/// `domain-server-sequence`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gtid {
    /// Replication domain.
    pub domain: u32,
    /// Server that first wrote it.
    pub server_id: u32,
    /// Place in the domain.
    pub sequence: u64,
}

impl fmt::Display for Gtid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.domain, self.server_id, self.sequence)
    }
}

/// What the event group behind the GTID is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupKind {
    /// Ends with XID, or with COMMIT or ROLLBACK text.
    Transaction,
    /// One statement, DDL mostly; ends with it.
    Standalone,
    /// Ends with XA PREPARE; takes effect only at XA COMMIT.
    PreparedXa,
}

const FLAG_STANDALONE: u8 = 1;
const FLAG_PREPARED_XA: u8 = 64;

/// Reads a GTID event.
pub fn parse(event: &RawEvent) -> Result<(Gtid, GroupKind), DecodeError> {
    let mut body: Bytes<'_> = event.body();
    let sequence = body.uint(8)?;
    let domain = u32::from_le_bytes(body.array()?);
    let flags = body.u8()?;
    let kind = if flags & FLAG_PREPARED_XA != 0 {
        GroupKind::PreparedXa
    } else if flags & FLAG_STANDALONE != 0 {
        GroupKind::Standalone
    } else {
        GroupKind::Transaction
    };
    Ok((Gtid { domain, server_id: event.header.server_id, sequence }, kind))
}
