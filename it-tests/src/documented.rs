//! Holds `docs/bad-input.md` equal to what databus prints: tests that bring a kind of bad input about hand its row what was printed.
//!
//! Numbers differ from run to run and are not compared; the test's own names are shown as those of the shipped file. A row is written anew by running its
//! test with `DATABUS_WRITE_DOCS=1`.

use crate::harness::paths::repo_root;
use anyhow::{Context, Result, bail};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// Sets all rows that tests bring about.
const WRITE: &str = "DATABUS_WRITE_DOCS";

static PAGE: Mutex<()> = Mutex::new(());

/// The page.
pub fn page() -> PathBuf {
    repo_root().join("docs/bad-input.md")
}

/// The inputs that the page names: the first cells of its rows.
pub fn inputs() -> Result<Vec<String>> {
    let text = std::fs::read_to_string(page())?;
    Ok(text.lines().filter_map(cells).map(|row| row[0].to_owned()).filter(|input| input != "input").collect())
}

/// Compares the row of `input` with what was printed: `code` is the exit code, `None` where databus goes on. `source` is the test's own name of
/// the source and its database.
pub fn documented(input: &str, source: &str, code: Option<i32>, printed: &str) -> Result<()> {
    let said = shown(source, said(printed, code.is_some())?);
    let code = code.map_or_else(|| "goes on".to_owned(), |code| code.to_string());
    let _one_at_a_time = PAGE.lock().unwrap_or_else(PoisonError::into_inner);
    let text = std::fs::read_to_string(page()).context("docs/bad-input.md")?;
    let row = text.lines().find(|line| cells(line).is_some_and(|row| row[0] == input));
    let (documented, documented_code, act) = match row.and_then(cells) {
        Some([_, said, code, act]) => (said.trim_start_matches("`` ").trim_end_matches(" ``"), code, act),
        None => ("", "", "?"),
    };
    if without_numbers(documented) == without_numbers(&said) && documented_code == code {
        return Ok(());
    }
    let wanted = format!("| {input} | `` {said} `` | {code} | {act} |");
    if std::env::var_os(WRITE).is_none() {
        bail!(
            "docs/bad-input.md does not say what databus prints; with {WRITE}=1 this test writes the row:\n{wanted}"
        );
    }
    let written = match row {
        Some(row) => text.replacen(row, &wanted, 1),
        None => format!("{text}{wanted}\n"),
    };
    Ok(std::fs::write(page(), written)?)
}

/// The line that matters: the last words of a process that ended, or the one line that was picked from the log of one that goes on.
fn said(printed: &str, ended: bool) -> Result<&str> {
    let line = if ended {
        printed.lines().rev().find_map(|line| line.strip_prefix("databus: "))
    } else {
        printed
            .lines()
            .next_back()
            .and_then(|line| line.split_once("  WARN ").or(line.split_once(" WARN ")))
            .map(|(_, rest)| rest)
    };
    line.with_context(|| format!("no last words in:\n{printed}"))
}

/// As a reader of the page would see it with the shipped file.
fn shown(source: &str, said: &str) -> String {
    let mut words = Vec::new();
    for word in said.trim().replace(source, "accounting").split(' ') {
        // paths are this machine's
        let path = word.rfind("pipelines.toml").filter(|_| word.starts_with('/'));
        words.push(path.map_or(word, |at| &word[at..]).to_owned());
    }
    words.join(" ").replace('|', "/")
}

fn without_numbers(text: &str) -> String {
    let mut out = String::new();
    for letter in text.chars() {
        match letter {
            '0'..='9' if out.ends_with('#') => {}
            '0'..='9' => out.push('#'),
            other => out.push(other),
        }
    }
    out
}

/// The cells of a row of four.
fn cells(line: &str) -> Option<[&str; 4]> {
    let row = line.strip_prefix("| ")?.strip_suffix(" |")?;
    let cells: Vec<&str> = row.split(" | ").collect();
    cells.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_paths_and_the_tests_own_names_are_not_part_of_a_row() {
        let printed =
            "2026 INFO x\ndatabus: /a/b/src_1_2/pipelines.toml:9: source src_1_2 at binlog.000002:345";
        assert_eq!(
            shown("src_1_2", said(printed, true).unwrap()),
            "pipelines.toml:9: source accounting at binlog.000002:345"
        );
        assert_eq!(without_numbers("binlog.000002:345"), without_numbers("binlog.1000000:4"));
        let warned = "2026-11-23T01:36:00.7Z  WARN databus::supervisor: interrupted error=x";
        assert_eq!(said(warned, false).unwrap(), "databus::supervisor: interrupted error=x");
    }

    #[test]
    fn every_row_says_what_to_do() {
        let text = std::fs::read_to_string(page()).unwrap();
        for line in text.lines().filter(|line| line.starts_with("| ")) {
            let row = cells(line).unwrap_or_else(|| panic!("not four cells: {line}"));
            assert!(row[3].len() > 5 || row[0] == "input", "{line}");
        }
    }
}
