//! What moving a checkpoint means: the new numbering, and what is lost or repeated. Pure.

use super::{gtid_text, place};
use crate::source::{Passage, Spot};
use change_event::{
    Epoch, Version, VersionError,
    checkpoint::{Checkpoint, SourceIdentity, TableSnapshot},
};
use std::fmt::Write;

/// What is known before the move.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Standing {
    /// The checkpoint in force.
    pub(super) checkpoint: Option<Checkpoint>,
    /// The version of stage 1's last change.
    pub(super) last_change: Option<Version>,
    /// Where the new place lies, seen from the checkpoint.
    pub(super) towards: Towards,
}

/// Where a place lies, seen from the checkpoint.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Towards {
    /// There is no checkpoint.
    Nothing,
    /// The same place.
    Same,
    /// Later, with what lies between.
    Ahead(Passage),
    /// Earlier, with what lies between.
    Back(Passage),
    /// The checkpoint's place is not on this server, so the two do not compare; why.
    Elsewhere(String),
}

/// Why a move is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error(
        "this would go backwards from {from} to {to} within epoch {epoch}: changes that are published would be published again with new \
         versions of the same numbering, and the numbering would no longer tell; if they are to be repeated, add --raise-epoch"
    )]
    Backwards { from: String, to: String, epoch: u16 },
    #[error(
        "the checkpoint's place is not on this server: {0}; to go on here, begin a new numbering: add --raise-epoch, or use `position reset`"
    )]
    Elsewhere(String),
    #[error(
        "stage 1 holds changes up to {0} but there is no checkpoint, so where they end is not known: add --raise-epoch, or use `position reset`"
    )]
    NoCheckpoint(Version),
    #[error(transparent)]
    Version(#[from] VersionError),
}

/// The checkpoint to write.
pub(super) fn next(
    standing: &Standing,
    identity: SourceIdentity,
    spot: &Spot,
    raise_epoch: bool,
) -> Result<Checkpoint, Refused> {
    let current = standing.checkpoint.as_ref();
    let last = current.map(|checkpoint| checkpoint.seq).max(standing.last_change);
    if !raise_epoch {
        match (&standing.towards, current, last) {
            (Towards::Back(_), Some(current), _) => {
                return Err(Refused::Backwards {
                    from: place(&current.position),
                    to: place(&spot.position),
                    epoch: current.epoch.get(),
                });
            }
            (Towards::Same, Some(current), _) if current.events_done_in_next > 0 => {
                return Err(Refused::Backwards {
                    from: format!("inside the transaction at {}", place(&current.position)),
                    to: place(&spot.position),
                    epoch: current.epoch.get(),
                });
            }
            (Towards::Elsewhere(why), _, _) => return Err(Refused::Elsewhere(why.clone())),
            (_, None, Some(last)) => return Err(Refused::NoCheckpoint(last)),
            _ => {}
        }
    }
    let seq = match (last, raise_epoch) {
        (None, false) => Version::START,
        (Some(last), false) => last,
        (None, true) => Version::new(Epoch::new(Epoch::FIRST.get() + 1)?, 0)?,
        (Some(last), true) => Version::new(Epoch::new(last.epoch().get() + 1)?, 0)?,
    };
    let mut checkpoint = Checkpoint::at(identity, seq, spot.position.clone());
    checkpoint.gtid.clone_from(&spot.gtid);
    if !raise_epoch {
        // what was published up to then stays published
        checkpoint.as_of = current.and_then(|current| current.as_of);
    }
    // what was still to be read is still to be read
    let owed = current.map(|current| current.snapshots.as_slice()).unwrap_or_default();
    checkpoint.snapshots = owed.iter().map(TableSnapshot::anew).collect();
    Ok(checkpoint)
}

/// The move in words.
pub(super) fn describe(source: &str, standing: &Standing, next: &Checkpoint) -> String {
    let mut text = format!("source {source}: move the checkpoint\n");
    let current = standing.checkpoint.as_ref();
    let at = |checkpoint: &Checkpoint| {
        format!("{}, gtid {}, seq {}", place(&checkpoint.position), gtid_text(checkpoint), checkpoint.seq)
    };
    // writing to a String cannot fail
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "  {name:<9} {value}");
    };
    line("from", &current.map_or_else(|| "no checkpoint".to_owned(), at));
    line("to", &at(next));
    let raised = current
        .map(|current| current.seq)
        .max(standing.last_change)
        .is_none_or(|last| last.epoch() < next.epoch);
    if raised && next.seq.counter() == 0 && next.epoch > Epoch::FIRST {
        let first = next.seq.next().map_or_else(|error| error.to_string(), |first| first.to_string());
        line(
            "numbering",
            &format!(
                "new: epoch {}, the next change is {first}, above every version so far",
                next.epoch.get()
            ),
        );
    } else {
        line("numbering", "goes on");
    }
    let (mut lost, mut repeated) = ("nothing".to_owned(), "nothing".to_owned());
    match &standing.towards {
        Towards::Nothing => {
            "what the source committed before this place is not published: take a snapshot for it"
                .clone_into(&mut lost);
        }
        Towards::Same => {}
        Towards::Ahead(passage) => {
            lost = format!(
                "{}: they will never be published; take a snapshot of these tables afterwards",
                passed(passage)
            );
        }
        Towards::Back(passage) => {
            repeated = format!(
                "{}: published again, with new versions; readers see old states until the end is reached",
                passed(passage)
            );
        }
        Towards::Elsewhere(why) => {
            lost = format!(
                "all that was committed after the checkpoint and is not in the binlog from here on, how much is not known ({why}); take a snapshot afterwards"
            );
            "what lies behind this place and was published before, if anything".clone_into(&mut repeated);
        }
    }
    if let Some(current) = current.filter(|current| current.events_done_in_next > 0) {
        let done = current.events_done_in_next;
        match &standing.towards {
            Towards::Ahead(_) => {
                let _ = write!(lost, " (the first {done} rows events of the first of them are published)");
            }
            Towards::Same => repeated = format!("the first {done} rows events of the transaction there"),
            _ => {}
        }
    }
    line("lost", &lost);
    line("repeated", &repeated);
    text
}

fn passed(passage: &Passage) -> String {
    let mut text = format!("{} transactions", passage.transactions);
    if let (Some(first), Some(last)) = (&passage.first_gtid, &passage.last_gtid) {
        let _ = write!(text, " ({first} to {last})");
    }
    let tables: Vec<String> =
        passage.rows_events.iter().map(|(table, count)| format!("{count} rows events of {table}")).collect();
    let _ = match tables.as_slice() {
        [] => write!(text, " with no row of a captured table"),
        tables => write!(text, " with {}", tables.join(", ")),
    };
    if passage.opaque > 0 {
        let _ = write!(text, " and {} compressed ones whose tables the server does not list", passage.opaque);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use change_event::checkpoint::BinlogPosition;

    fn at(pos: u64) -> BinlogPosition {
        BinlogPosition { file: "binlog.000003".to_owned(), pos }
    }

    fn standing(towards: Towards) -> Standing {
        let seq = Version::new(Epoch::FIRST, 41).unwrap();
        let checkpoint = Checkpoint::at(SourceIdentity { server_id: 1, server_uuid: None }, seq, at(500));
        Standing { checkpoint: Some(checkpoint), last_change: Some(seq), towards }
    }

    fn moved(standing: &Standing, raise: bool) -> Result<Checkpoint, Refused> {
        let spot = Spot { position: at(700), gtid: Some("0-1-9".to_owned()) };
        next(standing, SourceIdentity { server_id: 1, server_uuid: None }, &spot, raise)
    }

    #[test]
    fn ahead_the_numbering_goes_on_and_the_skipped_transactions_are_named() {
        let passage = Passage {
            transactions: 2,
            first_gtid: Some("0-1-8".to_owned()),
            last_gtid: Some("0-1-9".to_owned()),
            rows_events: [("a.b".to_owned(), 3)].into(),
            opaque: 0,
        };
        let standing = standing(Towards::Ahead(passage));
        let next = moved(&standing, false).unwrap();
        assert_eq!((next.seq.get(), next.position.pos, next.gtid.as_deref()), (41, 700, Some("0-1-9")));
        let text = describe("s", &standing, &next);
        for part in
            ["2 transactions (0-1-8 to 0-1-9) with 3 rows events of a.b", "goes on", "repeated  nothing"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn only_a_raised_epoch_may_repeat_and_its_first_version_follows_every_earlier_one() {
        for towards in [Towards::Back(Passage::default()), Towards::Elsewhere("purged".to_owned())] {
            let standing = standing(towards);
            assert!(moved(&standing, false).is_err());
            let next = moved(&standing, true).unwrap();
            assert_eq!((next.epoch.get(), next.seq.counter()), (1, 0));
            assert!(next.seq.next().unwrap().follows(Version::new(Epoch::FIRST, 41).unwrap()));
            assert!(describe("s", &standing, &next).contains("epoch 1, the next change is 1:1"));
        }
    }

    #[test]
    fn inside_a_transaction_the_same_place_is_a_step_back() {
        let mut standing = standing(Towards::Same);
        assert!(moved(&standing, false).is_ok());
        standing.checkpoint.as_mut().unwrap().events_done_in_next = 2;
        assert!(matches!(moved(&standing, false), Err(Refused::Backwards { .. })));
    }

    #[test]
    fn without_a_checkpoint_stage_1_itself_tells_which_numbering_is_used_up() {
        let last = Version::new(Epoch::new(3).unwrap(), 7).unwrap();
        let mut standing = Standing { checkpoint: None, last_change: Some(last), towards: Towards::Nothing };
        assert_eq!(moved(&standing, false), Err(Refused::NoCheckpoint(last)));
        assert_eq!(moved(&standing, true).unwrap().epoch.get(), 4);
        standing.last_change = None;
        assert_eq!(moved(&standing, false).unwrap().seq, Version::START);
        standing.last_change = Some(Version::new(Epoch::new(1023).unwrap(), 7).unwrap());
        assert!(matches!(moved(&standing, true), Err(Refused::Version(_))));
    }
}
