//! Metric names, units and labels of sync-worker, described once.

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry,
    exponential_buckets,
};

/// Everything sync-worker counts. Clones share the counters.
#[derive(Clone)]
pub struct Metrics {
    /// Served at `/metrics`.
    pub registry: Registry,
    /// Input records by group: read.
    pub records: IntCounterVec,
    /// Marks (records without a value) passed over, by group.
    pub marks: IntCounterVec,
    /// Bill records that the router wrote, by source and op.
    pub routed: IntCounterVec,
    /// Records per Kafka transaction of the router.
    pub router_batch: Histogram,
    /// Folded bills per write, by group.
    pub batch: HistogramVec,
    /// Seconds per write to a sink, by group.
    pub write_seconds: HistogramVec,
    /// Failed writes that are tried again, by group.
    pub retries: IntCounterVec,
    /// 1 while a sink's consumption is paused because the sink is down or slow.
    pub paused: IntGaugeVec,
    /// Records between the group's position and the end of its topic, over the partitions this process has.
    pub lag: IntGaugeVec,
    /// Partitions this process has, by group.
    pub partitions: IntGaugeVec,
    /// What was set aside, by stage, source and pipeline.
    pub set_aside: IntCounterVec,
    /// What a later image healed, by stage and source.
    pub healed: IntCounterVec,
    /// What is set aside now, by stage and source, as the table has it.
    pub aside: IntGaugeVec,
    /// Kafka transactions of the router that were aborted and done again.
    pub aborts: IntCounter,
}

impl Metrics {
    /// A registry of its own with every metric in it.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let batches = exponential_buckets(1.0, 4.0, 8)?;
        let counters = |name: &str, help: &str, labels: &[&str]| {
            let counters = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counters.clone()))?;
            Ok::<_, prometheus::Error>(counters)
        };
        let gauges = |name: &str, help: &str, labels: &[&str]| {
            let gauges = IntGaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(gauges.clone()))?;
            Ok::<_, prometheus::Error>(gauges)
        };
        let histograms = |name: &str, help: &str, buckets: Vec<f64>| {
            let histograms = HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets), &["group"])?;
            registry.register(Box::new(histograms.clone()))?;
            Ok::<_, prometheus::Error>(histograms)
        };
        let router_batch = Histogram::with_opts(
            HistogramOpts::new(
                "sync_worker_router_batch_records",
                "input records per transaction of the router",
            )
            .buckets(batches.clone()),
        )?;
        registry.register(Box::new(router_batch.clone()))?;
        let aborts =
            IntCounter::new("sync_worker_router_aborts_total", "transactions aborted and done again")?;
        registry.register(Box::new(aborts.clone()))?;
        Ok(Self {
            records: counters("sync_worker_records_read_total", "input records read", &["group"])?,
            marks: counters(
                "sync_worker_marks_passed_total",
                "input records without a value, passed over",
                &["group"],
            )?,
            routed: counters(
                "sync_worker_bills_routed_total",
                "bill records written to stage 2",
                &["source", "op"],
            )?,
            batch: histograms("sync_worker_write_bills", "bills per write, after folding", batches)?,
            write_seconds: histograms(
                "sync_worker_write_seconds",
                "seconds per write",
                exponential_buckets(0.0005, 2.0, 16)?,
            )?,
            retries: counters(
                "sync_worker_write_retries_total",
                "failed writes that are tried again",
                &["group"],
            )?,
            paused: gauges("sync_worker_paused", "1 while consumption waits for the sink", &["group"])?,
            lag: gauges(
                "sync_worker_lag_records",
                "records between position and end of the topic",
                &["group"],
            )?,
            partitions: gauges("sync_worker_assigned_partitions", "partitions this process has", &["group"])?,
            set_aside: counters(
                "sync_worker_quarantined_total",
                "rows that cannot become a bill, and bills that a sink never takes",
                &["stage", "source", "pipeline"],
            )?,
            healed: counters(
                "sync_worker_quarantine_healed_total",
                "what a later image healed",
                &["stage", "source"],
            )?,
            aside: gauges("sync_worker_quarantine_open", "what is set aside now", &["stage", "source"])?,
            router_batch,
            aborts,
            registry,
        })
    }
}
