//! What a list is narrowed to.

use change_event::Timestamp;
use money::AccountId;
use sha2::{Digest, Sha256};

/// Which way money went, seen from the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    In,
    Out,
}

impl Direction {
    pub(crate) fn parse(text: &str) -> Option<Direction> {
        match text {
            "in" => Some(Direction::In),
            "out" => Some(Direction::Out),
            _ => None,
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Direction::In => "in",
            Direction::Out => "out",
        }
    }
}

/// The bills of one pipeline that a list shows, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Filters {
    pub(crate) pipeline: String,
    /// One account, or all of the caller's.
    pub(crate) account: Option<AccountId>,
    /// Not before this moment.
    pub(crate) from: Option<Timestamp>,
    /// Before this moment.
    pub(crate) to: Option<Timestamp>,
    pub(crate) bill_type: Option<String>,
    pub(crate) direction: Option<Direction>,
}

/// Bytes of [`Filters::digest`].
pub(super) const DIGEST_BYTES: usize = 8;

impl Filters {
    /// A digest of all filters: a cursor holds it, so that it serves the list that it came from and no other.
    pub(super) fn digest(&self) -> [u8; DIGEST_BYTES] {
        let Filters { pipeline, account, from, to, bill_type, direction } = self;
        let parts = [
            Some(pipeline.clone()),
            account.map(|id| id.to_string()),
            from.map(|at| at.to_string()),
            to.map(|at| at.to_string()),
            bill_type.clone(),
            direction.map(|direction| direction.as_str().to_owned()),
        ];
        let mut hash = Sha256::new();
        for part in parts {
            // with its length and presence, so that no two sets of filters are one text
            match part {
                None => hash.update([0]),
                Some(text) => {
                    hash.update([1]);
                    hash.update((text.len() as u64).to_be_bytes());
                    hash.update(text);
                }
            }
        }
        let digest = hash.finalize();
        std::array::from_fn(|at| digest[at])
    }
}
