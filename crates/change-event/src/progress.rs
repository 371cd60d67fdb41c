//! Progress marks: how far a source is in a partition of stage 2 (G10).
//!
//! A mark is a record without key and value, whose header `databus.progress` holds a [`Mark`] as JSON. The router writes it to every
//! partition behind the bills that it covers, so who has written everything in front of it has everything of the source up to there.

use crate::{Timestamp, Version};
use serde::{Deserialize, Serialize};

/// The header that holds a [`Mark`].
pub const HEADER: &str = "databus.progress";

/// A source's checkpoint, as far as readers of bills care.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The source.
    pub source: String,
    /// The last change that it covers.
    pub seq: Version,
    /// The last transaction that it covers as a whole.
    pub gtid: Option<String>,
    /// All changes that the source committed up to this moment (its own clock) are covered; `None` while that is not known.
    pub as_of: Option<Timestamp>,
}

impl Mark {
    /// Whether it says no less than another one of the same source.
    pub fn reaches(&self, other: &Self) -> bool {
        (self.seq, self.as_of) >= (other.seq, other.as_of)
    }
}

/// The partition of stage 2 that holds an account: Kafka's own choice for the account's number as a record's key, so that every client
/// agrees. Source: `Utils.murmur2` and `toPositive` of Kafka's clients.
pub fn partition_of(account: u64, partitions: i32) -> i32 {
    let hash = murmur2(account.to_string().as_bytes()) & 0x7fff_ffff;
    i32::try_from(hash % u32::try_from(partitions.max(1)).unwrap_or(1)).unwrap_or(0)
}

/// Austin Appleby's MurmurHash2 with the seed of Kafka's clients.
fn murmur2(bytes: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c ^ bytes.len() as u32;
    let (words, rest) = bytes.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !rest.is_empty() {
        for (at, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * at);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ hash >> 15
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_kafkas_clients() {
        // from UtilsTest.testMurmur2 of Kafka
        let expected: [(&str, i32); 5] = [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("abc", 479_470_107),
        ];
        for (text, hash) in expected {
            assert_eq!(murmur2(text.as_bytes()) as i32, hash, "{text}");
        }
        assert!((0..1000).all(|account| (0..12).contains(&partition_of(account, 12))));
    }

    #[test]
    fn a_mark_without_a_time_says_less_than_one_with_it() {
        let mark = |seq: i64, as_of: Option<i64>| Mark {
            source: "s".to_owned(),
            seq: Version::try_from(seq).unwrap(),
            gtid: None,
            as_of: as_of.map(|at| Timestamp::from_micros(at).unwrap()),
        };
        assert!(mark(2, None).reaches(&mark(1, Some(9))));
        assert!(mark(2, Some(1)).reaches(&mark(2, None)) && !mark(2, None).reaches(&mark(2, Some(1))));
        assert!(mark(2, Some(1)).reaches(&mark(2, Some(1))));
    }
}
