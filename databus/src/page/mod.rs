//! The status page of the admin port: one self-contained page with live charts, and the JSON that feeds it.

use crate::{live::Live, metrics::SourceMetrics, status::Status};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use service_kit::admin::StatusPage;
use sha2::{Digest, Sha256};
use std::{
    fmt::Write,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
/// uPlot 1.6.32, MIT: <https://github.com/leeoniya/uPlot>, from npm as it is; its licence is beside it.
const UPLOT: &str = include_str!("uPlot-1.6.32.iife.min.js");
const UPLOT_STYLE: &str = include_str!("uPlot-1.6.32.min.css");

/// The table's columns: key in `shown` (`rates` is the script's own) and title.
const COLUMNS: [(&str, &str); 10] = [
    ("name", "source"),
    ("state", "state"),
    ("position", "position"),
    ("seq", "last seq"),
    ("rates", "rates"),
    ("lag", "as of"),
    ("age", "age p50 / p95 / p99"),
    ("bytes", "behind"),
    ("purge", "time to purge"),
    ("error", "last error"),
];

/// One source on the page.
#[derive(Debug, Clone)]
pub(crate) struct Shown {
    /// Its name.
    pub(crate) name: String,
    /// What it is doing.
    pub(crate) status: Status,
    /// What it has done.
    pub(crate) metrics: SourceMetrics,
    /// Less time than this to the purge is a warning.
    pub(crate) warn_before: Duration,
}

/// The page for these sources.
pub(crate) fn page(sources: Vec<Shown>) -> StatusPage {
    let style = format!("{UPLOT_STYLE}\n{STYLE}");
    // one page with everything in it, and nothing else may run or be fetched
    let policy = format!(
        "default-src 'none'; script-src {} {}; style-src {}; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        hash(UPLOT),
        hash(SCRIPT),
        hash(&style)
    );
    let head: String = COLUMNS.iter().map(|(_, title)| format!("<th scope=\"col\">{title}</th>")).collect();
    let fixed = PAGE
        .replace("{{version}}", env!("CARGO_PKG_VERSION"))
        .replace("{{head}}", &head)
        .replace("{{css}}", &style)
        .replace("{{uplot}}", UPLOT)
        .replace("{{script}}", SCRIPT);
    let (sources, started) = (Arc::new(sources), Instant::now());
    let told = sources.clone();
    StatusPage::new(
        &policy,
        move || {
            let rows: String = sources.iter().map(|source| row(&status(source))).collect();
            let note = format!("up {}", span(started.elapsed()));
            fixed.replace("{{note}}", &note).replace("{{rows}}", &rows)
        },
        move || {
            let now =
                SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
            json!({
                "version": env!("CARGO_PKG_VERSION"),
                "now_ms": now,
                "up": span(started.elapsed()),
                "sources": told.iter().map(status).collect::<Vec<_>>(),
            })
        },
    )
}

fn hash(text: &str) -> String {
    format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text.as_bytes())))
}

/// One source in numbers, and under `shown` in words.
fn status(source: &Shown) -> Value {
    let view = source.status.view();
    let live: &Live = &source.metrics.live;
    let (checkpoint, seen, ages) = (live.checkpoint(), live.seen(), live.ages());
    let (rows, transactions, commits) = source.metrics.totals();
    let lag_ms = checkpoint.as_ref().and_then(|at| at.as_of).map(|_| source.metrics.lag.get());
    let lag_bytes = seen.as_ref().and_then(|seen| seen.lag_bytes);
    let purge = seen.as_ref().and_then(|seen| seen.seconds_to_purge_now());
    let behind_a_file = seen.as_ref().and_then(|seen| seen.end.as_ref()).zip(checkpoint.as_ref());
    let purge_warning = behind_a_file.is_some_and(|(end, at)| end.file != at.position.file)
        && purge.is_some_and(|seconds| seconds < source.warn_before.as_secs_f64());
    let unknown = || "-".to_owned();
    let why = if view.why.is_empty() { String::new() } else { format!(": {}", view.why) };
    json!({
        "name": source.name,
        "state": view.state,
        "ready": view.ready,
        "why": view.why,
        "since_seconds": view.since.as_secs(),
        "file": checkpoint.as_ref().map(|at| &at.position.file),
        "pos": checkpoint.as_ref().map(|at| at.position.pos),
        "gtid": checkpoint.as_ref().and_then(|at| at.gtid.as_ref()),
        "seq": checkpoint.as_ref().map(|at| at.seq),
        "as_of": checkpoint.as_ref().and_then(|at| at.as_of),
        "source_end": seen.as_ref().and_then(|seen| seen.end.as_ref()),
        "rows_total": rows,
        "transactions_total": transactions,
        "commits_total": commits,
        "lag_ms": lag_ms,
        "lag_bytes": lag_bytes,
        "age_ms": ages.map(|[p50, p95, p99]| json!({ "p50": p50, "p95": p95, "p99": p99 })),
        "time_to_purge_seconds": purge.filter(|seconds| seconds.is_finite()),
        "never_purged": purge.is_some_and(f64::is_infinite),
        "purge_warning": purge_warning,
        "last_error": view.error.as_ref().map(|(text, at)| json!({
            "text": text,
            "at_ms": at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64),
        })),
        "shown": {
            "name": source.name,
            "state": format!("{} for {}{why}", view.state, span(view.since)),
            "position": checkpoint.as_ref().map_or_else(unknown, |at| {
                let gtid = at.gtid.as_deref().map(|gtid| format!(" ({gtid})")).unwrap_or_default();
                format!("{}:{}{gtid}", at.position.file, at.position.pos)
            }),
            "seq": checkpoint.as_ref().map_or_else(unknown, |at| at.seq.to_string()),
            "lag": lag_ms.map_or_else(unknown, |ms| format!("{ms} ms ago")),
            "age": ages.map_or_else(unknown, |[p50, p95, p99]| format!("{p50} / {p95} / {p99} ms")),
            "bytes": lag_bytes.map_or_else(unknown, |bytes| format!("{bytes} bytes")),
            "purge": purge.map_or_else(unknown, |seconds| match seconds {
                seconds if seconds.is_infinite() => "never".to_owned(),
                seconds => span(Duration::from_secs(seconds as u64)),
            }),
            "error": view.error.as_ref().map_or_else(unknown, |(text, at)| {
                format!("{} ago: {text}", span(at.elapsed().unwrap_or_default()))
            }),
        },
    })
}

/// The table's line, also for readers without a script.
fn row(source: &Value) -> String {
    let text = |value: &Value| escape(value.as_str().unwrap_or("-"));
    let mut row = format!("<tr data-source=\"{}\">", text(&source["name"]));
    for (field, title) in COLUMNS {
        let class = match field {
            "state" => text(&source["state"]),
            "purge" if source["purge_warning"] == true => "warn".to_owned(),
            _ => String::new(),
        };
        let shown = if field == "rates" {
            format!("{} rows, {} commits so far", source["rows_total"], source["commits_total"])
        } else {
            text(&source["shown"][field])
        };
        // writing to a String cannot fail
        let _ =
            write!(row, "<td data-field=\"{field}\" data-label=\"{title}\" class=\"{class}\">{shown}</td>");
    }
    row + "</tr>"
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

/// `3 d 4 h`, `5 min 6 s`
fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Metrics, status::State};

    #[test]
    fn what_a_server_says_never_becomes_markup() {
        let metrics = Metrics::register(&prometheus::Registry::new()).unwrap();
        let status_of = Status::new(&metrics, "a");
        status_of.set(State::Failed, "<script>alert('1')</script>");
        let shown = Shown {
            name: "a".to_owned(),
            status: status_of,
            metrics: metrics.of("a"),
            warn_before: Duration::from_secs(1),
        };
        let row = row(&status(&shown));
        assert!(row.contains("&lt;script&gt;alert(&#39;1&#39;)") && !row.contains("<script"), "{row}");
        assert!(row.contains("class=\"failed\""));
    }

    #[test]
    fn spans_are_told_in_two_units() {
        for (seconds, text) in [(5, "5 s"), (66, "1 min 6 s"), (7_260, "2 h 1 min"), (90_000, "1 d 1 h")] {
            assert_eq!(span(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn no_part_of_the_page_can_end_its_own_script_or_style() {
        for script in [UPLOT, SCRIPT] {
            assert!(!script.contains("</script") && !script.contains("{{"));
        }
        assert!(!STYLE.contains("</style") && !UPLOT_STYLE.contains("</style"));
    }
}
