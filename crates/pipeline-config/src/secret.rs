//! Secrets stand in the environment or in a file, never in the configuration.

use std::path::PathBuf;

use secrecy::SecretString;

use crate::Place;

/// A secret that is not read yet. `Debug` shows where it comes from, never what it is.
#[derive(Clone, Debug)]
pub struct Secret {
    pub(crate) key: String,
    pub(crate) from: From,
    pub(crate) place: Place,
}

#[derive(Clone, Debug)]
pub(crate) enum From {
    Env(String),
    File(PathBuf),
}

impl Secret {
    /// Reads the secret now. A file's last line break is not part of it.
    pub fn resolve(&self) -> Result<SecretString, SecretError> {
        let fail = |cause: String| SecretError { place: self.place.clone(), key: self.key.clone(), cause };
        let text = match &self.from {
            From::Env(name) => match std::env::var(name) {
                Ok(text) => text,
                Err(std::env::VarError::NotPresent) => {
                    return Err(fail(format!("the environment variable {name} is not set")));
                }
                Err(std::env::VarError::NotUnicode(_)) => {
                    return Err(fail(format!("the environment variable {name} is not UTF-8")));
                }
            },
            From::File(path) => std::fs::read_to_string(path)
                .map_err(|e| fail(format!("cannot read {}: {e}", path.display())))?
                .trim_end_matches(['\r', '\n'])
                .to_owned(),
        };
        if text.is_empty() {
            return Err(fail(match &self.from {
                From::Env(name) => format!("the environment variable {name} is empty"),
                From::File(path) => format!("the file {} is empty", path.display()),
            }));
        }
        Ok(SecretString::from(text))
    }
}

/// A secret could not be read; definite.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {key}: {cause}")]
pub struct SecretError {
    place: Place,
    key: String,
    cause: String,
}
