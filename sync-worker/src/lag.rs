//! How far a group is behind, from librdkafka's statistics. Pure.
//!
//! librdkafka's own `consumer_lag` counts what no reader is given: the marker behind each committed transaction. And it knows no
//! position of a group whose offsets a producer commits.

use rdkafka::{Statistics, statistics::Partition};

/// Offsets between the group and the end of the partitions that this process reads; 0 when everything there has been passed.
/// `unfinished`: records were read that are not durable yet.
pub(crate) fn lag(statistics: &Statistics, unfinished: bool) -> i64 {
    let partitions = statistics.topics.values().flat_map(|topic| topic.partitions.values());
    partitions.map(|partition| behind(partition, unfinished)).sum()
}

fn behind(partition: &Partition, unfinished: bool) -> i64 {
    // others' partitions are in the statistics too
    if partition.partition < 0 || matches!(partition.fetch_state.as_str(), "none" | "stopping" | "stopped") {
        return 0;
    }
    let (end, next) = (partition.ls_offset, partition.next_offset);
    if !unfinished && partition.fetchq_cnt == 0 && next >= end {
        return 0;
    }
    let position = match (partition.committed_offset, partition.app_offset) {
        (committed, _) if unfinished && committed >= 0 => committed,
        (_, read) if read >= 0 => read,
        _ => next - partition.fetchq_cnt,
    };
    (end - position.max(0)).max(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(next: i64, queued: i64, read: i64, committed: i64) -> Partition {
        Partition {
            fetch_state: "active".to_owned(),
            ls_offset: 11,
            next_offset: next,
            fetchq_cnt: queued,
            app_offset: read,
            committed_offset: committed,
            ..Partition::default()
        }
    }

    #[test]
    fn a_transaction_marker_at_the_end_is_no_lag_and_a_record_is() {
        // ten records and their marker, all passed
        assert_eq!(behind(&at(11, 0, 10, 10), false), 0);
        // a group whose offsets a producer commits
        assert_eq!(behind(&at(11, 0, 10, -1001), false), 0);
        assert_eq!(behind(&at(11, 3, 7, -1001), false), 4);
        // not fetched yet
        assert_eq!(behind(&at(5, 0, 5, 5), false), 6);
        assert_eq!(behind(&at(0, 0, -1001, -1001), false), 11);
        // read, and the sink does not take it
        assert_eq!(behind(&at(11, 0, 10, 4), true), 7);
        let other = Partition { fetch_state: "none".to_owned(), ..at(0, 0, -1001, -1001) };
        assert_eq!(behind(&other, false), 0);
    }
}
