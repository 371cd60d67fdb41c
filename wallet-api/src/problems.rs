//! Errors of what lies below the routes, as callers see them.

use std::time::Duration;

use service_kit::Problem;

use crate::{
    merchants::DirectoryError,
    store::{Verdict, verdict},
};

/// 503 where the database is away, 500 where something is wrong with it or us.
pub(crate) fn store_problem(error: &sqlx::Error) -> Problem {
    match verdict(error) {
        Verdict::Away | Verdict::Contention | Verdict::LockWait => {
            tracing::warn!(%error, "a request was given up: the database is away");
            Problem::unavailable(
                "store_unavailable",
                "the database is away: try again",
                Duration::from_secs(1),
            )
        }
        Verdict::Duplicate | Verdict::Definite => Problem::internal(error),
    }
}

/// As [`store_problem`], for look-ups of merchants and keys.
pub(crate) fn directory_problem(error: DirectoryError) -> Problem {
    match error {
        DirectoryError::Store(error) => store_problem(&error),
        DirectoryError::Bug(cause) => Problem::internal(&cause),
    }
}
