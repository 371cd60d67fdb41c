//! Logs: one line per event on stderr. `RUST_LOG` sets the level (default `info`), `LOG_FORMAT=json` the form.

use std::io::{self, Write};

use tracing_subscriber::EnvFilter;

/// How log lines look. Read from `LOG_FORMAT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Text,
    Json,
}

impl Format {
    /// `json` asks for JSON lines; anything else, or nothing, for text.
    pub fn from_env() -> Format {
        match std::env::var("LOG_FORMAT") {
            Ok(value) if value.eq_ignore_ascii_case("json") => Format::Json,
            _ => Format::Text,
        }
    }
}

/// Installs the log writer and a panic hook that keeps a panic on one line. A second call changes nothing.
pub fn init(service: &'static str) {
    let filter = EnvFilter::builder().try_from_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| OneLine(std::io::stderr()))
        .with_ansi(false);
    // an error only says that a subscriber is already there, as in tests
    let installed = match Format::from_env() {
        Format::Json => {
            lines.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init()
        }
        Format::Text => lines.try_init(),
    };
    if installed.is_ok() {
        std::panic::set_hook(Box::new(move |panic| {
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            let message = panic.payload_as_str().unwrap_or("no message").replace('\n', " ");
            tracing::error!(service, place, message, "panicked: this is a bug");
        }));
    }
}

/// Keeps an event on one line: the subscriber hands over a whole event at a time, and line breaks inside it (an error
/// text of some library, or what a caller sent) become `\n`.
struct OneLine<W>(W);

impl<W: Write> Write for OneLine<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let (text, end) = match event.split_last() {
            Some((b'\n', text)) => (text, &b"\n"[..]),
            _ => (event, &b""[..]),
        };
        if text.contains(&b'\n') {
            let line = text.split(|byte| *byte == b'\n').collect::<Vec<_>>().join(&b"\\n"[..]);
            self.0.write_all(&[&line, end].concat())?;
        } else {
            self.0.write_all(event)?;
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_stays_on_one_line() {
        for (event, line) in
            [("a\n", "a\n"), ("a\nb\n", "a\\nb\n"), ("a\n\nb", "a\\n\\nb"), ("\n", "\n"), ("", "")]
        {
            let mut written = OneLine(Vec::new());
            written.write_all(event.as_bytes()).unwrap();
            assert_eq!(String::from_utf8(written.0).unwrap(), line, "{event:?}");
        }
    }
}
