//! Which Java is there: Kafka 4 and Elasticsearch 8 want 17 or newer.

use it_tests::harness::paths::java_home;
use std::process::Command;

const OLDEST: u32 = 17;

/// Whether the Java that the harness would use is new enough.
pub(crate) fn is_recent_enough() -> bool {
    let Ok(home) = java_home() else { return false };
    let Ok(output) = Command::new(home.join("bin/java")).arg("-version").output() else { return false };
    major(&String::from_utf8_lossy(&output.stderr)).is_some_and(|version| version >= OLDEST)
}

/// The first number of `openjdk version "17.0.15" 2025-04-15`; for Java 8 and older that is 1.
fn major(text: &str) -> Option<u32> {
    let version = text.split_once("version \"")?.1;
    version.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::major;

    #[test]
    fn the_major_version_is_read_from_every_vendors_text() {
        assert_eq!(major("openjdk version \"17.0.15\" 2025-04-15\nOpenJDK Runtime"), Some(17));
        assert_eq!(major("openjdk version \"25\" 2025-09-16"), Some(25));
        assert_eq!(major("java version \"1.8.0_392\""), Some(1));
        assert_eq!(major("command not found"), None);
    }
}
