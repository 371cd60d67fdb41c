//! Keys are kept for 30 days; older ones are deleted in small steps, so that no payment waits for it.

use std::time::Duration;

use change_event::Timestamp;
use service_kit::Shutdown;
use sqlx::MySqlPool;

use crate::clock;

const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);
const PAUSE: Duration = Duration::from_secs(600);
const STEP_ROWS: u64 = 500;

/// Deletes old keys until `shutdown`. An error only postpones it.
pub(crate) async fn purge_until(pool: MySqlPool, shutdown: Shutdown) {
    loop {
        match purge(&pool, &shutdown).await {
            Ok(0) => {}
            Ok(rows) => tracing::info!(rows, "deleted idempotency keys older than 30 days"),
            Err(error) => tracing::warn!(%error, "cannot delete old idempotency keys, trying again later"),
        }
        tokio::select! {
            () = shutdown.requested() => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

async fn purge(pool: &MySqlPool, shutdown: &Shutdown) -> Result<u64, sqlx::Error> {
    let kept_micros = i64::try_from(KEPT.as_micros()).unwrap_or(i64::MAX);
    let Ok(oldest) = Timestamp::from_micros(clock::now().micros() - kept_micros) else { return Ok(0) };
    let mut deleted = 0;
    while !shutdown.is_requested() {
        let step = sqlx::query("DELETE FROM accounting.idempotency WHERE created_at < ? LIMIT ?")
            .bind(oldest.to_datetime())
            .bind(STEP_ROWS)
            .execute(pool)
            .await?
            .rows_affected();
        deleted += step;
        if step < STEP_ROWS {
            break;
        }
    }
    Ok(deleted)
}
