//! Which binlog files the server has, how long it keeps them, and so when it will remove one that we still need.
//!
//! A server removes a file that is older than the expiry, by the time it was last written, when it begins a new one; MariaDB 11.4 and
//! later also when all files together are above a size. The file that is being written is never removed.
//! <https://mariadb.com/kb/en/using-and-maintaining-the-binary-log/>, <https://dev.mysql.com/doc/refman/8.4/en/replication-options-binary-log.html>

use super::{
    history::Start, login, lost::BinlogFiles, mysql_async_transport::MysqlAsyncTransport, position,
    transport::BinlogTransport,
};
use change_event::{Timestamp, checkpoint::BinlogPosition};
use pipeline_config::Source;
use secrecy::SecretString;
use sqlx::{MySqlConnection, Row};
use std::cmp::Ordering;
use std::time::Duration;

/// Longest wait for a file's first event.
const FIRST_EVENT: Duration = Duration::from_secs(30);

/// The server's binlog, as seen at one moment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Retention {
    pub(super) files: BinlogFiles,
    /// The server's clock.
    pub now: Timestamp,
    /// Seconds that a finished file is kept; `None`: for ever.
    pub expire_seconds: Option<u64>,
    /// Most bytes of all files together; `None`: no limit.
    pub max_bytes: Option<u64>,
}

impl Retention {
    /// Asks the server.
    pub(crate) async fn ask(connection: &mut MySqlConnection) -> Result<Self, sqlx::Error> {
        let now: time::PrimitiveDateTime =
            sqlx::query_scalar("SELECT UTC_TIMESTAMP(6)").fetch_one(&mut *connection).await?;
        let files = sqlx::query("SHOW BINARY LOGS").fetch_all(&mut *connection).await?;
        let files = files.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
        let files = BinlogFiles(files.collect::<Result<_, sqlx::Error>>()?);
        let settings = sqlx::query(
            "SHOW GLOBAL VARIABLES WHERE variable_name IN \
             ('binlog_expire_logs_seconds', 'expire_logs_days', 'binlog_expire_logs_auto_purge', 'max_binlog_total_size')",
        )
        .fetch_all(&mut *connection)
        .await?;
        let settings = settings.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
        let settings: Vec<(String, String)> = settings.collect::<Result<_, sqlx::Error>>()?;
        Ok(Self::of(files, Timestamp::from_datetime(now), &settings))
    }

    fn of(files: BinlogFiles, now: Timestamp, settings: &[(String, String)]) -> Self {
        let value =
            |name: &str| settings.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str());
        let number =
            |name: &str| value(name).and_then(|text| text.parse::<f64>().ok()).filter(|number| *number > 0.0);
        // MariaDB keeps both in step; in MySQL 8.0 the days hold only where the seconds are 0
        let expire =
            number("binlog_expire_logs_seconds").or(number("expire_logs_days").map(|days| days * 86_400.0));
        let off = value("binlog_expire_logs_auto_purge").is_some_and(|set| set.eq_ignore_ascii_case("OFF"));
        Self {
            files,
            now,
            expire_seconds: expire.filter(|_| !off).map(|seconds| seconds as u64),
            max_bytes: number("max_binlog_total_size").map(|bytes| bytes as u64),
        }
    }

    /// Where the server's own binlog ends.
    pub(crate) fn end(&self) -> Option<BinlogPosition> {
        let last = self.files.0.iter().max_by_key(|(file, _)| position::file_number(file))?;
        Some(BinlogPosition { file: last.0.clone(), pos: last.1 })
    }

    /// The start of the oldest file.
    pub(crate) fn oldest(&self) -> Option<BinlogPosition> {
        // 4: behind the magic number that every file starts with
        Some(BinlogPosition { file: self.files.oldest()?.to_owned(), pos: 4 })
    }

    /// The names of the files from one to another, both included, in order.
    pub(crate) fn files_between(&self, first: &str, last: &str) -> Vec<String> {
        let number = |file: &str| position::file_number(file);
        let within = |file: &str| number(first) <= number(file) && number(file) <= number(last);
        let mut files: Vec<String> =
            self.files.0.iter().map(|(file, _)| file.clone()).filter(|file| within(file)).collect();
        files.sort_by_key(|file| number(file));
        files
    }

    /// Bytes of binlog from one place to another, over all files in between; `None` where a file is missing or they are in the wrong order.
    pub(crate) fn bytes_between(&self, from: &BinlogPosition, to: &BinlogPosition) -> Option<u64> {
        if position::compare(from, to)? == Ordering::Greater {
            return None;
        }
        let files = self.files_between(&from.file, &to.file);
        if files.first() != Some(&from.file) || files.last() != Some(&to.file) {
            return None;
        }
        let passed: u64 =
            files.iter().take(files.len() - 1).filter_map(|file| self.files.length_of(file)).sum();
        (passed + to.pos).checked_sub(from.pos)
    }

    /// The file that was begun when this one was finished; `None` for the one that is being written.
    pub(crate) fn file_after(&self, file: &str) -> Option<&str> {
        let number = position::file_number(file)?;
        let later = self.files.0.iter().map(|(file, _)| file.as_str());
        later
            .filter(|other| position::file_number(other) > Some(number))
            .min_by_key(|other| position::file_number(other))
    }

    /// Seconds until the server removes the file; infinite where it never does, `None` where it cannot be told.
    ///
    /// `finished`: when the file was last written, in Unix seconds; not needed for the file that is being written, which counts as
    /// finished now. `growth`: bytes that the binlog grows by each second.
    pub(crate) fn seconds_to_purge(
        &self,
        file: &str,
        finished: Option<u64>,
        growth: Option<f64>,
    ) -> Option<f64> {
        self.files.length_of(file)?;
        let is_written = self.file_after(file).is_none();
        let by_age = match self.expire_seconds {
            None => f64::INFINITY,
            Some(expire) if is_written => expire as f64,
            Some(expire) => {
                let age = self.now.micros() as f64 / 1e6 - finished? as f64;
                (expire as f64 - age).max(0.0)
            }
        };
        let by_size = match self.max_bytes {
            None => f64::INFINITY,
            Some(max) => {
                let from = BinlogPosition { file: file.to_owned(), pos: 0 };
                let kept = self.bytes_between(&from, &self.end()?)?;
                let room = max.saturating_sub(kept) as f64;
                match growth {
                    _ if room <= 0.0 => 0.0,
                    Some(growth) if growth > 0.0 => room / growth,
                    _ => f64::INFINITY,
                }
            }
        };
        Some(by_age.min(by_size))
    }
}

/// When a binlog file was begun, in Unix seconds: its first event's time. `None` where the server does not send it.
///
/// Reads a few bytes with a reader's id of its own: with ours, the server would expel the stream that is running.
pub(crate) async fn began(source: &Source, password: &SecretString, file: &str) -> Option<u64> {
    let mut probe = source.clone();
    // one of 2^28 at the upper end, which nobody gives by hand; different each time
    let nanos =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |at| at.subsec_nanos());
    probe.server_id = 0xf000_0000 | (nanos ^ std::process::id().rotate_left(16)) & 0x0fff_ffff;
    let start = BinlogPosition { file: file.to_owned(), pos: 4 };
    let here = Start::at_position();
    let reading = async {
        let mut transport = MysqlAsyncTransport::connect(&probe, password, &here, &start).await.ok()?;
        // an artificial rotate event comes first, with no time
        for _ in 0..4 {
            let event = transport.next().await.ok()?;
            if event.header.timestamp > 0 {
                return Some(u64::from(event.header.timestamp));
            }
        }
        None
    };
    tokio::time::timeout(FIRST_EVENT, reading).await.ok().flatten()
}

/// A connection for such questions.
pub(crate) async fn connect(
    source: &Source,
    password: &SecretString,
) -> Result<MySqlConnection, sqlx::Error> {
    login::ask(source, password).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retention(settings: &[(&str, &str)]) -> Retention {
        let files = [("binlog.999999", 1_000), ("binlog.1000000", 500), ("binlog.1000001", 300)];
        let files = BinlogFiles(files.iter().map(|(file, length)| ((*file).to_owned(), *length)).collect());
        let settings: Vec<_> =
            settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Retention::of(files, Timestamp::from_micros(1_000_000 * 1_000_000).unwrap(), &settings)
    }

    fn at(file: &str, pos: u64) -> BinlogPosition {
        BinlogPosition { file: file.to_owned(), pos }
    }

    #[test]
    fn bytes_behind_add_up_over_files_also_past_the_millionth() {
        let retention = retention(&[]);
        let end = retention.end().unwrap();
        assert_eq!(end, at("binlog.1000001", 300));
        assert_eq!(retention.bytes_between(&at("binlog.999999", 900), &end), Some(100 + 500 + 300));
        assert_eq!(retention.bytes_between(&end, &end), Some(0));
        assert_eq!(retention.bytes_between(&end, &at("binlog.999999", 4)), None);
        assert_eq!(retention.bytes_between(&at("binlog.999998", 4), &end), None);
        assert_eq!(retention.file_after("binlog.999999"), Some("binlog.1000000"));
        assert_eq!(retention.file_after("binlog.1000001"), None);
    }

    #[test]
    fn the_time_to_purge_follows_each_servers_settings() {
        // finished 100 s ago
        let finished = Some(999_900);
        let never = retention(&[("expire_logs_days", "0.000000"), ("binlog_expire_logs_seconds", "0")]);
        assert_eq!(never.seconds_to_purge("binlog.999999", finished, None), Some(f64::INFINITY));
        let hour = retention(&[("binlog_expire_logs_seconds", "3600")]);
        assert_eq!(hour.seconds_to_purge("binlog.999999", finished, None), Some(3_500.0));
        assert_eq!(hour.seconds_to_purge("binlog.999999", Some(1), None), Some(0.0));
        assert_eq!(hour.seconds_to_purge("binlog.999999", None, None), None);
        assert_eq!(hour.seconds_to_purge("binlog.1000001", None, None), Some(3_600.0));
        assert_eq!(hour.seconds_to_purge("binlog.000001", finished, None), None);
        let days = retention(&[("expire_logs_days", "1")]);
        assert_eq!(days.seconds_to_purge("binlog.999999", finished, None), Some(86_300.0));
        let off =
            retention(&[("binlog_expire_logs_seconds", "3600"), ("binlog_expire_logs_auto_purge", "OFF")]);
        assert_eq!(off.seconds_to_purge("binlog.999999", finished, None), Some(f64::INFINITY));
        let sized = retention(&[("max_binlog_total_size", "2800")]);
        assert_eq!(sized.seconds_to_purge("binlog.999999", finished, Some(10.0)), Some(100.0));
        assert_eq!(sized.seconds_to_purge("binlog.999999", finished, Some(0.0)), Some(f64::INFINITY));
        let full = retention(&[("max_binlog_total_size", "1700")]);
        assert_eq!(full.seconds_to_purge("binlog.999999", finished, None), Some(0.0));
    }
}
