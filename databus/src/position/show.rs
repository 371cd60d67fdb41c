//! `databus position show`: the checkpoint beside where the source is now.

use super::{gtid_text, place, source_named};
use crate::{
    output::{Output, print, print_json},
    publish::Stage1,
    source::{Retention, began, confirm, connect},
};
use anyhow::Context;
use change_event::checkpoint::{BinlogPosition, Checkpoint};
use pipeline_config::{Config, Source};
use secrecy::SecretString;
use serde_json::{Value, json};
use service_kit::process::usage;
use std::fmt::Write;

/// One source's place, as far as it could be told.
struct Shown<'a> {
    source: &'a Source,
    checkpoint: Option<Checkpoint>,
    server: Result<Server, String>,
}

/// What the server says.
struct Server {
    end: Option<BinlogPosition>,
    /// Why reading cannot go on at the checkpoint.
    lost: Option<String>,
    bytes_behind: Option<u64>,
    seconds_behind: Option<f64>,
    /// Infinite: never.
    seconds_to_purge: Option<f64>,
}

/// Prints the place of one source, or of all.
pub async fn show(config: &Config, source: Option<&str>, output: Output) -> anyhow::Result<()> {
    let sources: Vec<&Source> = match source {
        Some(name) => vec![source_named(config, name)?],
        None => config.sources.iter().collect(),
    };
    let mut shown = Vec::new();
    for source in sources {
        let password = source.login.password.resolve().map_err(usage)?;
        let checkpoint = tokio::task::block_in_place(|| {
            Stage1::look(&config.kafka, &source.name)?.map_or(Ok(None), |stage1| stage1.last_checkpoint())
        })?;
        let server = ask(source, &password, checkpoint.as_ref()).await.map_err(|cause| format!("{cause:#}"));
        shown.push(Shown { source, checkpoint, server });
    }
    match output {
        Output::Text => print(&shown.iter().map(as_text).collect::<String>()),
        Output::Json => print_json(&json!({ "sources": shown.iter().map(as_json).collect::<Vec<_>>() })),
    }
    .context("print the positions")
}

async fn ask(
    source: &Source,
    password: &SecretString,
    checkpoint: Option<&Checkpoint>,
) -> anyhow::Result<Server> {
    let mut connection = connect(source, password).await.context("ask the source")?;
    let retention = Retention::ask(&mut connection).await.context("ask the source for its binlog files")?;
    let end = retention.end();
    let Some(checkpoint) = checkpoint else {
        return Ok(Server {
            end,
            lost: None,
            bytes_behind: None,
            seconds_behind: None,
            seconds_to_purge: None,
        });
    };
    let lost = confirm(source, password, checkpoint).await.err().map(|error| error.to_string());
    if lost.is_some() {
        return Ok(Server { end, lost, bytes_behind: None, seconds_behind: None, seconds_to_purge: None });
    }
    let bytes_behind = end.as_ref().and_then(|end| retention.bytes_between(&checkpoint.position, end));
    let since = checkpoint.as_of.map(|as_of| (retention.now.micros() - as_of.micros()).max(0) as f64 / 1e6);
    let file = &checkpoint.position.file;
    let finished = match retention.file_after(file) {
        Some(next) => began(source, password, next).await,
        None => None,
    };
    // without a second look the growth is what came since the file was finished
    let growth = finished.zip(retention.file_after(file)).and_then(|(finished, next)| {
        let grown =
            retention.bytes_between(&BinlogPosition { file: next.to_owned(), pos: 0 }, end.as_ref()?)?;
        Some(grown as f64 / (retention.now.micros() as f64 / 1e6 - finished as f64).max(1.0))
    });
    Ok(Server {
        seconds_to_purge: retention.seconds_to_purge(file, finished, growth),
        seconds_behind: if bytes_behind == Some(0) { Some(0.0) } else { since },
        end,
        lost,
        bytes_behind,
    })
}

fn as_text(shown: &Shown<'_>) -> String {
    let mut text =
        format!("source {} at {}:{}\n", shown.source.name, shown.source.login.host, shown.source.login.port);
    // writing to a String cannot fail
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "  {name:<15} {value}");
    };
    match &shown.checkpoint {
        None => line("checkpoint", "none yet".to_owned()),
        Some(checkpoint) => {
            line("checkpoint", place(&checkpoint.position));
            line("last gtid", gtid_text(checkpoint).to_owned());
            line("last seq", format!("{} ({})", checkpoint.seq, checkpoint.seq.get()));
            let as_of = checkpoint.as_of.map_or_else(|| "unknown".to_owned(), |as_of| as_of.to_string());
            line("as of", as_of);
            if checkpoint.events_done_in_next > 0 {
                let done = checkpoint.events_done_in_next;
                line(
                    "inside",
                    format!("the first {done} rows events of the next transaction are published too"),
                );
            }
        }
    }
    match &shown.server {
        Err(cause) => line("source", format!("does not answer: {cause}")),
        Ok(server) => {
            line("source is at", server.end.as_ref().map_or_else(|| "no binlog".to_owned(), place));
            if let Some(lost) = &server.lost {
                line("LOST", lost.clone());
            } else if shown.checkpoint.is_some() {
                let unknown = || "unknown".to_owned();
                let bytes = server.bytes_behind.map_or_else(unknown, |bytes| format!("{bytes} bytes"));
                let seconds = server.seconds_behind.map_or_else(unknown, |seconds| format!("{seconds:.1} s"));
                line("behind", format!("{bytes}, {seconds}"));
                line(
                    "time to purge",
                    match server.seconds_to_purge {
                        None => unknown(),
                        Some(seconds) if seconds.is_infinite() => {
                            "never (the source keeps its binlogs for ever)".to_owned()
                        }
                        Some(seconds) => format!("{seconds:.0} s ({:.1} h)", seconds / 3_600.0),
                    },
                );
            }
        }
    }
    text
}

fn as_json(shown: &Shown<'_>) -> Value {
    let server = match &shown.server {
        Err(cause) => json!({ "error": cause }),
        Ok(server) => json!({
            "end": server.end,
            "lost": server.lost,
            "bytes_behind": server.bytes_behind,
            "seconds_behind": server.seconds_behind,
            // JSON has no infinity
            "time_to_purge_seconds": server.seconds_to_purge.filter(|seconds| seconds.is_finite()),
            "never_purged": server.seconds_to_purge.is_some_and(f64::is_infinite),
        }),
    };
    json!({ "name": shown.source.name.as_str(), "checkpoint": shown.checkpoint, "source": server })
}
