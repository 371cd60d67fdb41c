//! What commands print, and for whom.

use std::io::{self, Write};

/// For whom a command prints.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Text,
    /// For programs: one JSON document.
    Json,
}

/// Writes a command's answer to stdout. A reader that has gone away is not an error.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(cause) if cause.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// Writes a JSON document and a line break.
pub(crate) fn print_json(document: &serde_json::Value) -> io::Result<()> {
    print(&format!("{document:#}\n"))
}
