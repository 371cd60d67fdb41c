//! `databus position set` and `reset`: an operator's hand on the checkpoint. Everything is verified against the live server first, and
//! written as the daemon writes: by the source's only producer, which fences whoever runs.

use super::{
    plan::{self, Standing, Towards},
    source_named,
};
use crate::{
    error::DatabusError,
    output::print,
    publish::{Publisher, Reader, Stage1},
    source::{
        Examination, Retention, Server, Sought, Spot, TransportError, between, confirm, connect, examine,
        find,
    },
};
use anyhow::Context;
use change_event::checkpoint::{BinlogPosition, Checkpoint};
use pipeline_config::{Config, Source};
use secrecy::SecretString;
use service_kit::process::{usage, with_code};
use sqlx::MySqlConnection;

/// Where the checkpoint is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A file and an offset in it.
    Position(BinlogPosition),
    /// Behind this transaction.
    Gtid(String),
    /// The oldest binlog that the source still has.
    Oldest,
    /// The end of its binlog.
    End,
}

/// A move of the checkpoint.
#[derive(Debug, Clone)]
pub struct Change {
    /// The source's name.
    pub source: String,
    /// Where to.
    pub to: Target,
    /// Begin a new numbering.
    pub raise_epoch: bool,
    /// Do it; else only say what would be done.
    pub execute: bool,
}

/// Says what the move means, and makes it if asked to.
pub async fn change(config: &Config, change: Change) -> anyhow::Result<()> {
    let source = source_named(config, &change.source)?;
    let password = source.login.password.resolve().map_err(usage)?;
    let mut at = Desk::open(config, source, &password).await?;
    let spot = at.spot(&change.to).await?;
    let standing = at.standing(&spot).await?;
    let next = plan::next(&standing, at.server.identity.clone(), &spot, change.raise_epoch)?;
    print(&plan::describe(&change.source, &standing, &next))?;
    if !change.execute {
        return Ok(print("dry run: nothing was changed; add --execute to do it\n")?);
    }
    Stage1::open(&config.kafka, &source.name).await?;
    // whoever runs this source is fenced by this, and only then is it certain how far they got
    let mut publisher = tokio::task::block_in_place(|| {
        Publisher::prepare(&config.kafka, &source.name).and_then(Publisher::take_over)
    })
    .map_err(|error| coded(error.into()))?;
    let now = at.standing(&spot).await?;
    let next = plan::next(&now, at.server.identity.clone(), &spot, change.raise_epoch)
        .context("the source was published further while this was planned; nothing was changed")?;
    if now.checkpoint != standing.checkpoint {
        print("the source was published further meanwhile; what is done now:\n")?;
        print(&plan::describe(&change.source, &now, &next))?;
    }
    tokio::task::block_in_place(|| publisher.commit(&next)).map_err(|error| coded(error.into()))?;
    print("done. A databus that ran this source has been fenced (it ends with code 10); start it again\n")?;
    Ok(())
}

fn coded(error: DatabusError) -> anyhow::Error {
    with_code(error.exit_code(), error)
}

/// Everything that answers questions.
struct Desk<'a> {
    config: &'a Config,
    source: &'a Source,
    password: &'a SecretString,
    server: Server,
    connection: MySqlConnection,
    retention: Retention,
}

impl<'a> Desk<'a> {
    async fn open(
        config: &'a Config,
        source: &'a Source,
        password: &'a SecretString,
    ) -> anyhow::Result<Self> {
        let Examination { server, findings, .. } = examine(source, password).await?;
        let Some(server) = server else {
            anyhow::bail!(
                "the source does not tell its binlog: {}; `databus check` says more",
                findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
            );
        };
        let mut connection = connect(source, password).await.context("ask the source")?;
        let retention =
            Retention::ask(&mut connection).await.context("ask the source for its binlog files")?;
        Ok(Self { config, source, password, server, connection, retention })
    }

    async fn spot(&mut self, to: &Target) -> anyhow::Result<Spot> {
        let sought = match to {
            Target::Position(at) => Sought::Position(at.clone()),
            Target::Gtid(gtid) => Sought::Gtid(gtid.clone()),
            Target::Oldest => {
                Sought::Position(self.retention.oldest().context("the source has no binlog file")?)
            }
            Target::End => Sought::Position(self.retention.end().context("the source has no binlog file")?),
        };
        Ok(find(&mut self.connection, &self.retention, &sought).await?)
    }

    async fn standing(&mut self, spot: &Spot) -> anyhow::Result<Standing> {
        let (kafka, name) = (&self.config.kafka, self.source.name.as_str());
        let (checkpoint, last_change) = tokio::task::block_in_place(|| {
            let checkpoint =
                Stage1::look(kafka, name)?.map_or(Ok(None), |stage1| stage1.last_checkpoint())?;
            let last = Reader::open(kafka, name)?.map_or(Ok(None), |reader| reader.last_version())?;
            Ok::<_, crate::publish::PublishError>((checkpoint, last))
        })?;
        let towards = match &checkpoint {
            None => Towards::Nothing,
            Some(checkpoint) => self.towards(checkpoint, spot).await?,
        };
        Ok(Standing { checkpoint, last_change, towards })
    }

    async fn towards(&mut self, from: &Checkpoint, spot: &Spot) -> anyhow::Result<Towards> {
        match confirm(self.source, self.password, from).await {
            Ok(_) => {}
            Err(TransportError::Lost(cause)) => anyhow::bail!("ask the source: {cause}"),
            Err(lost) => return Ok(Towards::Elsewhere(lost.to_string())),
        }
        // the daemon may have gone beyond what was there when we first asked
        self.retention = Retention::ask(&mut self.connection).await?;
        let (from, to) = (&from.position, &spot.position);
        if from == to {
            return Ok(Towards::Same);
        }
        let (first, last, back) = match self.retention.bytes_between(from, to) {
            Some(_) => (from, to, false),
            None => (to, from, true),
        };
        let passage = between(&mut self.connection, &self.retention, self.source, first, last).await?;
        // the end of a file and the start of the next are one place
        Ok(match (passage.transactions, back) {
            (0, _) => Towards::Same,
            (_, false) => Towards::Ahead(passage),
            (_, true) => Towards::Back(passage),
        })
    }
}
