//! Table `quarantine` of the bill store.

use change_event::{Timestamp, quarantine::Facts};
use sqlx::{MySqlConnection, MySqlPool};

use super::record::Recorded;

/// Bytes of a row that are kept in the table; more would not fit into the packets of a server as it comes.
const LARGEST: usize = 8 << 20;
/// Characters of a reason.
const REASON: usize = 1000;

/// Entries that are set aside now.
pub async fn count_open(pool: &MySqlPool) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("SELECT COUNT(*) FROM quarantine WHERE healed_at IS NULL").fetch_one(pool).await
}

/// How many of each stage and source are set aside; those of which all are well again count 0.
pub(super) async fn open_by_source(pool: &MySqlPool) -> Result<Vec<(String, String, i64)>, sqlx::Error> {
    sqlx::query_as(
        "SELECT stage, source, CAST(SUM(healed_at IS NULL) AS SIGNED) FROM quarantine GROUP BY stage, source",
    )
    .fetch_all(pool)
    .await
}

/// Takes these in, in their order, as one transaction. Twice is like once.
pub(super) async fn take_in(pool: &MySqlPool, records: &[Recorded]) -> Result<(), sqlx::Error> {
    let mut transaction = pool.begin().await?;
    for record in records {
        match &record.set_aside {
            Some((facts, bytes)) => set_aside(&mut transaction, record, facts, bytes).await?,
            None => heal(&mut transaction, record).await?,
        }
    }
    transaction.commit().await
}

async fn set_aside(
    connection: &mut MySqlConnection,
    record: &Recorded,
    facts: &Facts,
    bytes: &[u8],
) -> Result<(), sqlx::Error> {
    let at = |ms: i64| {
        ms.checked_mul(1000).and_then(|us| Timestamp::from_micros(us).ok()).map(Timestamp::to_datetime)
    };
    let reason: String = facts.reason.chars().take(REASON).collect();
    // recorded_at last: the conditions before it must still see the old one, for assignments run left to right
    sqlx::query(
        "INSERT INTO quarantine (id, stage, source, pipeline, side, row_key, account_id, version, topic, topic_partition, topic_offset,
           binlog_file, binlog_pos, gtid, reason, attempts, first_at, last_at, healed_at, size, bytes, recorded_at)
         VALUES (UNHEX(SHA2(?, 256)), ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, ?, ?, ?)
         ON DUPLICATE KEY UPDATE
           account_id = IF(VALUES(recorded_at) >= recorded_at, VALUES(account_id), account_id),
           version = IF(VALUES(recorded_at) >= recorded_at, VALUES(version), version),
           topic = IF(VALUES(recorded_at) >= recorded_at, VALUES(topic), topic),
           topic_partition = IF(VALUES(recorded_at) >= recorded_at, VALUES(topic_partition), topic_partition),
           topic_offset = IF(VALUES(recorded_at) >= recorded_at, VALUES(topic_offset), topic_offset),
           binlog_file = IF(VALUES(recorded_at) >= recorded_at, VALUES(binlog_file), binlog_file),
           binlog_pos = IF(VALUES(recorded_at) >= recorded_at, VALUES(binlog_pos), binlog_pos),
           gtid = IF(VALUES(recorded_at) >= recorded_at, VALUES(gtid), gtid),
           reason = IF(VALUES(recorded_at) >= recorded_at, VALUES(reason), reason),
           attempts = IF(VALUES(recorded_at) >= recorded_at, VALUES(attempts), attempts),
           first_at = IF(VALUES(recorded_at) >= recorded_at, VALUES(first_at), first_at),
           last_at = IF(VALUES(recorded_at) >= recorded_at, VALUES(last_at), last_at),
           healed_at = IF(VALUES(recorded_at) >= recorded_at, NULL, healed_at),
           size = IF(VALUES(recorded_at) >= recorded_at, VALUES(size), size),
           bytes = IF(VALUES(recorded_at) >= recorded_at, VALUES(bytes), bytes),
           recorded_at = GREATEST(recorded_at, VALUES(recorded_at))",
    )
    .bind(&record.key_text)
    .bind(record.key.stage.as_str())
    .bind(&record.key.source)
    .bind(&record.key.pipeline)
    .bind(&record.key.side)
    .bind(&record.key.row)
    .bind(facts.account)
    .bind(facts.version.get())
    .bind(&facts.topic)
    .bind(facts.partition)
    .bind(facts.offset)
    .bind(&facts.file)
    .bind(facts.pos)
    .bind(&facts.gtid)
    .bind(reason)
    .bind(facts.attempts)
    .bind(at(facts.first_ms))
    .bind(at(facts.last_ms))
    .bind(bytes.len() as u64)
    .bind((bytes.len() <= LARGEST).then_some(bytes))
    .bind(record.offset)
    .execute(connection)
    .await
    .map(drop)
}

async fn heal(connection: &mut MySqlConnection, record: &Recorded) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE quarantine SET healed_at = COALESCE(healed_at, UTC_TIMESTAMP(3)), recorded_at = ?
         WHERE id = UNHEX(SHA2(?, 256)) AND recorded_at <= ?",
    )
    .bind(record.offset)
    .bind(&record.key_text)
    .bind(record.offset)
    .execute(connection)
    .await
    .map(drop)
}
