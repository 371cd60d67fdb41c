//! A sorted stream of things by bill id, read page by page, with a look at the next one.

use std::collections::VecDeque;

use anyhow::bail;
use tokio::sync::mpsc::Receiver;

/// Things with the bill id they belong to, sorted by it.
pub(super) type Page<T> = Vec<(String, T)>;

/// Pages ahead of the merge: bounds the memory and lets reading and comparing overlap.
pub(super) const PAGES_AHEAD: usize = 2;

/// Reads pages that a task sends; the channel's end is the end.
pub(super) struct Cursor<T> {
    pages: Receiver<anyhow::Result<Page<T>>>,
    page: VecDeque<(String, T)>,
    /// Things of the next bill id: all of them, once it was peeked at.
    next: Vec<T>,
    next_id: Option<String>,
    ended: bool,
}

impl<T> Cursor<T> {
    pub(super) fn new(pages: Receiver<anyhow::Result<Page<T>>>) -> Self {
        Self { pages, page: VecDeque::new(), next: Vec::new(), next_id: None, ended: false }
    }

    /// The next bill id; `None` at the end.
    pub(super) async fn peek(&mut self) -> anyhow::Result<Option<String>> {
        if self.next_id.is_none() {
            self.gather().await?;
        }
        Ok(self.next_id.clone())
    }

    /// Everything of `bill_id`, if that is the next one.
    pub(super) fn take(&mut self, bill_id: &str) -> Vec<T> {
        if self.next_id.as_deref() != Some(bill_id) {
            return Vec::new();
        }
        self.next_id = None;
        std::mem::take(&mut self.next)
    }

    async fn gather(&mut self) -> anyhow::Result<()> {
        loop {
            while let Some((id, _)) = self.page.front() {
                match &self.next_id {
                    Some(next) if next < id => return Ok(()),
                    // a merge over unsorted input would report differences that are none
                    Some(next) if next > id => bail!("input is not sorted: {id} after {next}"),
                    _ => {}
                }
                if let Some((id, thing)) = self.page.pop_front() {
                    self.next_id = Some(id);
                    self.next.push(thing);
                }
            }
            if self.ended {
                return Ok(());
            }
            match self.pages.recv().await {
                Some(page) => self.page.extend(page?),
                None => self.ended = true,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn things_of_one_bill_come_together_across_pages() {
        let (sender, receiver) = tokio::sync::mpsc::channel(4);
        for page in [vec![("a", 1), ("b", 2)], vec![("b", 3), ("c", 4)], vec![]] {
            sender.send(Ok(page.into_iter().map(|(id, n)| (id.to_owned(), n)).collect())).await.unwrap();
        }
        drop(sender);
        let mut cursor = Cursor::new(receiver);
        let mut seen = Vec::new();
        while let Some(id) = cursor.peek().await.unwrap() {
            assert_eq!(cursor.take("0"), Vec::<i32>::new());
            let things = cursor.take(&id);
            seen.push((id, things));
        }
        assert_eq!(
            seen,
            [("a".to_owned(), vec![1]), ("b".to_owned(), vec![2, 3]), ("c".to_owned(), vec![4])]
        );
    }

    #[tokio::test]
    async fn unsorted_input_is_an_error() {
        let (sender, receiver) = tokio::sync::mpsc::channel(1);
        sender.send(Ok(vec![("b".to_owned(), 1), ("a".to_owned(), 2)])).await.unwrap();
        drop(sender);
        assert!(Cursor::new(receiver).peek().await.is_err());
    }
}
