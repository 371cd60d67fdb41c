//! What an ops engineer runs and sees: `check`, `tail`, `position`, metrics and the status page.

use super::Source;
use crate::shared::{stack, unique};
use anyhow::{Context, Result, ensure};
use serde_json::Value;

const COLUMNS: &str = "id INT PRIMARY KEY, note VARCHAR(40) NOT NULL";

/// Runs a command of databus to its end; its exit code, stdout and stderr.
fn run(source: &Source<'_>, args: &[&str]) -> Result<(Option<i32>, String, String)> {
    let output = source.deployment.run("databus", args)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok((output.status.code(), text(&output.stdout), text(&output.stderr)))
}

#[test]
fn check_says_what_is_fine_and_leaves_no_trace() -> Result<()> {
    let source = Source::new(stack()?, COLUMNS)?;
    let (code, stdout, stderr) = run(&source, &["check"])?;
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    for part in
        ["binlog_format=ROW", "has REPLICATION SLAVE", "entry: 2 columns, primary key", "a broker answers"]
    {
        ensure!(stdout.contains(part), "{part:?} is not in:\n{stdout}");
    }
    ensure!(!stdout.contains("WRONG"), "{stdout}");
    let topics = it_tests::topic::names(&source.stack.kafka_brokers()?)?;
    ensure!(!topics.contains(&format!("changes.{}", source.name)), "check made the source's topic");
    Ok(())
}

#[test]
fn the_statements_that_check_prints_are_all_that_a_new_user_lacks() -> Result<()> {
    let mut source = Source::new(stack()?, COLUMNS)?;
    let user = unique("poor");
    source.sql(&format!("CREATE USER '{user}'@'127.0.0.1' IDENTIFIED BY 'of no use to anybody'"))?;
    let section = format!("source.{}", source.name);
    source.deployment = source.deployment.clone().env("POOR_PASSWORD", "of no use to anybody");
    source.deployment.edit(|file| {
        file.set_text(&section, "user", &user)?;
        file.set(&section, "password", "{ env = \"POOR_PASSWORD\" }")
    })?;
    let (code, stdout, _) = run(&source, &["check", "--output", "json"])?;
    assert_eq!(code, Some(1), "{stdout}");
    let report: Value = serde_json::from_str(&stdout)?;
    let findings = report["sources"][0]["findings"].as_array().context("no findings")?;
    let fixes: Vec<&str> = findings
        .iter()
        .filter_map(|finding| finding["fix"].as_array())
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    ensure!(fixes.len() == 3 && fixes.iter().all(|fix| fix.starts_with("GRANT ")), "{fixes:?}");
    for fix in fixes {
        source.sql(fix)?;
    }
    let (code, stdout, stderr) = run(&source, &["check"])?;
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    Ok(())
}
