//! The assembler fed with events as a server writes them.

mod ends;
mod mysql;
mod positions;
mod statements;
mod xa;

use super::*;
use crate::{
    binlog::event::{Checksum, tests::event_at},
    publish::PublishError,
    stream::mark::Mark,
};
use change_event::envelope::Change;
use proptest::prelude::*;

/// Keeps what it is given: changes, and marks as "kind table seq".
#[derive(Default)]
struct Kept(Vec<Vec<u8>>, Vec<String>);

impl ChangeSink for Kept {
    fn publish(&mut self, _table: &str, _key: &[u8], value: &[u8]) -> Result<(), PublishError> {
        self.0.push(value.to_vec());
        Ok(())
    }

    fn mark(&mut self, mark: &Mark<'_>) -> Result<(), PublishError> {
        let seq = mark.seq.map_or("-".to_owned(), |seq| seq.counter().to_string());
        self.1.push(format!("{} {} {seq}", mark.kind, mark.table));
        Ok(())
    }
}

impl Kept {
    /// The ids of created rows, in order.
    fn ids(&self) -> Vec<i64> {
        let id = |value: &Vec<u8>| match Change::parse(value).unwrap().after.unwrap().get("id") {
            Some(change_event::Value::I64(id)) => *id,
            other => panic!("{other:?}"),
        };
        self.0.iter().map(id).collect()
    }
}

/// A stream of `accounting.entry` that goes on there.
fn resumed(resume: Resume) -> Assembler {
    Assembler::new("accounting", vec![("accounting".to_owned(), "entry".to_owned())], resume)
}

fn position(pos: u64) -> BinlogPosition {
    BinlogPosition { file: "binlog.000001".to_owned(), pos }
}

/// The same at a file's first event.
fn at_start() -> Assembler {
    resumed(Resume::at(position(4)))
}

const STANDALONE: u8 = 1;

fn gtid(flags: u8) -> RawEvent {
    event_at(162, 0, &[7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, flags, 0, 0, 0, 0, 0, 0])
}

/// `id INT` with or without a primary key.
fn table_map(id: u8, table: &str, has_key: bool) -> RawEvent {
    let mut body = vec![id, 0, 0, 0, 0, 0, 1, 0, 10];
    body.extend(b"accounting\0");
    body.push(table.len() as u8);
    body.extend(table.as_bytes());
    body.extend([0, 1, 3, 0, 0]);
    body.extend([1, 1, 0, 4, 3, 2, b'i', b'd']);
    if has_key {
        body.extend([8, 1, 0]);
    }
    event_at(19, 0, &body)
}

/// The captured table's.
fn entry() -> RawEvent {
    table_map(1, "entry", true)
}

/// A transaction that creates these rows of it.
fn transaction(rows: &[u8]) -> Vec<RawEvent> {
    let mut events = vec![gtid(0), entry()];
    events.extend(rows.iter().map(|row| inserted(1, *row)));
    events.push(xid());
    events
}

fn inserted(id: u8, row: u8) -> RawEvent {
    event_at(23, 0, &[id, 0, 0, 0, 0, 0, 1, 0, 1, 1, 0, row, 0, 0, 0])
}

fn query(text: &str) -> RawEvent {
    let mut body = vec![0; 8];
    body.extend([10, 0, 0, 0, 0]);
    body.extend(b"accounting\0");
    body.extend(text.as_bytes());
    event_at(2, 0, &body)
}

fn description() -> RawEvent {
    event_at(15, 256, &[0; 60])
}

fn rotate(file: &str) -> RawEvent {
    let mut body = vec![4, 0, 0, 0, 0, 0, 0, 0];
    body.extend(file.as_bytes());
    event_at(4, 0, &body)
}

fn xid() -> RawEvent {
    event_at(16, 0, &[0; 8])
}

fn feed(assembler: &mut Assembler, events: &[RawEvent], sink: &mut Kept) -> Result<Vec<Step>, StreamError> {
    let mut steps = Vec::new();
    for event in events {
        steps.push(assembler.handle(event.clone(), sink)?);
        while let Some(step) = assembler.go_on(sink)? {
            steps.push(step);
        }
    }
    Ok(steps)
}

/// Hands in the events as a server would that is asked again after each jump; `kill_after`: a restart from the checkpoint after so many.
fn serve(assembler: &mut Assembler, log: &[(u64, RawEvent)], sink: &mut Kept, kill_after: Option<usize>) {
    let mut handed = 0;
    let mut at = 0;
    while let Some((_, event)) = log.get(at) {
        let mut step = assembler.handle(event.clone(), sink).unwrap();
        while let Some(next) = assembler.go_on(sink).unwrap() {
            step = next;
        }
        at += 1;
        if step == Step::Jump {
            let target = assembler.next_position();
            at = log.iter().position(|(start, _)| *start == target.pos).unwrap_or(log.len());
        }
        handed += 1;
        if kill_after == Some(handed) {
            let resume = assembler.resume();
            at = log.iter().position(|(start, _)| *start == resume.position.pos).unwrap_or(log.len());
            *assembler = resumed(resume);
        }
    }
}

/// The events with the places where they start.
fn log(events: Vec<RawEvent>) -> Vec<(u64, RawEvent)> {
    let mut at = 4;
    let mut log = Vec::new();
    for event in events {
        let len = u64::from(event.header.event_len);
        log.push((at, event));
        at += len;
    }
    log
}

proptest! {
    #[test]
    fn no_sequence_of_events_makes_it_panic(codes in proptest::collection::vec((any::<u8>(), proptest::collection::vec(any::<u8>(), 0..40)), 0..12)) {
        let mut assembler = at_start();
        let mut sink = Kept::default();
        for (code, body) in codes {
            if assembler.handle(event_at(code, 0, &body), &mut sink).is_err() { break; }
            if assembler.go_on(&mut sink).is_err() { break; }
        }
    }
}
