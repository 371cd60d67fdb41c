//! `databus snapshot`: asks the running databus to read a table, and shows how far it is.

use super::chunk::{ChunkReader, ReadError};
use crate::publish::{self, Heard, Request};
use anyhow::{Context, bail};
use change_event::checkpoint::{SnapshotCause, TableSnapshot};
use pipeline_config::{Config, Source};
use service_kit::{Shutdown, process::usage};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// How often the progress is told at most.
const TELL: Duration = Duration::from_secs(1);

/// What the operator asks for.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The source, where several capture the table.
    pub source: Option<String>,
    /// `database.table`.
    pub table: String,
    /// An SQL predicate over the table's columns; `None`: all rows.
    pub filter: Option<String>,
    /// Whether to stay until it is done.
    pub wait: bool,
}

/// Checks the request with the server, hands it to the running databus, and follows it if asked to.
pub async fn request(config: Config, wanted: Wanted, shutdown: Shutdown) -> anyhow::Result<()> {
    let source = Arc::new(source_of(&config, &wanted)?.clone());
    let password = source.login.password.resolve().map_err(usage)?;
    let (database, table) =
        wanted.table.split_once('.').context("wanted a table as database.table").map_err(usage)?;
    let id = format!("request-{}", time::OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000);
    let snapshot = TableSnapshot {
        id: id.clone(),
        database: database.to_owned(),
        table: table.to_owned(),
        cause: SnapshotCause::Request,
        filter: wanted.filter.clone(),
        begun: false,
        after: None,
        rows: 0,
        chunks: 0,
    };
    let mut reader = ChunkReader::new(source.clone(), password, &snapshot);
    let rows = match reader.check_filter().await {
        Ok(()) => reader.estimate().await?,
        Err(error @ ReadError::Filter(_)) => return Err(usage(error)),
        Err(error) => return Err(error.into()),
    };
    drop(reader);
    let request = Request { table: wanted.table.clone(), filter: wanted.filter };
    let name = source.name.to_string();
    let following = move || -> anyhow::Result<()> {
        let followed = publish::send(&config.kafka, &name, &id, &request)?;
        println!("{id}");
        if !wanted.wait {
            return Ok(());
        }
        let mut told: Option<Instant> = None;
        eprintln!("{}: waiting for the databus of source {name}", wanted.table);
        while !shutdown.is_requested() {
            match followed.next()? {
                Heard::Answered(outcome) if outcome.starts_with("done") => {
                    eprintln!("{}: {outcome}", wanted.table);
                    return Ok(());
                }
                Heard::Answered(outcome) => bail!("{}: {outcome}", wanted.table),
                Heard::Progress(snapshot) if told.is_none_or(|told| told.elapsed() >= TELL) => {
                    told = Some(Instant::now());
                    let left = rows.saturating_sub(snapshot.rows);
                    eprintln!(
                        "{}: {} rows in {} chunks, about {left} rows to go",
                        wanted.table, snapshot.rows, snapshot.chunks
                    );
                }
                Heard::Progress(_) | Heard::Nothing => {}
            }
        }
        eprintln!("{}: the snapshot goes on without this command", wanted.table);
        Ok(())
    };
    tokio::task::spawn_blocking(following).await?
}

fn source_of<'a>(config: &'a Config, wanted: &Wanted) -> anyhow::Result<&'a Source> {
    let captures = |source: &&Source| {
        let named = wanted.source.as_ref().is_none_or(|name| *name == *source.name);
        named
            && wanted.table.split_once('.').is_some_and(|(database, table)| source.captures(database, table))
    };
    let found: Vec<_> = config.sources.iter().filter(captures).collect();
    match found.as_slice() {
        [source] => Ok(source),
        [] => Err(usage(anyhow::anyhow!("no source of the configuration captures table {}", wanted.table))),
        several => {
            let names: Vec<_> = several.iter().map(|source| source.name.to_string()).collect();
            Err(usage(anyhow::anyhow!(
                "sources {} capture table {}: say which with --source",
                names.join(", "),
                wanted.table
            )))
        }
    }
}
