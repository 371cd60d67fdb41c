//! A batch in the making: the newest record of each bill, where it was read, the newest progress marks, and how far the input has
//! been read. Pure.

use std::collections::{BTreeMap, HashMap};

use change_event::{barrier::Barrier, progress::Mark, stage2::BillRecord};

/// Next offset to read, by partition.
pub type Offsets = BTreeMap<i32, i64>;

/// Where a record stands in stage 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
}

/// Records to be written, with what they cover.
#[derive(Debug, Default)]
pub struct Batch {
    /// Sorted by key, as [`crate::sink::Sink`] wants them.
    pub records: Vec<BillRecord>,
    /// Where each of them was read.
    pub places: Vec<Place>,
    /// What ends older bills, once the records are written.
    pub barriers: Vec<Barrier>,
    /// The newest progress marks behind them, with their partitions.
    pub marks: Vec<(i32, Mark)>,
    /// The offsets that are passed with all this.
    pub offsets: Offsets,
}

impl Batch {
    /// Keeps these records alone, by their indexes in rising order.
    pub fn keep(&mut self, left: &[usize]) {
        let kept = |at: &mut usize| {
            *at += 1;
            left.binary_search(&(*at - 1)).is_ok()
        };
        let (mut record, mut place) = (0, 0);
        self.records.retain(|_| kept(&mut record));
        self.places.retain(|_| kept(&mut place));
    }
}

/// Records folded to the newest per (account, bill).
#[derive(Default)]
pub struct Fold {
    newest: HashMap<(u64, String), (Place, BillRecord)>,
    /// With the partition that each was read in.
    barriers: Vec<(i32, Barrier)>,
    /// By partition and source.
    marks: BTreeMap<(i32, String), Mark>,
    next: Offsets,
    records: usize,
}

impl Fold {
    /// Takes one record of a partition, read at `offset`.
    pub fn add(&mut self, partition: i32, offset: i64, record: BillRecord) {
        self.pass(partition, offset);
        self.records += 1;
        let key = (record.bill.account_id, record.bill.bill_id.as_str().to_owned());
        match self.newest.get(&key) {
            // equal versions: the later one is the same record again
            Some((_, held)) if held.version > record.version => {}
            _ => {
                self.newest.insert(key, (Place { partition, offset }, record));
            }
        }
    }

    /// Takes a barrier of a partition, read at `offset`.
    pub fn barrier(&mut self, partition: i32, offset: i64, barrier: Barrier) {
        self.pass(partition, offset);
        self.barriers.push((partition, barrier));
    }

    /// Takes a progress mark of a partition, read at `offset`.
    pub fn mark(&mut self, partition: i32, offset: i64, mark: Mark) {
        self.pass(partition, offset);
        self.hold(partition, mark);
    }

    fn hold(&mut self, partition: i32, mark: Mark) {
        let key = (partition, mark.source.clone());
        if self.marks.get(&key).is_none_or(|held| mark.reaches(held)) {
            self.marks.insert(key, mark);
        }
    }

    /// Whether progress marks wait.
    pub fn has_marks(&self) -> bool {
        !self.marks.is_empty()
    }

    /// Puts marks off to a later batch.
    pub fn hold_back(&mut self, marks: Vec<(i32, Mark)>) {
        for (partition, mark) in marks {
            self.hold(partition, mark);
        }
    }

    /// Passes over an offset that holds nothing for the sink.
    pub fn pass(&mut self, partition: i32, offset: i64) {
        self.next.insert(partition, offset + 1);
    }

    /// Records taken in, before folding.
    pub fn records(&self) -> usize {
        self.records
    }

    /// True if no offset was passed.
    pub fn is_empty(&self) -> bool {
        self.next.is_empty()
    }

    /// Forgets what came from these partitions: another writer reads it again.
    pub fn forget(&mut self, partitions: &[i32]) {
        self.newest.retain(|_, (place, _)| !partitions.contains(&place.partition));
        self.barriers.retain(|(partition, _)| !partitions.contains(partition));
        self.marks.retain(|(partition, _), _| !partitions.contains(partition));
        self.next.retain(|partition, _| !partitions.contains(partition));
        self.records = self.newest.len();
    }

    /// The batch and the offsets that it covers.
    pub fn finish(self) -> Batch {
        let mut folded: Vec<(Place, BillRecord)> = self.newest.into_values().collect();
        folded.sort_unstable_by(|(_, a), (_, b)| {
            (a.bill.account_id, a.bill.bill_id.as_str()).cmp(&(b.bill.account_id, b.bill.bill_id.as_str()))
        });
        let (places, records) = folded.into_iter().unzip();
        let marks = self.marks.into_iter().map(|((partition, _), mark)| (partition, mark)).collect();
        let mut barriers: Vec<Barrier> = Vec::new();
        for (_, barrier) in self.barriers {
            // the same one comes in every partition
            if !barriers.contains(&barrier) {
                barriers.push(barrier);
            }
        }
        Batch { records, places, barriers, marks, offsets: self.next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(account: u64, row: u64, version: i64) -> BillRecord {
        serde_json::from_value(serde_json::json!({
            "op": "upsert", "version": version, "committed_at": "2026-11-22T18:20:00.123456Z",
            "source": {"name": "accounting", "db": "accounting", "table": "entry", "gtid": null, "ts_ms": 0},
            "bill": {"account_id": account, "bill_id": format!("movements.accounting.owner.{row}"), "pipeline": "movements", "source": "accounting",
                "side": "owner", "merchant_id": 1, "bill_type": "fee", "direction": "out", "status": "posted", "amount": 1, "fee": 0,
                "currency": "CNY", "balance_after": null, "occurred_at": "2026-11-22T18:20:00.123456Z", "posted_at": "2026-11-22T18:20:00.123456Z",
                "counterparty": "", "order_no": "", "channel": "", "channel_ref": null, "remark": ""}
        }))
        .unwrap()
    }

    #[test]
    fn a_batch_holds_the_newest_of_each_bill_in_key_order() {
        let mut fold = Fold::default();
        for (offset, (account, row, version)) in
            [(2, 1, 5), (1, 9, 6), (2, 1, 4), (1, 9, 7)].into_iter().enumerate()
        {
            fold.add(0, offset as i64, record(account, row, version));
        }
        fold.pass(3, 41);
        assert_eq!(fold.records(), 4);
        let mut batch = fold.finish();
        let got: Vec<(u64, i64)> =
            batch.records.iter().map(|r| (r.bill.account_id, r.version.get())).collect();
        assert_eq!(got, [(1, 7), (2, 5)]);
        assert_eq!(batch.offsets, Offsets::from([(0, 4), (3, 42)]));
        assert_eq!(batch.places.iter().map(|place| place.offset).collect::<Vec<_>>(), [3, 0]);
        batch.keep(&[1]);
        assert_eq!(
            (batch.records.len(), batch.records[0].bill.account_id, batch.places[0].offset),
            (1, 2, 0)
        );
    }

    #[test]
    fn marks_are_folded_by_partition_and_source_and_can_wait_for_a_later_batch() {
        let mark = |source: &str, seq: i64| Mark {
            source: source.to_owned(),
            seq: change_event::Version::try_from(seq).unwrap(),
            gtid: None,
            as_of: None,
        };
        let mut fold = Fold::default();
        fold.mark(0, 5, mark("a", 3));
        fold.mark(0, 6, mark("a", 4));
        fold.mark(0, 7, mark("b", 1));
        fold.mark(1, 2, mark("a", 2));
        let batch = fold.finish();
        assert_eq!(batch.offsets, Offsets::from([(0, 8), (1, 3)]));
        assert_eq!(batch.marks, [(0, mark("a", 4)), (0, mark("b", 1)), (1, mark("a", 2))]);
        let mut later = Fold::default();
        later.mark(0, 8, mark("a", 9));
        later.hold_back(batch.marks);
        later.forget(&[1]);
        assert!(later.has_marks());
        assert_eq!(later.finish().marks, [(0, mark("a", 9)), (0, mark("b", 1))]);
    }

    #[test]
    fn what_came_from_a_revoked_partition_is_forgotten() {
        let mut fold = Fold::default();
        fold.add(0, 0, record(1, 1, 1));
        fold.add(1, 0, record(2, 2, 2));
        fold.forget(&[0]);
        let batch = fold.finish();
        assert_eq!((batch.records.len(), batch.records[0].bill.account_id), (1, 2));
        assert_eq!(batch.offsets, Offsets::from([(1, 1)]));
    }
}
