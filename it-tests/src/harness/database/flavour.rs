//! Which make and version of server.

use crate::harness::paths::{cache_dir, required_program};
use anyhow::ensure;
use std::fmt;
use std::path::PathBuf;

/// A make and series of database server that tests run against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// MariaDB as the system's packages bring it: 10.11 on Debian 12.
    MariaDb1011,
    /// MariaDB 11.8, from Debian 13's packages in `.cache/`.
    MariaDb118,
    /// MySQL 9.7, from the packages of Debian's unstable suite in `.cache/`; a later series once that suite moves on.
    MySql97,
}

impl Flavour {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::MariaDb1011, Self::MariaDb118, Self::MySql97];

    /// Whether it is MySQL and not MariaDB.
    pub fn is_mysql(self) -> bool {
        self == Self::MySql97
    }

    /// The make in lower case: name of its logs and pid files.
    pub(super) fn make(self) -> &'static str {
        if self.is_mysql() { "mysql" } else { "mariadb" }
    }

    /// The folder that its packages are unpacked into; `None` for the system's own.
    pub fn home(self) -> Option<PathBuf> {
        match self {
            Self::MariaDb1011 => None,
            Self::MariaDb118 => Some(cache_dir().join("mariadb-11.8")),
            Self::MySql97 => Some(cache_dir().join("mysql-9.7")),
        }
    }

    /// Whether its programs are there.
    pub fn is_there(self) -> bool {
        self.server_program().is_ok()
    }

    /// What brings it.
    fn provision(self) -> &'static str {
        if self.is_mysql() { "cargo xtask provision --mysql" } else { "cargo xtask provision" }
    }

    /// The server.
    pub(super) fn server_program(self) -> anyhow::Result<PathBuf> {
        self.program("usr/sbin", if self.is_mysql() { "mysqld" } else { "mariadbd" })
    }

    /// The command line client.
    pub(super) fn client_program(self) -> anyhow::Result<PathBuf> {
        self.program("usr/bin", if self.is_mysql() { "mysql" } else { "mariadb" })
    }

    /// One of its programs; those in `.cache/` run under their own loader and libraries.
    pub(super) fn program(self, folder: &str, name: &str) -> anyhow::Result<PathBuf> {
        let Some(home) = self.home() else { return required_program(name) };
        let path = home.join(folder).join(name);
        ensure!(path.is_file(), "no {self} in {}; run `{}`", home.display(), self.provision());
        Ok(path)
    }

    /// `--basedir=...` for a server that is not where it was built to be.
    pub(super) fn base_dir(self) -> Option<String> {
        self.home().map(|home| format!("--basedir={}", home.join("usr").display()))
    }
}

impl fmt::Display for Flavour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MariaDb1011 => "MariaDB 10.11",
            Self::MariaDb118 => "MariaDB 11.8",
            Self::MySql97 => "MySQL 9.7",
        })
    }
}
