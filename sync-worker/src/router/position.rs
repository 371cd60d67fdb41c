//! How far a router has come: the next offset of stage 1 and the seq before it. Pure.

use change_event::Version;

/// Place in stage 1. Stored in Kafka as the group's offset, with the seq as its metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    /// Next offset to read.
    pub(super) offset: i64,
    /// The last change's seq; [`Version::START`] before the first.
    pub(super) last_seq: Version,
}

/// A change's seq does not follow the one before.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotDense {
    pub(super) found: Version,
    pub(super) previous: Version,
}

impl Position {
    /// Of a router that starts at the beginning of stage 1.
    pub(super) const BEGINNING: Self = Self { offset: 0, last_seq: Version::START };

    /// What is stored beside the offset.
    pub(super) fn metadata(&self) -> String {
        format!("seq={}", self.last_seq.get())
    }

    /// The position that was stored; `None` if `metadata` is not ours.
    pub(super) fn stored(offset: i64, metadata: &str) -> Option<Self> {
        let seq: i64 = metadata.strip_prefix("seq=")?.parse().ok()?;
        Some(Self { offset, last_seq: Version::try_from(seq).ok()? })
    }

    /// Passes over a mark.
    pub(super) fn pass(&mut self, offset: i64) {
        self.offset = offset + 1;
    }

    /// Takes the change at `offset`; its seq must be the next (G2).
    pub(super) fn advance(&mut self, offset: i64, seq: Version) -> Result<(), NotDense> {
        if !seq.follows(self.last_seq) {
            return Err(NotDense { found: seq, previous: self.last_seq });
        }
        *self = Self { offset: offset + 1, last_seq: seq };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_survives_its_storage() {
        let position = Position { offset: 7, last_seq: Version::try_from(41).unwrap() };
        assert_eq!(Position::stored(7, &position.metadata()), Some(position));
        for foreign in ["", "41", "seq=", "seq=-1", "seq=x"] {
            assert_eq!(Position::stored(7, foreign), None, "{foreign}");
        }
    }

    #[test]
    fn a_raised_epoch_goes_on_with_its_first_seq_and_no_other() {
        let version =
            |epoch, counter| Version::new(change_event::Epoch::new(epoch).unwrap(), counter).unwrap();
        let mut position = Position { offset: 5, last_seq: version(0, 9) };
        assert!(position.advance(5, version(1, 2)).is_err() && position.advance(5, version(1, 0)).is_err());
        position.advance(5, version(1, 1)).unwrap();
        position.advance(6, version(1, 2)).unwrap();
        assert!(position.advance(7, version(0, 10)).is_err(), "an epoch never comes back");
        position.advance(7, version(4, 1)).unwrap();
        assert_eq!(Position::stored(8, &position.metadata()), Some(position));
    }

    #[test]
    fn a_gap_or_a_step_back_is_never_passed_over() {
        let seq = |n| Version::try_from(n).unwrap();
        let mut position = Position::BEGINNING;
        position.advance(0, seq(1)).unwrap();
        position.pass(1);
        position.advance(4, seq(2)).unwrap();
        for wrong in [1, 2, 4] {
            let before = position;
            assert_eq!(
                position.advance(5, seq(wrong)),
                Err(NotDense { found: seq(wrong), previous: seq(2) })
            );
            assert_eq!(position, before);
        }
        assert_eq!(position, Position { offset: 5, last_seq: seq(2) });
    }
}
