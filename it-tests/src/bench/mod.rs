//! From the binlog to a Kafka topic: databus and its peers on one MariaDB and one Kafka, one after the other.
//!
//! Each program is first started on a nearly empty table, so that it has stored where it is, and stopped. Then a
//! backlog is written once, and each program in turn is started, timed until the backlog's last row is in its topic,
//! and stopped. Their order changes from run to run.

mod chart;
mod drain;
mod ground;
mod latency;
mod machine;
mod report;
mod results;
mod rows;
mod subject;
mod tail;
mod usage;

use anyhow::Context;
use drain::drain;
use ground::Ground;
use it_tests::options::BenchOptions;
use latency::latency;
use results::{Results, Workload};
use subject::{Subject, Trial};

/// Runs the bench and writes its page.
pub(crate) fn run(options: &BenchOptions) -> anyhow::Result<()> {
    let started = machine::load_average();
    println!("load before the start: {started}");
    let mut ground = Ground::start(options.run_dir.as_deref())?;
    let facts = machine::facts(&ground)?;
    let subjects: Vec<Subject> = std::iter::once(Subject::Databus)
        .chain(options.peers.0.iter().map(|peer| Subject::Peer(*peer)))
        .collect();
    let mut trials: Vec<Trial> = Vec::new();
    for subject in subjects {
        println!("{}: first start", subject.name());
        trials.push(Trial::prepare(subject, &mut ground).with_context(|| subject.name())?);
    }
    let mut results = Results::new(facts, started);
    for run in 0..options.runs {
        println!("run {} of {}", run + 1, options.runs);
        for workload in [Workload::Thousands, Workload::Singles] {
            let (rows, per_transaction) = match workload {
                Workload::Thousands => (options.rows, 1000),
                Workload::Singles => (options.single_rows, 1),
            };
            if rows == 0 {
                continue;
            }
            ground.backlog(rows, per_transaction)?;
            for trial in &mut trials {
                let name = trial.subject().name();
                let drained = drain(trial, &mut ground).with_context(|| format!("{name}, {workload}"))?;
                println!("  {name:<10} {workload}: {drained}");
                results.drained(name, workload, drained);
            }
        }
        if options.latency_secs > 0 {
            for trial in &mut trials {
                let name = trial.subject().name();
                let latency = latency(trial, &mut ground, options.latency_secs)
                    .with_context(|| format!("{name}, latency"))?;
                println!("  {name:<10} {latency}");
                results.delayed(name, latency);
            }
        }
        // nobody is always the one that finds the caches cold
        trials.rotate_left(1);
        // a later run that fails takes nothing back
        report::write(&results, options)?;
    }
    println!("{}", report::page(&results, options));
    println!("written to {}", options.out().join("benchmarks.md").display());
    Ok(())
}
