//! The frame around a daemon: runtime, telemetry, signals, and one exit path.
//!
//! Exit codes: 0 done or stopped by a signal, 1 a definite error, 2 wrong usage or configuration.

use std::fmt::Write as _;
use std::future::Future;
use std::process::ExitCode;

use crate::shutdown::Shutdown;
use crate::telemetry::{self, Format};

/// Exit code of wrong arguments or configuration; what clap uses too.
pub const EXIT_USAGE: u8 = 2;
const EXIT_ERROR: u8 = 1;

/// Marks an error as one of usage or configuration, so that the process ends with 2 and not 1.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct UsageError(anyhow::Error);

/// Marks `error` as one of usage or configuration. Context added on top of it keeps the mark.
pub fn usage(error: impl Into<anyhow::Error>) -> anyhow::Error {
    anyhow::Error::new(UsageError(error.into()))
}

/// An error that ends the process with a code of its own.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct CodedError {
    code: u8,
    #[source]
    error: anyhow::Error,
}

/// Marks `error` as one that ends the process with `code`. Context added on top of it keeps the mark.
pub fn with_code(code: u8, error: impl Into<anyhow::Error>) -> anyhow::Error {
    anyhow::Error::new(CodedError { code, error: error.into() })
}

/// Runs `body` to its end on a multi-threaded runtime and turns its result into the exit code.
///
/// `body` gets the [`Shutdown`] that SIGTERM and SIGINT request. An error is written once, as one cause chain on stderr.
pub fn run<F, Fut>(service: &'static str, body: F) -> ExitCode
where
    F: FnOnce(Shutdown) -> Fut,
    Fut: Future<Output = anyhow::Result<()>>,
{
    telemetry::init(service);
    let result = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| anyhow::Error::new(error).context("start the async runtime"))
        .and_then(|runtime| {
            let result = runtime.block_on(async {
                let shutdown = Shutdown::on_signals()?;
                body(shutdown).await
            });
            // a blocked thread (a DNS look-up, say) must not hold up the end of the process
            runtime.shutdown_background();
            result
        });
    exit(service, result)
}

/// Writes the error, if there is one, and says how the process ends. For commands that need no runtime.
pub fn exit(service: &'static str, result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            write_error(service, &error);
            ExitCode::from(exit_code(&error))
        }
    }
}

/// 2 for an error marked by [`usage`], the code of one marked by [`with_code`], else 1.
pub fn exit_code(error: &anyhow::Error) -> u8 {
    if let Some(coded) = error.chain().find_map(|cause| cause.downcast_ref::<CodedError>()) {
        return coded.code;
    }
    let marked = error.chain().any(|cause| cause.is::<UsageError>());
    if marked { EXIT_USAGE } else { EXIT_ERROR }
}

/// `outer: cause: cause`, leaving out a cause whose text the one above already ends with.
pub fn cause_chain(error: &anyhow::Error) -> String {
    let mut chain = String::new();
    let mut above = String::new();
    for cause in error.chain() {
        let text = cause.to_string();
        if above.ends_with(&text) {
            continue;
        }
        let separator = if chain.is_empty() { "" } else { ": " };
        // writing to a String cannot fail
        let _ = write!(chain, "{separator}{text}");
        above = text;
    }
    chain
}

// not through tracing: RUST_LOG must not be able to hide why a process ended
fn write_error(service: &str, error: &anyhow::Error) {
    let chain = cause_chain(error);
    match Format::from_env() {
        Format::Text => eprintln!("{service}: {chain}"),
        Format::Json => {
            eprintln!("{}", serde_json::json!({ "level": "ERROR", "service": service, "message": chain }));
        }
    }
}

#[cfg(test)]
mod tests {
    use anyhow::{Context, anyhow};

    use super::*;

    #[test]
    fn a_marked_error_exits_with_two_even_under_context() {
        let plain = anyhow!("connection refused").context("connect to the store");
        assert_eq!(exit_code(&plain), 1);
        let marked = usage(anyhow!("unknown key `brokerz`")).context("read pipelines.toml");
        assert_eq!(exit_code(&marked), 2);
        let coded = with_code(11, anyhow!("purged")).context("run a source");
        assert_eq!((exit_code(&coded), cause_chain(&coded).as_str()), (11, "run a source: purged"));
        assert_eq!(cause_chain(&marked), "read pipelines.toml: unknown key `brokerz`");
    }

    #[test]
    fn a_cause_is_not_said_twice() {
        #[derive(Debug, thiserror::Error)]
        #[error("read the file: {0}")]
        struct Repeats(#[source] std::io::Error);
        let error =
            Err::<(), _>(Repeats(std::io::Error::other("no such file"))).context("start").unwrap_err();
        assert_eq!(cause_chain(&error), "start: read the file: no such file");
    }
}
