//! Logs: one line per event on stderr. `RUST_LOG` sets the level (default `info`), `LOG_FORMAT=json` the form.

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
    let lines =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false);
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
