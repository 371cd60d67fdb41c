//! Who took this process's place in its group under its own name: another process, or only a late request of its own.
//!
//! While the broker stands still, a static member that has lost its session asks anew to join, again and again, each time without a
//! name of the group's own choice. When the broker wakes it takes every one of these requests for a process that comes back: the last
//! one it reads has the place, and if that is one whose sender no longer waits for the answer, the process is told that somebody has
//! replaced it (`FENCED_INSTANCE_ID`, KIP-345). Such a member is never heard of again and its session ends. A real process is heard of:
//! so the two are told apart by waiting, and nothing is done to the other one meanwhile.

use std::time::{Duration, Instant};

/// Longest life of a member that is never heard of: until the group's other members have joined anew, at most a session, and then its own
/// session of 6 s; the rest is for a slow broker.
const MOST: Duration = Duration::from_secs(15);
/// A pause between two answers in which the broker may have stood still, and sessions with it.
const GAP: Duration = Duration::from_secs(3);

/// Looks at the one who has the place.
#[derive(Debug, Default)]
pub(crate) struct Namesake {
    /// The first and the last of the answers that all said it is there.
    seen: Option<(Instant, Instant)>,
}

/// What is known of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Not enough.
    Open,
    /// Nobody has the place now: it may be taken again.
    Gone,
    /// Another process has it.
    Stays,
}

impl Namesake {
    /// Takes in one answer of the group at `now`.
    pub(crate) fn seen(&mut self, there: bool, now: Instant) -> Verdict {
        if !there {
            return Verdict::Gone;
        }
        let first = match self.seen {
            Some((first, last)) if now.saturating_duration_since(last) < GAP => first,
            _ => now,
        };
        self.seen = Some((first, now));
        if now.saturating_duration_since(first) >= MOST { Verdict::Stays } else { Verdict::Open }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every_second(namesake: &mut Namesake, from: Instant, seconds: std::ops::Range<u64>) -> Vec<Verdict> {
        seconds.map(|second| namesake.seen(true, from + Duration::from_secs(second))).collect()
    }

    #[test]
    fn one_that_outlives_every_session_is_another_process_scenario_18() {
        let (mut namesake, start) = (Namesake::default(), Instant::now());
        let verdicts = every_second(&mut namesake, start, 0..16);
        assert!(verdicts[..15].iter().all(|verdict| *verdict == Verdict::Open), "{verdicts:?}");
        assert_eq!(verdicts[15], Verdict::Stays);
    }

    #[test]
    fn one_that_goes_leaves_the_place_scenario_18() {
        let (mut namesake, start) = (Namesake::default(), Instant::now());
        every_second(&mut namesake, start, 0..7);
        assert_eq!(namesake.seen(false, start + Duration::from_secs(7)), Verdict::Gone);
    }

    #[test]
    fn a_broker_that_stood_still_meanwhile_counts_anew_scenario_18() {
        let (mut namesake, start) = (Namesake::default(), Instant::now());
        every_second(&mut namesake, start, 0..10);
        let verdicts = every_second(&mut namesake, start, 20..36);
        assert!(verdicts[..15].iter().all(|verdict| *verdict == Verdict::Open), "{verdicts:?}");
        assert_eq!(verdicts[15], Verdict::Stays);
    }
}
