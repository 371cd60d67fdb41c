//! The shape of one transaction: its rows events by number, and which of them are undone by the time it ends.

/// Most savepoints and undone stretches that one transaction may have; more would not be bounded memory.
const MOST_PLACES: usize = 1_000_000;

/// More places than a transaction may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooManyPlaces;

/// What is known of a transaction so far, or in the end.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Outline {
    /// Rows events (and statements that stand among them) so far, over all tables; the first has number 1.
    events: u64,
    /// Name, and the number of the last event before it.
    savepoints: Vec<(String, u64)>,
    /// Numbers of events that are undone: first and last of each stretch, rising and apart.
    undone: Vec<(u64, u64)>,
}

impl Outline {
    /// Counts an event; its number.
    pub(super) fn count(&mut self) -> u64 {
        self.events += 1;
        self.events
    }

    pub(super) fn events(&self) -> u64 {
        self.events
    }

    /// Gives this place a name; a place that had it before loses it.
    pub(super) fn savepoint(&mut self, name: String) -> Result<(), TooManyPlaces> {
        self.savepoints.retain(|(known, _)| !known.eq_ignore_ascii_case(&name));
        if self.savepoints.len() >= MOST_PLACES {
            return Err(TooManyPlaces);
        }
        self.savepoints.push((name, self.events));
        Ok(())
    }

    /// Undoes what came behind the place, and forgets later places; false if there is no such place.
    pub(super) fn rollback_to(&mut self, name: &str) -> Result<bool, TooManyPlaces> {
        let Some(at) = self.savepoints.iter().rposition(|(known, _)| known.eq_ignore_ascii_case(name)) else {
            return Ok(false);
        };
        self.savepoints.truncate(at + 1);
        let before = self.savepoints.last().map_or(0, |(_, before)| *before);
        self.undo_behind(before);
        if self.undone.len() > MOST_PLACES { Err(TooManyPlaces) } else { Ok(true) }
    }

    /// The whole transaction is undone.
    pub(super) fn undo_all(&mut self) {
        self.undo_behind(0);
    }

    fn undo_behind(&mut self, before: u64) {
        while self.undone.last().is_some_and(|(first, _)| *first > before) {
            self.undone.pop();
        }
        if self.events > before {
            match self.undone.last_mut() {
                Some((_, last)) if *last >= before => *last = self.events,
                _ => self.undone.push((before + 1, self.events)),
            }
        }
    }

    /// Whether the event with this number is undone.
    pub(super) fn is_undone(&self, number: u64) -> bool {
        let at = self.undone.partition_point(|(_, last)| *last < number);
        self.undone.get(at).is_some_and(|(first, _)| *first <= number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a server does with rows: the truth to compare with.
    #[derive(Default)]
    struct Table {
        rows: Vec<u64>,
        places: Vec<(String, usize)>,
    }

    proptest! {
        #[test]
        fn what_survives_is_what_a_server_keeps(steps in proptest::collection::vec((0u8..4, 0u8..3), 0..60), whole in proptest::bool::weighted(0.1)) {
            let (mut outline, mut table) = (Outline::default(), Table::default());
            for (step, name) in steps {
                let name = format!("s{name}");
                match step {
                    0 | 1 => table.rows.push(outline.count()),
                    2 => {
                        outline.savepoint(name.clone()).unwrap();
                        table.places.retain(|(known, _)| *known != name);
                        table.places.push((name, table.rows.len()));
                    }
                    _ => {
                        let at = table.places.iter().position(|(known, _)| *known == name);
                        prop_assert_eq!(outline.rollback_to(&name), Ok(at.is_some()));
                        if let Some(at) = at {
                            table.rows.truncate(table.places[at].1);
                            table.places.truncate(at + 1);
                        }
                    }
                }
            }
            if whole {
                outline.undo_all();
                table.rows.clear();
            }
            let kept: Vec<u64> = (1..=outline.events()).filter(|number| !outline.is_undone(*number)).collect();
            prop_assert_eq!(kept, table.rows);
        }
    }
}
