//! MySQL's binary JSON to the text that its own SELECT prints.
//!
//! Format: <https://dev.mysql.com/doc/dev/mysql-server/latest/json__binary_8h.html>. Objects and arrays hold offsets into themselves,
//! so what is read is bounded twice: by depth, as the server does, and by what so many bytes can honestly say.

mod scalar;

use super::bytes::{Bytes, DecodeError};
use crate::render;
use std::cell::RefCell;

/// The server refuses deeper documents; see `JSON_DOCUMENT_MAX_DEPTH`.
const DEEPEST: usize = 100;

/// Appends a document as a JSON string that holds its text.
pub(super) fn write(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    thread_local! {
        /// Reused from value to value.
        static TEXT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    }
    TEXT.with_borrow_mut(|text| {
        text.clear();
        put_text(bytes, text)?;
        let text = std::str::from_utf8(text).map_err(|_| DecodeError::Malformed("JSON that is not UTF-8"))?;
        render::text(out, text);
        Ok(())
    })
}

/// Appends a document's text.
fn put_text(bytes: &[u8], text: &mut Vec<u8>) -> Result<(), DecodeError> {
    // what an UPDATE IGNORE leaves in a NOT NULL column
    let Some((kind, value)) = bytes.split_first() else {
        text.extend_from_slice(b"null");
        return Ok(());
    };
    let most = text.len() + 1_024 + bytes.len().saturating_mul(16);
    Writer { text, most }.value(*kind, value, 0)
}

/// A document being written.
struct Writer<'a> {
    text: &'a mut Vec<u8>,
    /// Longer than this no honest document of its size becomes: elements that overlap would otherwise double with every level.
    most: usize,
}

impl Writer<'_> {
    fn value(&mut self, kind: u8, bytes: &[u8], depth: usize) -> Result<(), DecodeError> {
        if depth > DEEPEST {
            return Err(DecodeError::Malformed("JSON that is too deep"));
        }
        if self.text.len() > self.most {
            return Err(DecodeError::Malformed("JSON whose parts overlap"));
        }
        match kind {
            0..=3 => self.container(Container::parse(kind, bytes)?, depth),
            _ => scalar::put(kind, bytes, self.text),
        }
    }

    fn container(&mut self, container: Container<'_>, depth: usize) -> Result<(), DecodeError> {
        self.text.push(if container.object { b'{' } else { b'[' });
        for at in 0..container.count {
            if at > 0 {
                self.text.extend_from_slice(b", ");
            }
            if container.object {
                scalar::put_quoted(container.key(at)?, self.text);
                self.text.extend_from_slice(b": ");
            }
            let (kind, bytes) = container.value(at)?;
            self.value(kind, bytes, depth + 1)?;
        }
        self.text.push(if container.object { b'}' } else { b']' });
        Ok(())
    }
}

/// An object or array: a count and a size, then an entry per key, then an entry per value, then what they point to.
#[derive(Clone, Copy)]
struct Container<'a> {
    object: bool,
    count: usize,
    /// Bytes of an offset: 2 or 4.
    wide: usize,
    /// From the count on.
    bytes: &'a [u8],
}

impl<'a> Container<'a> {
    /// Kinds 0 to 3: small object, large object, small array, large array.
    fn parse(kind: u8, bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let wide = if matches!(kind, 0 | 2) { 2 } else { 4 };
        let mut head = Bytes(bytes);
        let count = head.uint(wide)? as usize;
        let size = head.uint(wide)? as usize;
        let bytes = bytes.get(..size).ok_or(DecodeError::Truncated)?;
        let this = Self { object: kind < 2, count, wide, bytes };
        if this.value_entry(count) > size {
            return Err(DecodeError::Malformed("JSON with more elements than bytes"));
        }
        Ok(this)
    }

    fn value_entry(&self, at: usize) -> usize {
        let keys = if self.object { self.count.saturating_mul(self.wide + 2) } else { 0 };
        (2 * self.wide).saturating_add(keys).saturating_add(at.saturating_mul(self.wide + 1))
    }

    fn from(&self, offset: usize) -> Result<Bytes<'a>, DecodeError> {
        self.bytes.get(offset..).map(Bytes).ok_or(DecodeError::Truncated)
    }

    fn key(&self, at: usize) -> Result<&'a [u8], DecodeError> {
        let mut entry = self.from(2 * self.wide + at * (self.wide + 2))?;
        let (offset, len) = (entry.uint(self.wide)? as usize, entry.uint(2)? as usize);
        self.from(offset)?.take(len)
    }

    fn value(&self, at: usize) -> Result<(u8, &'a [u8]), DecodeError> {
        let mut entry = self.from(self.value_entry(at))?;
        let kind = entry.u8()?;
        // what fits in place of the offset stands there: literals, 16-bit numbers, and 32-bit ones in a large container
        if matches!(kind, 4..=6) || (self.wide == 4 && matches!(kind, 7 | 8)) {
            return Ok((kind, entry.take(self.wide)?));
        }
        let offset = entry.uint(self.wide)? as usize;
        if offset < self.value_entry(self.count) {
            return Err(DecodeError::Malformed("JSON that points into its own head"));
        }
        Ok((kind, self.from(offset)?.0))
    }
}

#[cfg(test)]
mod tests;
