//! The two families of servers, and where they part ways.

/// Which family a server belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flavor {
    /// MariaDB.
    MariaDb,
    /// MySQL and its close relatives.
    MySql,
}

impl Flavor {
    /// By what `VERSION()` answers.
    pub(super) fn of(version: &str) -> Self {
        if version.to_ascii_lowercase().contains("mariadb") { Self::MariaDb } else { Self::MySql }
    }
}

/// The statement that tells the binlog's end: MySQL 8.4 no longer knows the old one.
pub(super) fn binlog_end_statement(version: &str) -> &'static str {
    if Flavor::of(version) == Flavor::MySql && at_least(version, (8, 4, 0)) {
        "SHOW BINARY LOG STATUS"
    } else {
        "SHOW MASTER STATUS"
    }
}

/// Whether the version, as `VERSION()` answers it, is this one or later.
pub(super) fn at_least(version: &str, wanted: (u32, u32, u32)) -> bool {
    let mut numbers = version.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    let mut next = || numbers.next().unwrap_or(0);
    (next(), next(), next()) >= wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        assert!(
            at_least("10.11.19-MariaDB-0+deb12u1-log", (10, 5, 0)) && at_least("11.8.6-MariaDB", (10, 5, 0))
        );
        assert!(!at_least("10.4.30-MariaDB", (10, 5, 0)) && !at_least("unknown", (10, 5, 0)));
        assert!(
            at_least("8.0.1", (8, 0, 1))
                && !at_least("8.0.0-dmr", (8, 0, 1))
                && at_least("9.7.4-2", (8, 0, 1))
        );
    }

    #[test]
    fn the_binlogs_end_is_asked_for_in_the_servers_own_words() {
        for (version, statement) in [
            ("10.11.19-MariaDB-log", "SHOW MASTER STATUS"),
            ("8.0.40", "SHOW MASTER STATUS"),
            ("8.4.3", "SHOW BINARY LOG STATUS"),
            ("9.7.4-2", "SHOW BINARY LOG STATUS"),
        ] {
            assert_eq!(binlog_end_statement(version), statement, "{version}");
        }
    }
}
