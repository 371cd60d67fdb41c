//! Rows of one chunk, rendered: keys and `after` objects in one buffer, so that a row costs no allocation.

use std::ops::Range;

/// What one read brought.
#[derive(Debug, Default)]
pub(super) struct Piece {
    text: Vec<u8>,
    rows: Vec<(Range<usize>, Range<usize>)>,
    /// Up to which primary key this is everything; `None`: nothing was there.
    pub(super) upto: Option<Vec<String>>,
    /// Whether it ends its range; else more of the range follows.
    pub(super) last: bool,
    /// The source's clock at the read, in Unix milliseconds.
    pub(super) read_ms: i64,
}

impl Piece {
    /// Adds a row: `write` appends the `after` object, then the key, and answers where the key starts.
    pub(super) fn push<E>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> Result<usize, E>) -> Result<(), E> {
        let start = self.text.len();
        let key = write(&mut self.text)?;
        self.rows.push((key..self.text.len(), start..key));
        Ok(())
    }

    /// Keys and `after` objects, in the order of the key.
    pub(super) fn rows(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.rows.iter().map(|(key, after)| {
            let part = |range: &Range<usize>| self.text.get(range.clone()).unwrap_or_default();
            (part(key), part(after))
        })
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        self.text.len()
    }
}
