//! The tasks that read one table: they cut its keys into ranges, read these ahead, and hand the rows to the session in pieces.

use super::{
    board::{Message, Opened, Verdict},
    chunk::{ChunkReader, ReadError},
    piece::Piece,
};
use change_event::checkpoint::{BinlogPosition, TableSnapshot};
use pipeline_config::Source;
use secrecy::SecretString;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    sync::{Mutex, mpsc, oneshot},
    task::JoinSet,
};

/// Longest pause before another attempt.
const RETRY_CAP: Duration = Duration::from_secs(5);
/// First number of rows in a chunk: it grows while reads are quick.
const FIRST_ROWS: u64 = 500;
/// Fewest rows in a chunk.
const FEWEST_ROWS: u64 = 10;
/// A read that is quicker than this was small; one that takes four times as long was large.
const QUICK: Duration = Duration::from_millis(50);
/// The slot of what is read before there are ranges.
const PLANNING: u64 = u64::MAX;

/// One table to read.
#[derive(Debug, Clone)]
pub(super) struct Job {
    pub(super) source: Arc<Source>,
    pub(super) password: SecretString,
    pub(super) snapshot: TableSnapshot,
    pub(super) connections: usize,
    pub(super) most_rows: u64,
    pub(super) desk: Desk,
}

/// The way to the session's thread.
#[derive(Debug, Clone)]
pub(super) struct Desk(pub(super) mpsc::Sender<Message>);

impl Desk {
    async fn tell(&self, message: Message) -> Result<(), ReadError> {
        self.0.send(message).await.map_err(|_| ReadError::Stopped)
    }

    async fn open(&self, slot: u64) -> Result<Opened, ReadError> {
        let (reply, opened) = oneshot::channel();
        self.tell(Message::Open { slot, reply }).await?;
        opened.await.map_err(|_| ReadError::Stopped)
    }

    async fn rows(&self, slot: u64, piece: Piece, position: BinlogPosition) -> Result<Verdict, ReadError> {
        let (reply, verdict) = oneshot::channel();
        self.tell(Message::Rows { slot, piece, position, reply }).await?;
        verdict.await.map_err(|_| ReadError::Stopped)
    }
}

/// Which ranges are still to be given out.
#[derive(Debug)]
struct Plan {
    /// Slots given out so far.
    slots: u64,
    after: Option<Vec<String>>,
    /// `None`: all are given out.
    upto: Option<Vec<String>>,
    told: bool,
    /// Rows in the next chunk.
    rows: u64,
}

/// Keys after one and up to another, which are read by one task, piece by piece.
#[derive(Debug)]
struct Range {
    slot: u64,
    after: Option<Vec<String>>,
    upto: Vec<String>,
}

/// Reads the table to its end; ends early when the session does.
pub(super) async fn run(job: Job) {
    let mut reader = ChunkReader::new(job.source.clone(), job.password.clone(), &job.snapshot);
    let mut pause = Pause::default();
    let upto = loop {
        match prepare(&mut reader, &job).await {
            Ok(upto) => break upto,
            Err(error) => {
                if !recover(&mut reader, &job, PLANNING, error, &mut pause).await {
                    return;
                }
            }
        }
    };
    let plan = Arc::new(Mutex::new(Plan {
        slots: 0,
        after: job.snapshot.after.clone(),
        upto,
        told: false,
        rows: FIRST_ROWS.min(job.most_rows),
    }));
    let mut tasks = JoinSet::new();
    for _ in 1..job.connections {
        let reader = ChunkReader::new(job.source.clone(), job.password.clone(), &job.snapshot);
        tasks.spawn(work(reader, job.clone(), plan.clone()));
    }
    work(reader, job, plan).await;
    while tasks.join_next().await.is_some() {}
}

/// The last key that this snapshot reads up to: rows that come behind it later are in the stream.
async fn prepare(reader: &mut ChunkReader, job: &Job) -> Result<Option<Vec<String>>, ReadError> {
    reader.check_filter().await?;
    let rows = reader.estimate().await?;
    job.desk.tell(Message::Begin { rows }).await?;
    let opened = job.desk.open(PLANNING).await?;
    let last = reader.last_key(&opened).await?;
    job.desk.tell(Message::Close { slot: PLANNING }).await?;
    Ok(last)
}

async fn work(mut reader: ChunkReader, job: Job, plan: Arc<Mutex<Plan>>) {
    let mut pause = Pause::default();
    loop {
        let range = match next_range(&mut reader, &job, &plan).await {
            Ok(Some(range)) => range,
            Ok(None) => return,
            Err(error) => {
                if recover(&mut reader, &job, PLANNING, error, &mut pause).await {
                    continue;
                }
                return;
            }
        };
        let mut after = range.after.clone();
        let mut most = job.most_rows;
        loop {
            match read_piece(&mut reader, &job, &plan, &range, after.as_deref(), most).await {
                Ok(Some((upto, true))) => {
                    after = upto;
                    pause = Pause::default();
                }
                Ok(Some((_, false))) => break,
                // more keys changed meanwhile than can be remembered
                Ok(None) => most = (most / 2).max(FEWEST_ROWS),
                Err(ReadError::TooLarge(rows)) => {
                    most = rows.clamp(1, most);
                    reader.forget();
                }
                Err(error) => {
                    if !recover(&mut reader, &job, range.slot, error, &mut pause).await {
                        return;
                    }
                }
            }
        }
    }
}

/// The next range of keys, or `None` where all are given out.
async fn next_range(
    reader: &mut ChunkReader,
    job: &Job,
    plan: &Mutex<Plan>,
) -> Result<Option<Range>, ReadError> {
    let mut plan = plan.lock().await;
    let Some(end) = plan.upto.clone() else {
        if !std::mem::replace(&mut plan.told, true) {
            job.desk.tell(Message::End { slots: plan.slots }).await?;
        }
        return Ok(None);
    };
    let cut = reader.cut(plan.after.as_deref(), &end, plan.rows).await?;
    let slot = plan.slots;
    plan.slots += 1;
    let after = plan.after.take();
    let upto = match cut.filter(|cut| *cut != end) {
        Some(cut) => {
            plan.after = Some(cut.clone());
            cut
        }
        None => {
            plan.upto = None;
            end
        }
    };
    Ok(Some(Range { slot, after, upto }))
}

/// One piece of a range, handed over. Answers up to where, and whether more follows; `None`: it is to be read again, smaller.
async fn read_piece(
    reader: &mut ChunkReader,
    job: &Job,
    plan: &Mutex<Plan>,
    range: &Range,
    after: Option<&[String]>,
    most: u64,
) -> Result<Option<(Option<Vec<String>>, bool)>, ReadError> {
    let opened = job.desk.open(range.slot).await?;
    let started = Instant::now();
    let (piece, position) = reader.read(&opened, after, &range.upto, most).await?;
    let took = started.elapsed();
    {
        let mut plan = plan.lock().await;
        if took < QUICK {
            plan.rows = (plan.rows * 2).min(job.most_rows);
        } else if took > QUICK * 4 {
            plan.rows = (plan.rows / 2).max(FEWEST_ROWS);
        }
    }
    let (upto, last) = (piece.upto.clone(), piece.last);
    match job.desk.rows(range.slot, piece, position).await? {
        Verdict::Emitted => Ok(Some((upto, !last))),
        Verdict::Altered => Err(ReadError::Altered),
        Verdict::TooMuch => Ok(None),
    }
}

/// What becomes of a failure: true to try again.
async fn recover(
    reader: &mut ChunkReader,
    job: &Job,
    slot: u64,
    error: ReadError,
    pause: &mut Pause,
) -> bool {
    let table = format!("{}.{}", job.snapshot.database, job.snapshot.table);
    if job.desk.tell(Message::Close { slot }).await.is_err() {
        return false;
    }
    reader.forget();
    match error {
        ReadError::Stopped => return false,
        ReadError::Altered => {
            tracing::debug!(table, "the table was altered while a chunk of it was read, reading it again");
        }
        ReadError::Filter(why) => {
            drop(job.desk.tell(Message::Refused { why }).await);
            return false;
        }
        error => {
            tracing::warn!(table, %error, "a chunk of the snapshot could not be read, trying again");
        }
    }
    // a statement may have taken a column away that the predicate names
    if let Err(ReadError::Filter(why)) = reader.check_filter().await {
        drop(job.desk.tell(Message::Refused { why }).await);
        return false;
    }
    pause.wait().await;
    true
}

/// Grows from attempt to attempt.
#[derive(Debug)]
struct Pause(Duration);

impl Default for Pause {
    fn default() -> Self {
        Self(Duration::from_millis(20))
    }
}

impl Pause {
    async fn wait(&mut self) {
        tokio::time::sleep(self.0).await;
        self.0 = (self.0 * 2).min(RETRY_CAP);
    }
}
