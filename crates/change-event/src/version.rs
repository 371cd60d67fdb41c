//! A change's place in its source's history: one positive i64 that both sinks compare.

use serde::{Deserialize, Serialize};
use std::fmt;

const COUNTER_BITS: u32 = 53;
const COUNTER_MAX: u64 = (1 << COUNTER_BITS) - 1;

/// The numbering a version belongs to; raised by an operator's reset, or by a failover that GTIDs cannot bridge. 10 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(u16);

impl Epoch {
    /// The numbering that a new source starts with.
    pub const FIRST: Self = Self(0);

    /// An epoch from 0 to 1023.
    pub fn new(epoch: u16) -> Result<Self, VersionError> {
        if epoch < 1 << 10 { Ok(Self(epoch)) } else { Err(VersionError::EpochTooLarge(epoch)) }
    }

    /// The number itself.
    pub fn get(self) -> u16 {
        self.0
    }
}

/// `epoch << 53 | counter`: dense within an epoch (+1 per change), never negative, so it is Elasticsearch's external version as it stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct Version(i64);

/// A number that is not a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VersionError {
    /// Versions are never negative.
    #[error("a version is never negative, got {0}")]
    Negative(i64),
    /// More than 10 bits of epoch.
    #[error("an epoch is at most 1023, got {0}")]
    EpochTooLarge(u16),
    /// The 53-bit counter is used up.
    #[error("the change counter of epoch {0} is used up; raise the epoch with `databus reset`")]
    CounterExhausted(u16),
}

impl Version {
    /// Before every change of the first epoch.
    pub const START: Self = Self(0);

    /// The version with this counter in this epoch; the first change of an epoch has counter 1.
    pub fn new(epoch: Epoch, counter: u64) -> Result<Self, VersionError> {
        if counter > COUNTER_MAX {
            return Err(VersionError::CounterExhausted(epoch.0));
        }
        // 53 bits of counter under 10 of epoch: 63 bits, so the sign bit stays clear
        Ok(Self(((u64::from(epoch.0) << COUNTER_BITS) | counter) as i64))
    }

    /// The raw number, as sinks store it.
    pub fn get(self) -> i64 {
        self.0
    }

    /// The numbering it belongs to.
    pub fn epoch(self) -> Epoch {
        Epoch((self.0 as u64 >> COUNTER_BITS) as u16)
    }

    /// Its place within the epoch.
    pub fn counter(self) -> u64 {
        self.0 as u64 & COUNTER_MAX
    }

    /// The next change's version.
    pub fn next(self) -> Result<Self, VersionError> {
        Self::new(self.epoch(), self.counter() + 1)
    }

    /// Whether `self` may follow `previous` in stage 1 (G2): the next of its epoch, or the first of a later one.
    pub fn follows(self, previous: Self) -> bool {
        if self.epoch() == previous.epoch() {
            self.counter() == previous.counter() + 1
        } else {
            self.epoch() > previous.epoch() && self.counter() == 1
        }
    }
}

impl TryFrom<i64> for Version {
    type Error = VersionError;
    fn try_from(raw: i64) -> Result<Self, VersionError> {
        if raw >= 0 { Ok(Self(raw)) } else { Err(VersionError::Negative(raw)) }
    }
}

impl From<Version> for i64 {
    fn from(version: Version) -> Self {
        version.0
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.epoch().0, self.counter())
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_later_epoch_is_above_every_counter_of_an_earlier_one(a in 0u16..1023, n in 0..=COUNTER_MAX, m in 0..=COUNTER_MAX) {
            let earlier = Version::new(Epoch(a), n).unwrap();
            let later = Version::new(Epoch(a + 1), m).unwrap();
            prop_assert!(earlier < later && earlier.get() >= 0 && later.get() > 0);
            prop_assert_eq!((earlier.epoch(), earlier.counter()), (Epoch(a), n));
            prop_assert_eq!(Version::try_from(later.get()), Ok(later));
        }
    }

    #[test]
    fn only_the_next_change_or_a_new_epochs_first_follows() {
        let v = |epoch, counter| Version::new(Epoch(epoch), counter).unwrap();
        assert!(v(0, 2).follows(v(0, 1)) && v(1, 1).follows(v(0, 9)) && v(0, 1).follows(Version::START));
        for (next, previous) in [
            (v(0, 1), v(0, 1)),
            (v(0, 3), v(0, 1)),
            (v(0, 1), v(0, 2)),
            (v(1, 2), v(0, 9)),
            (v(0, 10), v(1, 9)),
        ] {
            assert!(!next.follows(previous), "{next} after {previous}");
        }
    }

    #[test]
    fn an_exhausted_counter_and_a_negative_number_are_refused() {
        assert_eq!(
            Version::new(Epoch(3), COUNTER_MAX).unwrap().next(),
            Err(VersionError::CounterExhausted(3))
        );
        assert_eq!(Version::try_from(-1), Err(VersionError::Negative(-1)));
        assert_eq!(Epoch::new(1024), Err(VersionError::EpochTooLarge(1024)));
    }
}
