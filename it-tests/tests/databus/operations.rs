//! What an ops engineer runs and sees: `check`, `tail`, `position`, metrics and the status page.

use super::{SOON, Source, assert_dense, number};
use crate::shared::{fresh, stack, unique};
use anyhow::{Context, Result, ensure};
use change_event::envelope::Change;
use it_tests::harness::{Not, Part, Service, Stack, paths::repo_root, wait_until};
use serde_json::Value;
use std::process::Stdio;

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

fn ids(changes: &[Vec<u8>]) -> Result<Vec<i64>> {
    changes.iter().map(|value| number(&Change::parse(value)?, "id")).collect()
}

/// The end of the server's binlog, as `--file F --pos P`.
fn end(source: &Source<'_>) -> Result<(String, String)> {
    let status = source.sql("SHOW MASTER STATUS")?;
    let mut fields = status.split('\t');
    let file = fields.next().context("no binlog file")?.to_owned();
    Ok((file, fields.next().context("no position")?.trim().to_owned()))
}

#[test]
fn tail_prints_what_changed_filters_and_begins_where_it_is_told() -> Result<()> {
    let source = Source::new(stack()?, COLUMNS)?;
    let name = source.name.as_str();
    let _databus = source.deployment.databus()?;
    source.sql("INSERT INTO entry VALUES (1, 'one'); UPDATE entry SET note = 'zwei' WHERE id = 1; DELETE FROM entry WHERE id = 1")?;
    source.wait_for_changes(3)?;
    let (code, text, stderr) =
        run(&source, &["tail", "--source", name, "--from", "beginning", "--count", "3"])?;
    assert_eq!(code, Some(0), "{stderr}");
    let lines: Vec<&str> = text.lines().collect();
    for (line, part) in lines.iter().zip([
        "c {}.entry id=1: id=1 note=\"one\"",
        "u {}.entry id=1: note \"one\" -> \"zwei\"",
        "d {}.entry id=1: id=1 note=\"zwei\"",
    ]) {
        ensure!(line.ends_with(&part.replace("{}", name)), "{line}");
    }
    let (_, json, _) =
        run(&source, &["tail", "--source", name, "--from", "seq:0:2", "--count", "1", "--output", "json"])?;
    assert_eq!(Change::parse(json.trim_end().as_bytes())?.source.seq.get(), 2, "{json}");
    let (code, _, stderr) = run(&source, &["tail", "--source", "nobody"])?;
    ensure!(code == Some(2) && stderr.contains("[source.nobody]"), "{code:?}: {stderr}");
    Ok(())
}

#[test]
fn tail_ends_cleanly_on_a_closed_pipe_and_on_a_signal() -> Result<()> {
    let source = Source::new(stack()?, COLUMNS)?;
    let _databus = source.deployment.databus()?;
    source.sql("INSERT INTO entry VALUES (1, 'one')")?;
    source.wait_for_changes(1)?;
    // nobody reads, and nothing more is written: only a look at the pipe itself can tell
    let args = ["tail", "--source", &source.name, "--from", "beginning"];
    let mut child = source.deployment.command("databus", &args)?.stdout(Stdio::piped()).spawn()?;
    let mut lines = std::io::BufReader::new(child.stdout.take().context("no pipe")?);
    let mut line = String::new();
    std::io::BufRead::read_line(&mut lines, &mut line)?;
    ensure!(line.contains("note=\"one\""), "{line}");
    drop(lines);
    let status = wait_until("the end of tail", SOON, || match child.try_wait() {
        Ok(Some(status)) => Ok(status),
        other => Err(Not::Yet(format!("{other:?}"))),
    })?;
    assert_eq!(status.code(), Some(0));
    let mut tail = source.deployment.daemon_unready("databus", &args)?;
    wait_until("a line", SOON, || match tail.log() {
        Ok(log) if log.contains("note=\"one\"") => Ok(()),
        other => Err(Not::Yet(format!("{other:?}"))),
    })?;
    assert_eq!(tail.stop()?.code(), Some(0));
    Ok(())
}

#[test]
fn a_checkpoint_set_forward_skips_what_the_dry_run_names_and_nothing_else() -> Result<()> {
    let source = Source::new(stack()?, COLUMNS)?;
    let name = source.name.as_str();
    let mut databus = source.deployment.databus()?;
    source.sql("INSERT INTO entry VALUES (1, 'one'), (2, 'two')")?;
    source.wait_for_changes(2)?;
    databus.stop()?;
    source.sql("INSERT INTO entry VALUES (3, 'not to be published')")?;
    let (file, pos) = end(&source)?;
    source.sql("INSERT INTO entry VALUES (4, 'four')")?;
    let set = ["position", "set", "--source", name, "--file", &file, "--pos", &pos];
    let (code, text, stderr) = run(&source, &set)?;
    assert_eq!(code, Some(0), "{stderr}");
    let lost = text.lines().find(|line| line.contains("lost ")).context("no word of what is lost")?;
    ensure!(lost.contains(&format!("1 rows events of {name}.entry")) && text.contains("dry run"), "{text}");
    let (code, text, stderr) = run(&source, &[&set[..], &["--execute"]].concat())?;
    ensure!(code == Some(0) && text.contains("done"), "{text}{stderr}");
    databus.start_again()?;
    let changes = source.wait_for_changes(3)?;
    assert_dense(&changes)?;
    assert_eq!(ids(&changes)?, [1, 2, 4]);
    Ok(())
}

#[test]
fn going_back_takes_a_new_numbering_and_fences_the_databus_that_runs_g2() -> Result<()> {
    let source = Source::new(stack()?, COLUMNS)?;
    let name = source.name.as_str();
    let mut databus = source.deployment.databus()?;
    let gtid = source.sql("INSERT INTO entry VALUES (1, 'one'); SELECT @@last_gtid")?;
    source.sql("INSERT INTO entry VALUES (2, 'two')")?;
    source.wait_for_changes(2)?;
    let set = ["position", "set", "--source", name, "--gtid", gtid.trim(), "--execute"];
    let (code, _, stderr) = run(&source, &set)?;
    ensure!(code == Some(1) && stderr.contains("go backwards"), "{code:?}: {stderr}");
    source.sql("INSERT INTO entry VALUES (3, 'three')")?;
    source.wait_for_changes(3)?;
    let (code, text, stderr) = run(&source, &[&set[..], &["--raise-epoch"]].concat())?;
    ensure!(code == Some(0) && text.contains("epoch 1, the next change is 1:1"), "{text}{stderr}");
    source.sql("INSERT INTO entry VALUES (4, 'the one that runs finds out')")?;
    assert_eq!(databus.wait_exit()?, Some(10), "{}", databus.log()?);
    databus.start_again()?;
    let changes = source.wait_for_changes(6)?;
    assert_eq!(ids(&changes)?, [1, 2, 3, 2, 3, 4]);
    assert_eq!(assert_dense(&changes)?.to_string(), "1:3");
    Ok(())
}

#[test]
fn a_place_that_is_not_between_two_transactions_is_refused_with_the_nearest_that_are() -> Result<()> {
    let source = Source::new(stack()?, COLUMNS)?;
    let name = source.name.as_str();
    let (file, pos) = end(&source)?;
    let inside = (pos.parse::<u64>()? + 1).to_string();
    source.sql("INSERT INTO entry VALUES (1, 'one')")?;
    let cases = [
        (file.as_str(), inside.as_str(), pos.as_str()),
        ("binlog.999999", "4", "has no binlog file"),
        ("x' OR '1", "4", "has no binlog file"),
    ];
    for (file, pos, part) in cases {
        let (code, _, stderr) =
            run(&source, &["position", "set", "--source", name, "--file", file, "--pos", pos])?;
        ensure!(code == Some(1) && stderr.contains(part), "{file}:{pos}: {code:?}: {stderr}");
    }
    let (code, _, stderr) = run(&source, &["position", "set", "--source", name, "--gtid", "0-99-1"])?;
    ensure!(code == Some(1) && stderr.contains("no transaction 0-99-1"), "{code:?}: {stderr}");
    let (code, _, _) = run(&source, &["position", "set", "--source", name, "--file", &file])?;
    assert_eq!(code, Some(2));
    Ok(())
}

#[test]
fn a_reset_makes_a_source_whose_binlog_was_begun_anew_go_on_above_all_earlier_versions_g2() -> Result<()> {
    let stack = Stack::start(fresh("databus-reset-epoch").only(&[Part::MariaDb, Part::Kafka]))?;
    let source = Source::new(&stack, COLUMNS)?;
    let name = source.name.as_str();
    let mut databus = source.deployment.databus()?;
    source.sql("INSERT INTO entry VALUES (1, 'one')")?;
    source.wait_for_changes(1)?;
    databus.stop()?;
    source.sql("RESET MASTER; INSERT INTO entry VALUES (2, 'two')")?;
    let (_, shown, _) = run(&source, &["position", "show"])?;
    ensure!(shown.contains("LOST") && shown.contains("another history"), "{shown}");
    let (code, text, _) = run(&source, &["position", "reset", "--source", name])?;
    ensure!(
        code == Some(0) && text.contains("another history") && text.contains("take a snapshot"),
        "{text}"
    );
    let (code, text, stderr) = run(&source, &["position", "reset", "--source", name, "--execute"])?;
    ensure!(code == Some(0), "{text}{stderr}");
    databus.start_again()?;
    let changes = source.wait_for_changes(2)?;
    assert_eq!((ids(&changes)?, assert_dense(&changes)?.to_string().as_str()), (vec![1, 2], "1:1"));
    let json = wait_until("nothing behind", SOON, || {
        let (_, json, _) = run(&source, &["position", "show", "--output", "json"]).map_err(Not::yet)?;
        let shown: Value = serde_json::from_str(&json).map_err(Not::yet)?;
        let source = shown["sources"][0].clone();
        if source["source"]["bytes_behind"] == 0 { Ok(source) } else { Err(Not::Yet(json)) }
    })?;
    assert_eq!(json["checkpoint"]["epoch"], 1, "{json}");
    assert_eq!(json["source"]["never_purged"], true, "{json}");
    Ok(())
}

#[test]
fn metrics_tell_ages_bytes_tables_and_ops_and_every_alert_rule_finds_its_metric() -> Result<()> {
    let source = Source::new(stack()?, COLUMNS)?;
    let databus = source.deployment.databus()?;
    source.sql("INSERT INTO entry VALUES (1, 'one'), (2, 'two'); UPDATE entry SET note = 'x'; UPDATE entry SET id = 3 WHERE id = 2; DELETE FROM entry")?;
    source.wait_for_changes(8)?;
    let table = format!("{}.entry", source.name);
    let text = wait_until("the metrics of all this", SOON, || {
        let text = databus.metrics().map_err(Not::yet)?;
        let has = |part: &str| text.lines().any(|line| line.starts_with(part));
        let by_op = |op: &str, count: u32| {
            has(&format!(
                "databus_changes_total{{op=\"{op}\",source=\"{}\",table=\"{table}\"}} {count}",
                source.name
            ))
        };
        let all = by_op("c", 3)
            && by_op("u", 2)
            && by_op("d", 3)
            && has("databus_publish_age_milliseconds{quantile=\"0.99\"")
            && has("databus_publish_age_seconds_count")
            && has("databus_lag_bytes{")
            // MariaDB 10.11 keeps its binlogs for ever unless told otherwise
            && has(&format!("databus_time_to_purge_seconds{{source=\"{}\"}} inf", source.name));
        if all { Ok(text) } else { Err(Not::Yet(text)) }
    })?;
    let rules = std::fs::read_to_string(repo_root().join("packaging/prometheus/databus.rules.yml"))?;
    let docs = std::fs::read_to_string(repo_root().join("docs/operations.md"))?;
    let names = rules.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    let names: std::collections::BTreeSet<&str> = names.filter(|name| name.starts_with("databus_")).collect();
    ensure!(names.len() >= 8, "{names:?}");
    for name in names {
        // these two show nothing until something goes wrong
        let quiet = ["databus_lost_position", "databus_stream_restarts_total"];
        ensure!(text.contains(name) || quiet.contains(&name), "{name} is in the rules and not in /metrics");
    }
    for alert in rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        ensure!(docs.contains(&format!("`{alert}`")), "{alert} is not explained in docs/operations.md");
    }
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE databus_")) {
        let name = format!("databus_{}", line.split(' ').next().unwrap_or_default());
        ensure!(docs.contains(&format!("`{name}`")), "{name} is not explained in docs/operations.md");
    }
    Ok(())
}

#[test]
fn the_status_page_stands_alone_forbids_the_rest_and_is_a_table_without_its_script() -> Result<()> {
    let source = Source::new(stack()?, COLUMNS)?;
    let databus = source.deployment.databus()?;
    source.sql("INSERT INTO entry VALUES (1, 'one')")?;
    source.wait_for_changes(1)?;
    let mut answer = ureq::get(format!("{}/", databus.admin_url())).call()?;
    let policy = answer.headers().get("content-security-policy").context("no policy")?.to_str()?.to_owned();
    ensure!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    let page = answer.body_mut().read_to_string()?;
    ensure!(
        page.contains(&format!("<tr data-source=\"{}\">", source.name)) && page.contains("active for"),
        "{page}"
    );
    for outside in [" src=", "@import", "url(", "href=\"http"] {
        ensure!(!page.contains(outside), "the page asks for something outside: {outside}");
    }
    let status = wait_until("the source on the page", SOON, || {
        let mut answer =
            ureq::get(format!("{}/status.json", databus.admin_url())).call().map_err(Not::yet)?;
        let status: Value =
            serde_json::from_str(&answer.body_mut().read_to_string().map_err(Not::yet)?).map_err(Not::yet)?;
        let shown = status["sources"][0].clone();
        if shown["lag_bytes"].is_u64() && shown["rows_total"] == 1 {
            Ok(shown)
        } else {
            Err(Not::Yet(status.to_string()))
        }
    })?;
    ensure!(status["state"] == "active" && status["never_purged"] == true && status["seq"] == 1, "{status}");
    ensure!(status["file"].is_string() && status["age_ms"]["p99"].is_u64(), "{status}");
    Ok(())
}

#[test]
fn a_binlog_that_is_needed_and_soon_removed_is_warned_of_before_scenario_4() -> Result<()> {
    let mut stack = Stack::start(fresh("databus-purge-near").only(&[Part::MariaDb, Part::Kafka]))?;
    let kafka = stack.kafka.take().context("the stack has no broker")?;
    let source = Source::new(&stack, COLUMNS)?;
    source.sql("SET GLOBAL binlog_expire_logs_seconds = 3600")?;
    let databus = source.deployment.clone().env("LOG_FORMAT", "json").databus()?;
    source.sql("INSERT INTO entry VALUES (1, 'one')")?;
    wait_until("the first change", SOON, || match databus.metric("databus_seq") {
        Ok(Some(1.0)) => Ok(()),
        other => Err(Not::Yet(format!("{other:?}"))),
    })?;
    ensure!(!databus.log()?.contains("still needed"), "a warning without need");
    // nothing can be published any more, and the source goes on to another file
    drop(kafka);
    source.sql("FLUSH BINARY LOGS; INSERT INTO entry VALUES (2, 'two')")?;
    wait_until("the warning", SOON, || {
        match (databus.log(), databus.metric("databus_time_to_purge_seconds")) {
            (Ok(log), Ok(Some(left)))
                if log.contains("still needed") && left > 3_000.0 && left <= 3_600.0 =>
            {
                Ok(())
            }
            (log, left) => Err(Not::Yet(format!("{left:?}: {log:?}"))),
        }
    })?;
    // whoever collects the lines of many sources tells them apart by this field
    for line in databus.log()?.lines() {
        let entry: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
        let of_the_process = ["service_kit::admin", "service_kit::shutdown"];
        let target = entry["target"].as_str().unwrap_or_default();
        ensure!(
            entry["source"] == source.name.as_str() || of_the_process.contains(&target),
            "no source in {line}"
        );
    }
    Ok(())
}
