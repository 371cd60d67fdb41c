//! `benchmarks.md`: tables of medians and ratios.

use super::chart;
use super::results::{Results, Workload};
use super::subject::Subject;
use anyhow::Context;
use it_tests::options::BenchOptions;
use std::fmt::Write;
use std::fs;

/// Writes the page, the chart, and all figures as JSON.
pub(super) fn write(results: &Results, options: &BenchOptions) -> anyhow::Result<()> {
    let folder = options.out().join("benchmarks");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    fs::write(options.out().join("benchmarks.md"), page(results, options))?;
    fs::write(folder.join("databus.json"), serde_json::to_vec_pretty(results)?)?;
    chart::write(results, &subjects(options), &folder.join("databus.svg"))
}

/// databus first, then its peers as they were named.
fn subjects(options: &BenchOptions) -> Vec<Subject> {
    std::iter::once(Subject::Databus).chain(options.peers.0.iter().map(|peer| Subject::Peer(*peer))).collect()
}

/// The whole page.
pub(super) fn page(results: &Results, options: &BenchOptions) -> String {
    let subjects = subjects(options);
    let mut page = format!(
        "# Benchmarks\n\nMade by `cargo xtask bench databus --rows {} --single-rows {} --latency-secs {} --runs {}`; medians. All programs read one MariaDB\n\
         and write to one Kafka on one machine, one after the other, in an order that changes from run to run; what counts is the ratio, not the figure.\n\n",
        options.rows, options.single_rows, options.latency_secs, options.runs
    );
    for fact in &results.facts {
        let _ = writeln!(page, "- {fact}");
    }
    for subject in &subjects {
        let _ = writeln!(page, "- {}", subject.described());
    }
    let _ = writeln!(
        page,
        "- load average before the start {}; at most {:.2} cores were busy with other work during a measurement\n\n![Chart](benchmarks/databus.svg)",
        results.load_before,
        results.other_cores()
    );
    for (workload, rows) in [(Workload::Thousands, options.rows), (Workload::Singles, options.single_rows)] {
        if rows > 0 {
            page += &drain_table(results, &subjects, workload, rows);
        }
    }
    if options.latency_secs > 0 {
        page += &latency_table(results, &subjects);
    }
    page + METHOD
}

fn drain_table(results: &Results, subjects: &[Subject], workload: Workload, rows: u64) -> String {
    let mut table = format!(
        "\n## Backlog of {rows} rows in {workload}\n\n\
         | | rows/s | databus's are | CPU s | databus's are | broker's CPU s | peak RSS MiB | databus's are | first record after start, s |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|\n"
    );
    for subject in subjects {
        let name = subject.name();
        let figure = |figure: fn(&super::drain::Drained) -> f64| {
            let of = |name| results.drain(name, workload, figure);
            (of(name), of("databus"))
        };
        let (rate, cpu, rss) = (figure(|d| d.rows_per_s), figure(|d| d.cpu_s), figure(|d| d.peak_mib));
        let _ = writeln!(
            table,
            "| {name} | {} | {} | {} | {} | {} | {} | {} | {} |",
            shown(rate.0, 0),
            times(rate),
            shown(cpu.0, 2),
            part(cpu),
            shown(figure(|d| d.broker_cpu_s).0, 2),
            shown(rss.0, 0),
            part(rss),
            shown(figure(|d| d.first_record_s).0, 2),
        );
    }
    table
}

fn latency_table(results: &Results, subjects: &[Subject]) -> String {
    let mut table = format!(
        "\n## Commit to visible at {} transactions a second\n\n| | p50 ms | p99 ms | longest ms | rate reached |\n|---|--:|--:|--:|--:|\n",
        super::latency::RATE
    );
    for subject in subjects {
        let of = |figure: fn(&super::latency::Delay) -> f64| shown(results.delay(subject.name(), figure), 1);
        let _ = writeln!(
            table,
            "| {} | {} | {} | {} | {} |",
            subject.name(),
            of(|d| d.p50_ms),
            of(|d| d.p99_ms),
            of(|d| d.max_ms),
            shown(results.delay(subject.name(), |d| d.rate), 0)
        );
    }
    table
}

fn shown(figure: Option<f64>, digits: usize) -> String {
    figure.map_or_else(|| "-".to_owned(), |figure| format!("{figure:.digits$}"))
}

/// By how much databus's figure is the larger.
fn times((theirs, ours): (Option<f64>, Option<f64>)) -> String {
    match (theirs, ours) {
        (Some(theirs), Some(ours)) if theirs > 0.0 => format!("{:.1}x", ours / theirs),
        _ => "-".to_owned(),
    }
}

/// By how much databus's figure is the smaller.
fn part((theirs, ours): (Option<f64>, Option<f64>)) -> String {
    match (theirs, ours) {
        (Some(theirs), Some(ours)) if ours > 0.0 => format!("1/{:.1}", theirs / ours),
        _ => "-".to_owned(),
    }
}

const METHOD: &str = "
## How it is measured

- The table has 12 columns: BIGINT, VARCHAR, TINYINT, DECIMAL, CHAR, ENUM, DATETIME(6); about 160 bytes a row in the binlog. All rows are inserts.
- Each program has stored its position before the backlog is written, and is started after. `rows/s`: from its first record that a `read_committed`
  reader can see to the one with the last row. `CPU s`: its own processes from their start to that record, a JVM's warm-up included. `first record
  after start` is thereby also the time to the first record after a restart.
- Visible: a `read_committed` reader in the bench's own process has the record; from the moment that the commit's answer was there; the first tenth of
  the rows does not count. Linger is 5 ms in all peers.
- Peers' records are theirs: Debezium's envelope with before, after and source as databus's, Maxwell's and go-mysql's flat.
- After each backlog the records are counted: databus's are exactly the rows, the others' at least.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_say_how_databus_compares() {
        assert_eq!(times((Some(50.0), Some(200.0))), "4.0x");
        assert_eq!(part((Some(50.0), Some(5.0))), "1/10.0");
        assert_eq!(times((None, Some(1.0))), "-");
    }
}
