//! Command line of `databus`.

use change_event::checkpoint::BinlogPosition;
use clap::{Parser, Subcommand, ValueEnum};
use databus::{Change, Form, From, Output, Target};
use std::path::PathBuf;

/// Tails the binlog of an accounting database into Kafka: every row change once, in commit order.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "exit codes: 0 stopped by a signal, 1 a definite error, 2 wrong usage or configuration, 10 another databus has taken over; the \
                  checkpoint's place is lost: 11 its binlog file is purged, 12 the binlog has another history, 13 another server answers, \
                  14 another reader uses our server_id, 15 the GTIDs do not continue"
)]
pub(crate) struct Cli {
    /// The configuration shared by all daemons.
    #[arg(long, global = true, default_value = "pipelines.toml")]
    pub(crate) config: PathBuf,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Stream until SIGTERM or SIGINT.
    Run,
    /// Check every source's settings, tables and rights, and Kafka; change nothing
    ///
    /// Prints what is fine and what is not, with the GRANT and SET statements to run. Exit code 0 if every source can be followed, else 1.
    #[command(
        after_help = "Example:\n  databus check --config /etc/databus/pipelines.toml\n  databus check --output json | jq '.sources[].findings[].fix[]'"
    )]
    Check {
        /// For people or for programs.
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// Print the changes of a source as readers see them
    ///
    /// Committed changes only. Ends with Ctrl-C, after --count, or when nobody reads the output any more.
    #[command(
        after_help = "Example:\n  databus tail --source accounting --table accounting.entry --from beginning --count 10\n  databus tail --source accounting --from seq:0:41 --output json | jq .after"
    )]
    Tail {
        /// The source's name in the configuration.
        #[arg(long)]
        source: String,
        /// Only this table, as database.table; may be given again.
        #[arg(long, value_name = "DB.TABLE")]
        table: Vec<String>,
        /// beginning, end, or seq:N (as records have it) or seq:EPOCH:COUNTER (as logs have it).
        #[arg(long, default_value = "end")]
        from: From,
        /// End after so many.
        #[arg(long)]
        count: Option<u64>,
        /// One readable line a change, or the records as they are.
        #[arg(long, value_enum, default_value_t)]
        output: Form,
    },
    /// Have the running databus read a table as it stands, beside the stream
    ///
    /// Prints the request's id. The request is durable: a databus that starts later takes it up, and one that is killed goes on with it.
    #[command(
        after_help = "Example:\n  databus snapshot --table accounting.entry --where \"created_at >= '2026-11-01'\" --wait\n\n\
                      --where is your own SQL over the table's columns. It is put into the SELECTs of the source's user as it stands; the server\n\
                      checks it first by SELECT 1 FROM table WHERE (predicate) LIMIT 0 in a read-only transaction."
    )]
    Snapshot {
        /// The source, where several capture the table.
        #[arg(long)]
        source: Option<String>,
        /// The table as database.table.
        #[arg(long)]
        table: String,
        /// Only rows for which this SQL predicate holds.
        #[arg(long = "where", value_name = "SQL")]
        filter: Option<String>,
        /// Stay until it is done, and show how far it is. Exit code 0 if it is done, else 1.
        #[arg(long)]
        wait: bool,
    },
    /// How far a source is published, and moving that by hand
    #[command(subcommand)]
    Position(Position),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Position {
    /// The checkpoint, where the source is, how far behind, and when the source removes what is still needed
    #[command(after_help = "Example:\n  databus position show --source accounting --output json")]
    Show {
        /// Only this source.
        #[arg(long)]
        source: Option<String>,
        /// For people or for programs.
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// Move the checkpoint within the source's binlog; a dry run unless --execute
    ///
    /// Forward, what lies between is never published. Backward needs --raise-epoch, as changes are published again. A databus that runs the
    /// source is fenced and ends with code 10.
    #[command(
        after_help = "Example:\n  databus position set --source accounting --file binlog.000042 --pos 1337\n  databus position set --source accounting --gtid 0-1-4711 --execute"
    )]
    Set {
        /// The source's name in the configuration.
        #[arg(long)]
        source: String,
        /// Binlog file; reading goes on at --pos in it.
        #[arg(long, requires = "pos", conflicts_with = "gtid", required_unless_present = "gtid")]
        file: Option<String>,
        /// Offset of an event between two transactions, in bytes.
        #[arg(long, requires = "file")]
        pos: Option<u64>,
        /// Reading goes on behind this transaction.
        #[arg(long)]
        gtid: Option<String>,
        /// Begin a new numbering: every version after it is above every one before it.
        #[arg(long)]
        raise_epoch: bool,
        /// Do it.
        #[arg(long)]
        execute: bool,
    },
    /// Begin a new numbering, at the oldest binlog that the source has; a dry run unless --execute
    ///
    /// For a lost position: a purged binlog, another server, a binlog begun anew. Everything in the binlog from there on is published (again)
    /// with versions above all earlier ones. A databus that runs the source is fenced and ends with code 10.
    #[command(
        after_help = "Example:\n  databus position reset --source accounting\n  databus position reset --source accounting --from end --execute   # and take a snapshot then"
    )]
    Reset {
        /// The source's name in the configuration.
        #[arg(long)]
        source: String,
        /// Where to go on.
        #[arg(long, value_enum, default_value_t)]
        from: Start,
        /// Do it.
        #[arg(long)]
        execute: bool,
    },
}

/// Where a new numbering begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Start {
    /// The oldest binlog file that the source still has.
    #[default]
    Oldest,
    /// The end of its binlog.
    End,
}

impl Position {
    /// The move that was asked for; `None` for `show`.
    pub(crate) fn into_change(self) -> Option<Change> {
        match self {
            Self::Show { .. } => None,
            Self::Set { source, file, pos, gtid, raise_epoch, execute } => {
                let to = match (file, pos, gtid) {
                    (Some(file), Some(pos), _) => Target::Position(BinlogPosition { file, pos }),
                    (_, _, gtid) => Target::Gtid(gtid?),
                };
                Some(Change { source, to, raise_epoch, execute })
            }
            Self::Reset { source, from, execute } => {
                let to = if from == Start::Oldest { Target::Oldest } else { Target::End };
                Some(Change { source, to, raise_epoch: true, execute })
            }
        }
    }
}
