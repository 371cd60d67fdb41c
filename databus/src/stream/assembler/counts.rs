//! What was seen and what became of it (G1).

/// What was seen and what became of it (G1): `seen = published + repeated + undone` at every commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Rows of captured tables read.
    pub seen: u64,
    /// Rows handed to Kafka; a changed primary key is one row and two changes.
    pub published: u64,
    /// Rows read again after a restart within a transaction, whose changes are in Kafka already.
    pub repeated: u64,
    /// Rows that a rollback, or the source's death, undid.
    pub undone: u64,
    /// Transactions completed.
    pub transactions: u64,
    /// Truncate marks.
    pub truncates: u64,
    /// Snapshots asked for.
    pub snapshots_needed: u64,
    /// Changes in statement format in databases without captured tables.
    pub statements_elsewhere: u64,
}

impl Counts {
    /// What was counted since `before`.
    pub fn since(self, before: Self) -> Self {
        Self {
            seen: self.seen - before.seen,
            published: self.published - before.published,
            repeated: self.repeated - before.repeated,
            undone: self.undone - before.undone,
            transactions: self.transactions - before.transactions,
            truncates: self.truncates - before.truncates,
            snapshots_needed: self.snapshots_needed - before.snapshots_needed,
            statements_elsewhere: self.statements_elsewhere - before.statements_elsewhere,
        }
    }

    /// Whether every row that was read became something (G1).
    pub fn add_up(self) -> bool {
        self.seen == self.published + self.repeated + self.undone
    }
}
