//! `databus tail`: the changes of one source, as its readers see them, on a terminal or in a pipe.

use crate::publish::{Next, Reader, Record};
use anyhow::Context;
use change_event::{
    Epoch, Row, Value, Version,
    envelope::{Change, Op},
};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use pipeline_config::Config;
use service_kit::{Shutdown, process::usage};
use std::{
    fmt::Write as _,
    io::{self, Write as _},
    os::fd::AsFd,
    str::FromStr,
    time::Duration,
};

/// Longest wait before a stop or a closed pipe is noticed.
const POLL: Duration = Duration::from_millis(200);
/// Longest text of a value that `pretty` shows.
const SHOWN: usize = 60;

/// How a change is printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Form {
    /// One readable line a change.
    #[default]
    Pretty,
    /// The record's value as it is, one a line; a mark as an object with its headers.
    Json,
}

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// The oldest change that Kafka still holds.
    Beginning,
    /// Behind the newest.
    End,
    /// The change with this version, or the first after it.
    Seq(Version),
}

impl FromStr for From {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not beginning, end, seq:N or seq:EPOCH:COUNTER");
        match text {
            "beginning" => Ok(Self::Beginning),
            "end" => Ok(Self::End),
            _ => {
                let seq = text.strip_prefix("seq:").ok_or_else(wrong)?;
                let version = match seq.split_once(':') {
                    // as logs and `position show` write it
                    Some((epoch, counter)) => {
                        let epoch = Epoch::new(epoch.parse().map_err(|_| wrong())?);
                        epoch.and_then(|epoch| Version::new(epoch, counter.parse().unwrap_or(u64::MAX)))
                    }
                    None => Version::try_from(seq.parse::<i64>().map_err(|_| wrong())?),
                };
                version.map(Self::Seq).map_err(|cause| format!("{text:?}: {cause}"))
            }
        }
    }
}

/// What to print.
#[derive(Debug, Clone)]
pub struct Tail {
    /// The source's name.
    pub source: String,
    /// Only these tables, as `database.table`; empty: all.
    pub tables: Vec<String>,
    /// Where to begin.
    pub from: From,
    /// End after so many changes and marks.
    pub count: Option<u64>,
    /// How.
    pub form: Form,
}

/// Prints changes until a stop is asked for, the count is reached, or nobody reads any more.
pub async fn tail(config: &Config, what: Tail, shutdown: Shutdown) -> anyhow::Result<()> {
    if config.source(&what.source).is_none() {
        return Err(usage(anyhow::anyhow!(
            "there is no [source.{}] in {}",
            what.source,
            config.path.display()
        )));
    }
    for table in &what.tables {
        if !table.contains('.') {
            return Err(usage(anyhow::anyhow!("--table {table}: write it as database.table")));
        }
    }
    let kafka = config.kafka.clone();
    let printing = tokio::task::spawn_blocking(move || -> anyhow::Result<()> {
        let Some(reader) = Reader::open(&kafka, &what.source)? else {
            anyhow::bail!("there is no topic changes.{} yet: `databus run` makes it", what.source);
        };
        let (low, high) = reader.bounds()?;
        reader.start(match what.from {
            From::Beginning => low,
            From::End => high,
            From::Seq(version) => reader.offset_of(version)?,
        })?;
        print(&reader, &what, &shutdown)
    });
    printing.await.context("print changes")?
}

fn print(reader: &Reader, what: &Tail, shutdown: &Shutdown) -> anyhow::Result<()> {
    let stdout = io::stdout();
    let mut left = what.count;
    let mut line = String::new();
    let mut out = io::BufWriter::new(stdout.lock());
    while left != Some(0) && !shutdown.is_requested() {
        let record = match reader.next(Duration::ZERO)? {
            Next::Record(record) => record,
            Next::End | Next::Nothing => {
                // nothing waits: what was printed must be seen now
                if gone(out.flush())? || is_closed(&stdout) {
                    return Ok(());
                }
                match reader.next(POLL)? {
                    Next::Record(record) => record,
                    Next::End | Next::Nothing => continue,
                }
            }
        };
        line.clear();
        if render(&record, what, &mut line) {
            line.push('\n');
            if gone(out.write_all(line.as_bytes()))? {
                return Ok(());
            }
            left = left.map(|left| left - 1);
        }
    }
    gone(out.flush())?;
    Ok(())
}

/// Whether the reader of our output has gone: that is how a pipe ends, not an error.
fn gone(written: io::Result<()>) -> io::Result<bool> {
    match written {
        Err(cause) if cause.kind() == io::ErrorKind::BrokenPipe => Ok(true),
        other => other.map(|()| false),
    }
}

/// Whether nobody reads our output any more, asked while there is nothing to write.
fn is_closed(stdout: &io::Stdout) -> bool {
    let mut asked = [PollFd::new(stdout.as_fd(), PollFlags::empty())];
    let answered = poll(&mut asked, PollTimeout::ZERO);
    answered.is_ok_and(|count| count > 0)
        && asked.iter().any(|fd| {
            fd.revents().is_some_and(|events| events.intersects(PollFlags::POLLERR | PollFlags::POLLHUP))
        })
}

/// Writes the record to `line`; false if it is of a table that was not asked for.
fn render(record: &Record, what: &Tail, line: &mut String) -> bool {
    let wanted = |db: &str, table: &str| {
        what.tables.is_empty() || what.tables.iter().any(|wanted| *wanted == format!("{db}.{table}"))
    };
    let Some(value) = &record.value else {
        let header = |name| record.header(name).unwrap_or_default();
        // a mark without a table concerns all
        if !header("databus.table").is_empty() && !wanted(header("databus.db"), header("databus.table")) {
            return false;
        }
        match what.form {
            Form::Json => {
                let headers: serde_json::Map<_, _> = record
                    .headers
                    .iter()
                    .map(|(name, value)| (name.clone(), value.as_str().into()))
                    .collect();
                line.push_str(&serde_json::Value::Object(headers).to_string());
            }
            Form::Pretty => {
                line.push_str("-- mark");
                for (name, value) in &record.headers {
                    // writing to a String cannot fail
                    let _ = write!(line, " {}={value}", name.trim_start_matches("databus."));
                }
            }
        }
        return true;
    };
    match (Change::parse(value), what.form) {
        (Ok(change), _) if !wanted(&change.source.db, &change.source.table) => return false,
        (_, Form::Json) => line.push_str(&String::from_utf8_lossy(value)),
        (Ok(change), Form::Pretty) => pretty(&change, &record.key, line),
        (Err(cause), Form::Pretty) => {
            let _ = write!(line, "?? {cause}: {}", String::from_utf8_lossy(value));
        }
    }
    true
}

/// `0:12 2026-11-22T18:20:00.000000Z u accounting.entry entry_id=7: amount 250 -> 300`
fn pretty(change: &Change<'_>, key: &[u8], line: &mut String) {
    let op = match change.op {
        Op::Create => 'c',
        Op::Update => 'u',
        Op::Delete => 'd',
        Op::Read => 'r',
        Op::Truncate => 't',
    };
    let at = change_event::Timestamp::from_micros(change.source.ts_ms.saturating_mul(1_000))
        .map_or_else(|_| change.source.ts_ms.to_string(), |at| at.to_string());
    let (source, key) = (&change.source, key_text(key));
    let _ = write!(line, "{} {at} {op} {}.{} {key}:", source.seq, source.db, source.table);
    match (&change.before, &change.after) {
        (Some(before), Some(after)) => {
            for (name, value) in after.columns() {
                let old = before.get(name);
                if old != Some(value) {
                    let _ = write!(line, " {name} ");
                    match old {
                        Some(old) => show(old, line),
                        None => line.push_str("(none)"),
                    }
                    line.push_str(" -> ");
                    show(value, line);
                }
            }
        }
        (Some(row), None) | (None, Some(row)) => all(row, line),
        (None, None) => {}
    }
}

fn all(row: &Row<'_>, line: &mut String) {
    for (name, value) in row.columns() {
        let _ = write!(line, " {name}=");
        show(value, line);
    }
}

/// `{"a":1,"b":"x"}` as `a=1 b="x"`.
fn key_text(key: &[u8]) -> String {
    match serde_json::from_slice::<Row<'_>>(key) {
        Ok(row) => {
            let mut text = String::new();
            all(&row, &mut text);
            text.trim_start().to_owned()
        }
        Err(_) => String::from_utf8_lossy(key).into_owned(),
    }
}

/// A value, cut where it is long; text as JSON writes it, so that it stays on its line.
fn show(value: &Value<'_>, line: &mut String) {
    let _ = match value {
        Value::Null => write!(line, "NULL"),
        Value::Bool(value) => write!(line, "{value}"),
        Value::I64(value) => write!(line, "{value}"),
        Value::U64(value) => write!(line, "{value}"),
        Value::F64(value) => write!(line, "{value}"),
        Value::Str(text) | Value::Other(text) => {
            let more = text.chars().nth(SHOWN).is_some();
            let shown: String = text.chars().take(SHOWN).collect();
            let quoted = serde_json::Value::String(shown).to_string();
            write!(line, "{quoted}{}", if more { "..." } else { "" })
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn what(form: Form, tables: &[&str]) -> Tail {
        let tables = tables.iter().map(|table| (*table).to_owned()).collect();
        Tail { source: "s".to_owned(), tables, from: From::End, count: None, form }
    }

    #[test]
    fn a_start_is_a_word_or_a_version_in_either_form() {
        let version = |epoch, counter| Version::new(Epoch::new(epoch).unwrap(), counter).unwrap();
        for (text, from) in [
            ("beginning", From::Beginning),
            ("end", From::End),
            ("seq:12", From::Seq(version(0, 12))),
            ("seq:1:7", From::Seq(version(1, 7))),
        ] {
            assert_eq!(text.parse::<From>(), Ok(from), "{text}");
        }
        for wrong in
            ["", "12", "seq:", "seq:-1", "seq:1024:1", "seq:1:x", "seq:1:99999999999999999999", "Beginning"]
        {
            assert!(wrong.parse::<From>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_change_is_one_line_with_what_changed_and_a_mark_shows_its_headers() {
        let source = r#""source":{"name":"s","db":"d","table":"t","server_id":1,"gtid":null,"file":"f","pos":4,"row":0,"seq":12,"ts_ms":0}"#;
        let value = format!(
            r#"{{"before":{{"id":7,"note":"a\nb","same":1}},"after":{{"id":7,"note":null,"same":1}},"op":"u","ts_ms":5,{source},"transaction":null}}"#
        );
        let record =
            Record { key: br#"{"id":7}"#.to_vec(), value: Some(value.clone().into_bytes()), headers: vec![] };
        let mut line = String::new();
        assert!(render(&record, &what(Form::Pretty, &["d.t"]), &mut line));
        assert_eq!(line, r#"0:12 1970-01-01T00:00:00.000000Z u d.t id=7: note "a\nb" -> NULL"#);
        assert!(!render(&record, &what(Form::Pretty, &["d.other"]), &mut line));
        line.clear();
        assert!(render(&record, &what(Form::Json, &[]), &mut line));
        assert_eq!(line, value);
        let headers = vec![
            ("databus.mark".to_owned(), "truncate".to_owned()),
            ("databus.seq".to_owned(), "13".to_owned()),
        ];
        let mark = Record { key: vec![], value: None, headers };
        line.clear();
        assert!(render(&mark, &what(Form::Pretty, &["d.t"]), &mut line));
        assert_eq!(line, "-- mark mark=truncate seq=13");
        assert_eq!(mark.version().map(Version::get), Some(13));
        let foreign = Record { key: vec![0xff], value: Some(vec![0xff, b'\n']), headers: vec![] };
        line.clear();
        assert!(render(&foreign, &what(Form::Pretty, &[]), &mut line) && line.starts_with("??"));
    }
}
