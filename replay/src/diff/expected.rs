//! What the ledger says: a source table's rows, mapped, in the order of their bill ids.
//!
//! Bill ids sort as text, and `10` comes before `9`. Among keys with as many digits the text's order is the number's, which is
//! the primary key's: so the table is read as up to twenty runs, one for each number of digits, each in key order and page by
//! page, and the runs are merged. The source sorts nothing and holds no cursor.

use std::collections::{BTreeSet, VecDeque};

use anyhow::{Context as _, bail};
use change_event::{Row, Value};
use pipeline_config::{Name, Pipeline, Side};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, MySqlConnection};
use sync_worker::{mapping::Mapper, mysql};
use tokio::sync::mpsc::{Receiver, channel};

use super::{
    Expected, Parts,
    cursor::{PAGES_AHEAD, Page},
    row::{self, Reader},
};

const PAGE_ROWS: usize = 1000;

/// Starts reading; all pages are of one snapshot of the source.
pub(super) async fn read(
    parts: &Parts<'_>,
    pipeline: &Pipeline,
    side: &Side,
) -> anyhow::Result<Receiver<anyhow::Result<Page<Expected>>>> {
    let source = parts.config.source(&pipeline.source).context("the pipeline's source is not configured")?;
    let shape = parts
        .shapes
        .get(&(pipeline.source.clone(), pipeline.table.clone()))
        .context("the table's shape is not known")?;
    let key = shape.column(&pipeline.id.name).context("the id column's shape is not known")?;
    if !key.data_type.ends_with("int") {
        bail!(
            "{}: diff reads tables by a whole-number key, and {} is {}",
            pipeline.id.place,
            key.name,
            key.column_type
        );
    }
    let names: BTreeSet<&str> = pipeline.columns().into_iter().map(|rule| rule.name.as_str()).collect();
    let readers: Vec<Reader> =
        shape.columns.iter().filter(|column| names.contains(column.name.as_str())).map(Reader::of).collect();
    let mut connection = mysql::source_connection(source).await?;
    connection.execute("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ").await?;
    connection.execute("START TRANSACTION READ ONLY").await?;
    let table = Table {
        select: select(&readers, &pipeline.table.quoted(), &key.name),
        key_at: readers.iter().position(|reader| reader.name() == key.name).context("the key is not read")?,
        readers,
    };
    let (sender, receiver) = channel(PAGES_AHEAD);
    let (mapper, pipeline, side) = (parts.mapper.clone(), pipeline.clone(), side.name.clone());
    tokio::spawn(async move {
        let mut runs = Runs::new();
        loop {
            let page = match runs.page(&mut connection, &table).await {
                Ok(rows) if rows.is_empty() => break,
                Ok(rows) => Ok(map(&mapper, &pipeline, &side, &rows)),
                Err(error) => Err(error),
            };
            let failed = page.is_err();
            // the receiver is gone when the comparison has ended early
            if sender.send(page).await.is_err() || failed {
                return;
            }
        }
        // read-only: nothing depends on a clean end
        let _ = connection.close().await;
    });
    Ok(receiver)
}

fn select(readers: &[Reader], table: &str, key: &str) -> String {
    let columns: Vec<String> = readers.iter().map(Reader::expression).collect();
    let key = format!("`{}`", key.replace('`', "``"));
    format!(
        "SELECT {} FROM {table} WHERE {key} >= ? AND {key} <= ? ORDER BY {key} LIMIT {PAGE_ROWS}",
        columns.join(", ")
    )
}

fn map(mapper: &Mapper, pipeline: &Pipeline, side: &Name, rows: &[(String, Row<'static>)]) -> Page<Expected> {
    let mut page = Vec::with_capacity(rows.len());
    for (key, row) in rows {
        let (bills, refused) = mapper.bills(&pipeline.name, row);
        let of_side = bills.into_iter().filter(|bill| bill.side == **side);
        page.extend(of_side.map(|bill| (bill.bill_id.to_string(), Expected::Bill(Box::new(bill)))));
        let of_side = refused.into_iter().filter(|refusal| refusal.side == *side);
        page.extend(of_side.map(|refusal| {
            let bill_id = format!("{}.{}.{side}.{key}", pipeline.name, pipeline.source);
            (bill_id, Expected::Refused(refusal.reason.to_string()))
        }));
    }
    page
}

struct Table {
    select: String,
    readers: Vec<Reader>,
    key_at: usize,
}

/// One run for each number of digits.
struct Runs(Vec<Run>);

struct Run {
    next: u64,
    last: u64,
    rows: VecDeque<(String, Row<'static>)>,
    ended: bool,
}

impl Runs {
    fn new() -> Self {
        let run = |digits: u32| Run {
            next: if digits == 1 { 0 } else { 10_u64.pow(digits - 1) },
            last: 10_u64.checked_pow(digits).map_or(u64::MAX, |end| end - 1),
            rows: VecDeque::new(),
            ended: false,
        };
        Self((1..=20).map(run).collect())
    }

    /// The next rows over all runs, in the order of their keys as text.
    async fn page(
        &mut self,
        connection: &mut MySqlConnection,
        table: &Table,
    ) -> anyhow::Result<Vec<(String, Row<'static>)>> {
        let mut page = Vec::with_capacity(PAGE_ROWS);
        while page.len() < PAGE_ROWS {
            for run in &mut self.0 {
                run.fill(connection, table).await?;
            }
            let fronts = self.0.iter().enumerate().filter_map(|(at, run)| Some((&run.rows.front()?.0, at)));
            let Some((_, at)) = fronts.min() else { break };
            page.extend(self.0.get_mut(at).and_then(|run| run.rows.pop_front()));
        }
        Ok(page)
    }
}

impl Run {
    async fn fill(&mut self, connection: &mut MySqlConnection, table: &Table) -> anyhow::Result<()> {
        if !self.rows.is_empty() || self.ended {
            return Ok(());
        }
        // safe: built from the configuration's checked table name and quoted columns; values are bound
        let query = sqlx::query(AssertSqlSafe(table.select.as_str())).bind(self.next).bind(self.last);
        let selected = query.fetch_all(connection).await.context("read the source's table")?;
        self.ended = selected.len() < PAGE_ROWS;
        for selected in &selected {
            let row = row::row(&table.readers, selected)?;
            let key = match row.columns().nth(table.key_at) {
                Some((_, Value::I64(key))) => u64::try_from(*key)?,
                Some((_, Value::U64(key))) => *key,
                _ => bail!("a row without a key"),
            };
            match key.checked_add(1) {
                Some(next) => self.next = next,
                None => self.ended = true,
            }
            self.rows.push_back((key.to_string(), row));
        }
        Ok(())
    }
}
