//! Which progress mark is due: the newest checkpoint whose changes are all routed. Pure.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use change_event::{Version, progress::Mark};

/// Checkpoints that are kept while the router is behind; those between give way, for the newest says the most.
const MOST: usize = 1_000;
/// Marks of a source are at least this far apart: each is a record in every partition.
const EVERY: Duration = Duration::from_millis(100);

/// Checkpoints on their way to becoming marks.
#[derive(Debug, Default)]
pub(super) struct Marks {
    /// In their order, none of them reached yet.
    ahead: VecDeque<Mark>,
    /// The newest one that is reached.
    reached: Option<Mark>,
    /// It is in the open transaction.
    written: bool,
    last: Option<Instant>,
}

impl Marks {
    /// Takes a checkpoint in.
    pub(super) fn add(&mut self, mark: Mark) {
        if self.ahead.len() >= MOST {
            self.ahead.pop_back();
        }
        self.ahead.push_back(mark);
    }

    /// The mark to be written now, with everything up to `routed` in front of it.
    pub(super) fn due(&mut self, routed: Version) -> Option<Mark> {
        while let Some(mark) = self.ahead.pop_front_if(|mark| mark.seq <= routed) {
            self.reached = Some(mark);
        }
        if self.last.is_some_and(|last| last.elapsed() < EVERY) {
            return None;
        }
        let due = self.reached.clone();
        self.written = due.is_some();
        due
    }

    /// The transaction is committed.
    pub(super) fn keep(&mut self) {
        if std::mem::take(&mut self.written) {
            self.reached = None;
            self.last = Some(Instant::now());
        }
    }

    /// The transaction is without effect.
    pub(super) fn undo(&mut self) {
        self.written = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(seq: i64) -> Version {
        Version::try_from(seq).unwrap()
    }

    fn mark(seq: i64) -> Mark {
        Mark { source: "s".to_owned(), seq: version(seq), gtid: None, as_of: None }
    }

    #[test]
    fn a_checkpoint_becomes_a_mark_once_its_changes_are_routed_and_the_newest_stands_for_all() {
        let mut marks = Marks::default();
        for seq in [3, 5, 9] {
            marks.add(mark(seq));
        }
        assert_eq!(marks.due(version(2)), None);
        assert_eq!(marks.due(version(6)), Some(mark(5)));
        // without effect: it is still due
        marks.undo();
        assert_eq!(marks.due(version(6)), Some(mark(5)));
        marks.keep();
        assert_eq!(marks.due(version(9)), None, "too soon after the last");
        marks.last = None;
        assert_eq!(marks.due(version(9)), Some(mark(9)));
    }

    #[test]
    fn however_far_behind_the_newest_checkpoint_is_kept_and_the_rest_is_bounded() {
        let mut marks = Marks::default();
        for seq in 1..=5_000 {
            marks.add(mark(seq));
        }
        assert_eq!(marks.ahead.len(), MOST);
        assert_eq!(marks.due(version(5_000)), Some(mark(5_000)));
    }
}
