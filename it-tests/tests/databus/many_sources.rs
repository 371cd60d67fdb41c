//! Several sources in one databus: what happens to one of them leaves the others as they were.

use super::{SOON, Source, assert_dense, last_lines, stack};
use crate::shared::unique;
use anyhow::{Context, Result, ensure};
use it_tests::harness::{Daemon, Fault, Not, PipelinesToml, Proxy, Service, http::get_ok, wait_until};
use std::time::Duration;

const COLUMNS: &str = "id INT PRIMARY KEY, note VARCHAR(40) NOT NULL";

/// A metric of one source, in one state where it has states.
fn metric(databus: &Daemon, name: &str, source: &str, more: &str) -> Result<f64> {
    let text = databus.metrics()?;
    let line = text
        .lines()
        .find(|line| {
            line.starts_with(&format!("{name}{{"))
                && line.contains(&format!("source=\"{source}\""))
                && line.contains(more)
        })
        .with_context(|| format!("no {name} of {source} {more}"))?;
    Ok(line.rsplit_once(' ').context("a metric without a value")?.1.parse()?)
}

/// Two sources of one process: the first direct, the second, a copy of the first one's section, through a proxy.
struct Two<'a> {
    direct: Source<'a>,
    proxied: String,
    proxy: Proxy,
}

impl Two<'_> {
    fn new() -> Result<Self> {
        let mut direct = Source::new(stack()?, COLUMNS)?;
        let mariadb = direct.stack.mariadb()?;
        let proxy = Proxy::start(mariadb.address())?;
        let proxied = unique("far");
        mariadb.create_database(&proxied)?;
        mariadb.sql(&format!("CREATE TABLE {proxied}.entry ({COLUMNS})"))?;
        direct.deployment.edit(|file| {
            let section = format!("source.{}", direct.name);
            let text = file.text();
            let from = text.find(&format!("[{section}]")).context("no section")?;
            let to = text[from + 1..].find("\n[").map_or(text.len(), |end| from + 1 + end);
            let copy = text[from..to].replace(&direct.name, &proxied);
            *file = PipelinesToml::from_text(&format!("{text}\n{copy}\n"));
            let section = format!("source.{proxied}");
            file.set(&section, "port", &proxy.address().port().to_string())?;
            file.set(&section, "server_id", &(proxy.address().port()).to_string())?;
            Ok(())
        })?;
        Ok(Self { direct, proxied, proxy })
    }

    fn far_sql(&self, statements: &str) -> Result<String> {
        self.direct.stack.mariadb()?.sql(&format!("USE {};\n{statements}", self.proxied))
    }

    fn wait_for_far_changes(&self, count: usize) -> Result<()> {
        let brokers = self.direct.stack.kafka_brokers()?;
        let topic = format!("changes.{}", self.proxied);
        let changes =
            wait_until(
                &format!("{count} changes of the far source"),
                SOON,
                || match it_tests::topic::read_all(&brokers, &topic) {
                    Ok(records) if records.len() == count => Ok(records),
                    Ok(records) => Err(Not::Yet(format!("{} changes", records.len()))),
                    Err(error) => Err(Not::yet(error)),
                },
            )?;
        assert_dense(&changes.into_iter().filter_map(|record| record.value).collect::<Vec<_>>()).map(drop)
    }
}

#[test]
fn a_source_that_hangs_leaves_the_others_lag_as_it_was_g2() -> Result<()> {
    let two = Two::new()?;
    let databus = two.direct.deployment.databus()?;
    two.far_sql("INSERT INTO entry VALUES (1, 'before')")?;
    two.wait_for_far_changes(1)?;
    two.proxy.set(Fault::Freeze);
    two.far_sql("INSERT INTO entry VALUES (2, 'while it hangs')")?;
    // the near one goes on, change after change, until the far one is known to be away
    let mut id = 0;
    let mut worst: f64 = 0.0;
    wait_until("the far source to be told as away", SOON, || {
        id += 1;
        two.direct.sql(&format!("INSERT INTO entry VALUES ({id}, 'near')")).map_err(Not::Ever)?;
        two.direct.wait_for_changes(id).map_err(Not::Ever)?;
        worst =
            worst.max(metric(&databus, "databus_lag_milliseconds", &two.direct.name, "").map_err(Not::Ever)?);
        match get_ok(&format!("{}/readyz", databus.admin_url()), Duration::from_secs(5)) {
            Err(error) if error.to_string().contains("does not answer") => Ok(()),
            other => Err(Not::Yet(format!("{other:?}"))),
        }
    })?;
    let far = metric(&databus, "databus_lag_milliseconds", &two.proxied, "")?;
    println!("{id} changes of the near source, worst lag {worst} ms; lag of the far one {far} ms");
    ensure!(worst < 5_000.0 && far >= 4_000.0, "near {worst} ms, far {far} ms");
    assert_dense(&two.direct.changes()?)?;
    two.proxy.set(Fault::None);
    two.wait_for_far_changes(2)
}

#[test]
fn a_definite_error_of_one_source_ends_that_one_alone_and_the_last_one_ends_the_process_g7() -> Result<()> {
    let two = Two::new()?;
    let mut databus = two.direct.deployment.databus()?;
    two.far_sql("INSERT INTO entry VALUES (1, 'before')")?;
    two.wait_for_far_changes(1)?;
    two.far_sql("ALTER TABLE entry DROP PRIMARY KEY; INSERT INTO entry VALUES (2, 'no key')")?;
    wait_until("the far source to have failed", SOON, || {
        match metric(&databus, "databus_source_state", &two.proxied, "state=\"failed\"") {
            Ok(1.0) => Ok(()),
            other => Err(Not::Yet(format!("{other:?}; log: {}", last_lines(&databus)))),
        }
    })?;
    // an answer of /readyz stands for a second
    wait_until("/readyz to say so", SOON, || {
        let body = get_ok(&format!("{}/readyz", databus.admin_url()), Duration::from_secs(5))
            .unwrap_or_else(|error| error.to_string());
        if body.contains("failed: ") && body.contains("503") { Ok(()) } else { Err(Not::Yet(body)) }
    })?;
    two.direct.sql("INSERT INTO entry VALUES (1, 'near')")?;
    assert_dense(&two.direct.wait_for_changes(1)?)?;
    ensure!(databus.process_mut().is_running(), "the process ended with one source left");
    two.direct.sql("ALTER TABLE entry DROP PRIMARY KEY; INSERT INTO entry VALUES (2, 'no key')")?;
    assert_eq!(databus.wait_exit()?, Some(1), "{}", last_lines(&databus));
    Ok(())
}
