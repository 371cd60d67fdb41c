//! `databus check`: everything that `run` would refuse, found before it runs. It reads; it writes nothing anywhere.

use crate::{
    output::{Output, print, print_json},
    publish::{KafkaExamination, inspect},
    source::{Examination, Finding, examine},
};
use pipeline_config::{Config, Source};
use serde_json::json;
use service_kit::process::usage;
use std::fmt::Write;

/// One source and what was found.
struct Checked<'a> {
    source: &'a Source,
    version: Option<String>,
    fine: Vec<String>,
    findings: Vec<Finding>,
}

/// Looks at every source and at Kafka and prints what is fine and what is not. An error if anything is not.
pub async fn check(config: &Config, output: Output) -> anyhow::Result<()> {
    let names: Vec<&str> = config.sources.iter().map(|source| source.name.as_str()).collect();
    let kafka = inspect(&config.kafka, &names).await;
    let mut sources = Vec::new();
    for source in &config.sources {
        let password = source.login.password.resolve().map_err(usage)?;
        let seen = examine(source, &password).await.unwrap_or_else(|error| Examination {
            findings: vec![Finding::new(error.to_string())],
            ..Examination::default()
        });
        let version = seen.server.map(|server| server.version);
        sources.push(Checked { source, version, fine: seen.fine, findings: seen.findings });
    }
    let wrong = kafka.findings.len() + sources.iter().map(|checked| checked.findings.len()).sum::<usize>();
    match output {
        Output::Text => print(&as_text(config, &kafka, &sources)),
        Output::Json => print_json(&as_json(config, &kafka, &sources, wrong == 0)),
    }?;
    anyhow::ensure!(wrong == 0, "check found {wrong} thing(s) to settle before `databus run`");
    Ok(())
}

fn address(source: &Source) -> String {
    format!("{}:{}", source.login.host, source.login.port)
}

fn as_text(config: &Config, kafka: &KafkaExamination, sources: &[Checked<'_>]) -> String {
    let mut text = String::new();
    let mut section = |title: String, fine: &[String], findings: &[String]| {
        // writing to a String cannot fail
        let _ = writeln!(text, "{title}");
        for line in fine {
            let _ = writeln!(text, "  ok    {line}");
        }
        for line in findings {
            let _ = writeln!(text, "  WRONG {line}");
        }
    };
    section(format!("kafka at {}", config.kafka.brokers), &kafka.fine, &kafka.findings);
    for checked in sources {
        let findings: Vec<String> = checked.findings.iter().map(|finding| finding.what.clone()).collect();
        section(
            format!("source {} at {}", checked.source.name, address(checked.source)),
            &checked.fine,
            &findings,
        );
    }
    for checked in sources {
        let _ = write!(text, "{}", statements(checked));
    }
    text
}

/// What to run on the server, ready to be copied.
fn statements(checked: &Checked<'_>) -> String {
    let fixes: Vec<&str> =
        checked.findings.iter().flat_map(|finding| finding.fix.iter().map(String::as_str)).collect();
    if fixes.is_empty() {
        return String::new();
    }
    let mut text = format!(
        "\n-- run on {} (source {}) as a user who may:\n",
        address(checked.source),
        checked.source.name
    );
    for fix in &fixes {
        let _ = writeln!(text, "{fix};");
    }
    let settings: Vec<&str> = fixes.iter().filter_map(|fix| fix.strip_prefix("SET GLOBAL ")).collect();
    if !settings.is_empty() {
        let _ = writeln!(
            text,
            "-- SET GLOBAL holds for new sessions and until the server restarts. To keep it, in the server's configuration:\n-- [mysqld]"
        );
        for setting in settings {
            let _ = writeln!(text, "-- {setting}");
        }
    }
    text
}

fn as_json(
    config: &Config,
    kafka: &KafkaExamination,
    sources: &[Checked<'_>],
    ok: bool,
) -> serde_json::Value {
    let sources: Vec<_> = sources
        .iter()
        .map(|checked| {
            let findings: Vec<_> = checked
                .findings
                .iter()
                .map(|finding| json!({ "what": finding.what, "fix": finding.fix }))
                .collect();
            json!({
                "name": checked.source.name.as_str(),
                "address": address(checked.source),
                "version": checked.version,
                "ok": findings.is_empty(),
                "fine": checked.fine,
                "findings": findings,
            })
        })
        .collect();
    json!({
        "ok": ok,
        "kafka": { "brokers": config.kafka.brokers, "ok": kafka.findings.is_empty(), "fine": kafka.fine, "findings": kafka.findings },
        "sources": sources,
    })
}
