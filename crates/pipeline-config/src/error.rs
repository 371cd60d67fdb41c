//! Why a configuration was refused.

use std::path::PathBuf;

use crate::{Place, SecretError};

/// A configuration that cannot be used. Every variant is definite: only an edit of the file or its surroundings helps.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read the configuration {path}: {cause} (give its path with --config)", path = path.display())]
    Read {
        /// The path as it was given.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// Not TOML, an unknown key, a missing key, or a value of the wrong type.
    #[error("{place}: {message}")]
    Syntax {
        /// Where.
        place: Place,
        /// What toml expected there, in one line.
        message: String,
    },
    /// Well-formed, but it contradicts itself or something it names.
    #[error("{place}: {message}")]
    Invalid {
        /// Where.
        place: Place,
        /// What is wrong and what is wanted.
        message: String,
    },
    /// A section that this daemon needs is left out.
    #[error("{path}: this command needs the section [{section}]", path = path.display())]
    MissingSection {
        /// The configuration's path.
        path: PathBuf,
        /// Name of the section.
        section: &'static str,
    },
    /// A secret that this daemon needs is not there.
    #[error(transparent)]
    Secret(#[from] SecretError),
}
