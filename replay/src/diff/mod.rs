//! `replay diff`: the ledger against the bill store and the bill index.

mod compare;
mod cursor;
mod expected;
mod index;
mod report;
mod row;
mod store;

use anyhow::{Context as _, anyhow};
use change_event::{Timestamp, stage2::Bill};
use indicatif::{ProgressBar, ProgressStyle};
use pipeline_config::{Config, Pipeline, Side};
use sqlx::MySqlPool;
use sync_worker::{
    mapping::{Mapper, TableShapes, validate},
    mysql,
    sink::elasticsearch::BillIndex,
};

pub use report::{Difference, Kind, Report, Sink};

use cursor::Cursor;

/// What to compare, and how much to show.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which bills.
    pub window: Window,
    /// Most differences to keep; all are counted.
    pub limit: usize,
}

/// A span of occurred-at times: `from` is in it, `to` is not.
#[derive(Clone, Copy, Debug, Default)]
pub struct Window {
    /// First moment.
    pub from: Option<Timestamp>,
    /// First moment after it.
    pub to: Option<Timestamp>,
}

impl Window {
    fn holds(&self, at: Timestamp) -> bool {
        self.from.is_none_or(|from| from <= at) && self.to.is_none_or(|to| at < to)
    }
}

/// What a source row should have become on one side.
enum Expected {
    Bill(Box<Bill>),
    /// It should have become a bill and cannot; why.
    Refused(String),
}

/// A live bill as a sink holds it.
struct Held {
    bill: Bill,
    version: i64,
}

struct Parts<'a> {
    config: &'a Config,
    mapper: Mapper,
    shapes: TableShapes,
    store: MySqlPool,
    index: Option<BillIndex>,
}

/// Compares every side of every pipeline. Needs SELECT on the sources and the bill store, and read on the index.
pub async fn run(config: &Config, options: &Options) -> anyhow::Result<Report> {
    let shapes = mysql::live_shapes(config).await?;
    if let Some(misfit) = validate::check(&config.pipelines, &shapes).first() {
        return Err(anyhow!(misfit.to_string()));
    }
    let store = mysql::store_pool(&config.store)?;
    mysql::check_store(&store, &config.store).await?;
    let index = config.index.as_ref().map(BillIndex::new).transpose()?;
    if let Some(index) = &index {
        index.check().await?;
    }
    let mapper = Mapper::new(&config.pipelines, &shapes);
    let parts = Parts { config, mapper, shapes, store, index };
    let mut report = Report::new(parts.index.is_some(), options.limit);
    let bar = ProgressBar::no_length().with_style(
        ProgressStyle::with_template("{spinner} {msg}: {human_pos} bills in {elapsed}, {per_sec}")
            .context("progress style")?,
    );
    for pipeline in &config.pipelines {
        for side in &pipeline.sides {
            bar.set_message(format!("{} {}", pipeline.name, side.name));
            compare_side(&parts, pipeline, side, &options.window, &mut report, &bar)
                .await
                .with_context(|| format!("compare pipeline {}, side {}", pipeline.name, side.name))?;
        }
    }
    bar.finish_and_clear();
    Ok(report)
}

async fn compare_side(
    parts: &Parts<'_>,
    pipeline: &Pipeline,
    side: &Side,
    window: &Window,
    report: &mut Report,
    bar: &ProgressBar,
) -> anyhow::Result<()> {
    let mut expected = Cursor::new(expected::read(parts, pipeline, side).await?);
    let mut store = Cursor::new(store::read(parts, pipeline, side));
    let mut index = match &parts.index {
        Some(index) => Some(Cursor::new(index::read(index, pipeline, side).await?)),
        None => None,
    };
    loop {
        let in_index = match &mut index {
            Some(index) => index.peek().await?,
            None => None,
        };
        let keys = [expected.peek().await?, store.peek().await?, in_index];
        let Some(bill_id) = keys.into_iter().flatten().min() else { return Ok(()) };
        let should = expected.take(&bill_id);
        let in_store = store.take(&bill_id);
        let in_index = index.as_mut().map(|index| index.take(&bill_id));
        if compare::in_window(window, &should, &in_store, in_index.as_deref()) {
            compare::bill(&bill_id, &should, &in_store, in_index.as_deref(), report);
        }
        bar.inc(1);
    }
}
