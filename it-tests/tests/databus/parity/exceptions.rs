//! What Debezium does otherwise: the documented exceptions, and whether each was met.

use super::kinds::ADDRESSES;
use anyhow::{Context, Result, ensure};
use change_event::Value;
use it_tests::harness::paths::repo_root;

/// One value that the two write differently.
pub(super) struct Difference<'a> {
    /// The column's type, as its table was created; empty where no exception is known.
    pub(super) kind: &'a str,
    pub(super) theirs: &'a Value<'a>,
    pub(super) ours: &'a Value<'a>,
}

/// One documented exception.
struct Exception {
    /// Its line in `docs/debezium.md` begins with this.
    name: &'static str,
    /// Whether it is what makes these values differ.
    explains: fn(&Difference<'_>) -> bool,
}

const VALUES: [Exception; 8] = [
    Exception {
        name: "FLOAT",
        explains: |found| match (found.theirs, found.ours) {
            (Value::F64(theirs), Value::F64(ours)) => {
                found.kind.starts_with("FLOAT") && *theirs as f32 == *ours as f32
            }
            _ => false,
        },
    },
    Exception {
        name: "YEAR 0",
        explains: |found| {
            found.kind.starts_with("YEAR")
                && (found.theirs, found.ours) == (&Value::I64(1900), &Value::I64(0))
        },
    },
    Exception {
        name: "Dates of year 0",
        explains: |found| {
            // 0001-01-01 in days, milliseconds and microseconds
            let first = match found.kind {
                kind if kind.starts_with("DATE ") || kind == "DATE" => -719_162,
                kind if ["(4)", "(5)", "(6)"].iter().any(|digits| kind.contains(digits)) => {
                    -62_135_596_800_000_000
                }
                kind if kind.starts_with("DATETIME") => -62_135_596_800_000,
                _ => return false,
            };
            matches!(found.theirs, Value::Null | Value::I64(0))
                && matches!(found.ours, Value::I64(at) if *at < first)
        },
    },
    Exception {
        name: "Zero TIMESTAMP",
        explains: |found| {
            let Value::Str(theirs) = found.theirs else { return false };
            let epoch = theirs.strip_prefix("1970-01-01T00:00:00").and_then(|rest| rest.strip_suffix('Z'));
            let zero = |ours: &Value<'_>| match ours {
                Value::Null => true,
                Value::Str(text) => text == "1970-01-01T00:00:00Z",
                _ => false,
            };
            found.kind.starts_with("TIMESTAMP")
                && epoch.is_some_and(|rest| rest.trim_matches(['.', '0']).is_empty())
                && zero(found.ours)
        },
    },
    Exception {
        name: "Charsets but utf8mb3, utf8mb4, ascii",
        explains: |found| {
            let charset = found.kind.split("CHARACTER SET ").nth(1).and_then(|rest| rest.split(' ').next());
            charset.is_some_and(|name| !["utf8mb3", "utf8mb4", "ascii"].contains(&name))
                && matches!((found.theirs, found.ours), (Value::Str(_), Value::Str(_)))
        },
    },
    Exception {
        name: "SRID above 2147483647",
        explains: |found| {
            let (Value::Other(theirs), Value::Other(ours)) = (found.theirs, found.ours) else { return false };
            let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
            let (Some(theirs), Some(mut ours)) = (parse(theirs), parse(ours)) else { return false };
            let Some(srid) = ours["srid"].as_i64().filter(|srid| *srid > i64::from(i32::MAX)) else {
                return false;
            };
            ours["srid"] = (srid - (1 << 32)).into();
            theirs == ours
        },
    },
    Exception {
        name: "UUID with zero bytes at its stored end",
        explains: |found| {
            let (Value::Str(theirs), Value::Str(ours)) = (found.theirs, found.ours) else { return false };
            let bytes = |text: &str| {
                let mut bytes = hex::decode(text.replace('-', "")).unwrap_or_default();
                bytes.sort_unstable();
                bytes
            };
            let sorted = bytes(ours);
            found.kind.starts_with("UUID") && sorted.first() == Some(&0) && bytes(theirs) == sorted
        },
    },
    Exception {
        name: "MODIFY to text after ALTER ... DEFAULT CHARACTER SET",
        explains: |found| {
            let (Value::Str(theirs), Value::Str(ours)) = (found.theirs, found.ours) else { return false };
            let broken: String =
                ours.chars().map(|letter| if letter.is_ascii() { letter } else { '\u{fffd}' }).collect();
            found.kind.is_empty() && theirs.as_ref() == broken
        },
    },
];

const NAMES: &str = "RENAME COLUMN to a name with a backtick";
const SILENT: &str = "INET4, INET6";
const STOPS: &str = "COMPRESSED columns";

/// The exceptions, and how often each was met.
#[derive(Default)]
pub(super) struct Exceptions {
    values: [usize; VALUES.len()],
    names: usize,
    silent: usize,
}

impl Exceptions {
    /// Whether an exception explains it; counts that.
    pub(super) fn explain(&mut self, found: &Difference<'_>) -> bool {
        let met = VALUES.iter().position(|exception| (exception.explains)(found));
        met.and_then(|at| self.values.get_mut(at)).map(|met| *met += 1).is_some()
    }

    /// Whether a column may have these two names.
    pub(super) fn explain_name(&mut self, theirs: &str, ours: &str) -> bool {
        let explained = ours.contains('`') && theirs == ours.replace('`', "``");
        self.names += usize::from(explained);
        explained
    }

    /// Whether Debezium may publish nothing of the table.
    pub(super) fn explain_silence(&mut self, table: &str) -> bool {
        let explained = table == ADDRESSES;
        self.silent += usize::from(explained);
        explained
    }

    /// An error for each that was not met, and where `docs/debezium.md` has other exceptions.
    pub(super) fn all_met_and_documented(&self) -> Result<()> {
        let values = VALUES.iter().map(|exception| exception.name).zip(self.values);
        let met: Vec<_> = values.chain([(NAMES, self.names), (SILENT, self.silent), (STOPS, 1)]).collect();
        for (name, met) in &met {
            println!("{met:>5} {name}");
            ensure!(*met > 0, "{name}: debezium and databus agree now; take the exception out");
        }
        let text = std::fs::read_to_string(repo_root().join("docs/debezium.md"))?;
        let table = text.split("|---|---|---|\n").nth(1).context("docs/debezium.md has no table")?;
        let documented: Vec<_> =
            table.lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next()).collect();
        let known: Vec<_> = met.iter().map(|(name, _)| *name).collect();
        ensure!(documented == known, "docs/debezium.md has {documented:?}, the test {known:?}");
        Ok(())
    }
}
