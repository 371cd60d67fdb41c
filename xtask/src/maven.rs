//! Kafka, Elasticsearch and Flink's JSON format from Maven Central, through the `mvn` of this machine as it is configured.

use crate::place::into_place;
use anyhow::{Context, bail, ensure};
use it_tests::harness::paths::{
    ELASTICSEARCH_VERSION, FLINK_VERSION, KAFKA_VERSION, elasticsearch_home, flink_lib, java_home, kafka_lib,
    repo_root,
};
use std::path::Path;
use std::process::{Command, Stdio};

const PLUGIN: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1";

/// Whether the broker's jars are there.
pub(crate) fn has_kafka() -> bool {
    kafka_lib().is_dir()
}

/// Copies the broker's jars into `.cache/`.
pub(crate) fn fetch_kafka() -> anyhow::Result<()> {
    project_jars("parts/kafka", &kafka_lib(), &format!("-Dkafka.version={KAFKA_VERSION}"))
}

/// Whether the jars of Flink's format are there.
pub(crate) fn has_flink() -> bool {
    flink_lib().is_dir()
}

/// Copies the jars of Flink's format into `.cache/`.
pub(crate) fn fetch_flink() -> anyhow::Result<()> {
    project_jars("jvm/flink-reader", &flink_lib(), &format!("-Dflink.version={FLINK_VERSION}"))
}

/// Copies what a pom of it-tests depends on.
fn project_jars(project: &str, target: &Path, version: &str) -> anyhow::Result<()> {
    into_place(target, |fresh| {
        let pom = repo_root().join("it-tests").join(project).join("pom.xml");
        copy_jars(&pom, fresh, fresh, &[version])?;
        Ok(fresh.to_path_buf())
    })
}

/// Copies the jars that a pom names, and theirs, to `to`; maven works in `dir`.
pub(crate) fn copy_jars(pom: &Path, dir: &Path, to: &Path, options: &[&str]) -> anyhow::Result<()> {
    let mut args = vec![
        format!("--file={}", pom.display()),
        format!("{PLUGIN}:copy-dependencies"),
        "-DincludeScope=runtime".to_owned(),
        format!("-DoutputDirectory={}", to.display()),
    ];
    args.extend(options.iter().map(|option| (*option).to_owned()));
    mvn(dir, &args)
}

/// Whether the distribution is there.
pub(crate) fn has_elasticsearch() -> bool {
    elasticsearch_home().is_dir()
}

/// Unpacks the distribution into `.cache/`.
pub(crate) fn fetch_elasticsearch() -> anyhow::Result<()> {
    into_place(&elasticsearch_home(), |fresh| {
        let zip = "org.elasticsearch.distribution.integ-test-zip:elasticsearch";
        // without a pom the plugin takes the working folder for its project, and notes there what it has unpacked;
        // a note that outlived the unpacked files would make it do nothing
        mvn(
            fresh,
            &[
                format!("{PLUGIN}:unpack"),
                format!("-Dartifact={zip}:{ELASTICSEARCH_VERSION}:zip"),
                format!("-DoutputDirectory={}", fresh.display()),
            ],
        )?;
        let unpacked = fresh.join(format!("elasticsearch-{ELASTICSEARCH_VERSION}"));
        // the archive hides its config files from all but their owner; other users of this copy read them too
        let status = Command::new("chmod").args(["-R", "a+rX"]).arg(&unpacked).status()?;
        ensure!(status.success(), "cannot make {} readable for all: {status}", unpacked.display());
        Ok(unpacked)
    })
}

fn mvn(dir: &Path, args: &[String]) -> anyhow::Result<()> {
    let output = Command::new("mvn")
        .args(["--batch-mode", "--no-transfer-progress", "--quiet"])
        .args(args)
        .env("JAVA_HOME", java_home()?)
        .current_dir(dir)
        .stdin(Stdio::null())
        .output()
        .context("cannot start mvn")?;
    if output.status.success() {
        return Ok(());
    }
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let hint = if text.contains("No space left") {
        "the disk is full; free some space and run again"
    } else if text.contains("Could not transfer") || text.contains("Unknown host") || text.contains("Connect")
    {
        "maven cannot reach its repository; check the network (and ~/.m2/settings.xml for a proxy) and run again"
    } else {
        "see maven's own words below"
    };
    let first: Vec<&str> = text.lines().filter(|line| line.contains("ERROR")).take(5).collect();
    bail!("mvn ended with {}: {hint}\n{}", output.status, first.join("\n"))
}
