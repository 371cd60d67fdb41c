//! Rows events: images of rows, decoded cell by cell into JSON without an allocation per row.

use super::{
    bytes::{Bitmap, Bytes, DecodeError},
    cell,
    table_map::{Column, TableShape},
    value::Value,
};

/// The table that a rows event is about; leaves `body` behind the id and flags.
pub fn parse_table_id(body: &mut Bytes<'_>) -> Result<u64, DecodeError> {
    let table_id = body.uint(6)?;
    body.take(2)?;
    Ok(table_id)
}

/// The row images of one event.
#[derive(Debug)]
pub struct Images<'a> {
    shape: &'a TableShape,
    cells: Bytes<'a>,
}

impl<'a> Images<'a> {
    /// Reads what stands in front of the images. `extra`: MySQL's version-2 header; `pairs`: an update, which has two column bitmaps.
    pub fn parse(
        mut body: Bytes<'a>,
        shape: &'a TableShape,
        extra: bool,
        pairs: bool,
    ) -> Result<Self, DecodeError> {
        if extra {
            let len = body.uint(2)? as usize;
            body.take(len.checked_sub(2).ok_or(DecodeError::Truncated)?)?;
        }
        let count = body.lenenc_len()?;
        if count != shape.columns.len() {
            return Err(DecodeError::Malformed(
                "the rows have another number of columns than their table map",
            ));
        }
        for _ in 0..=usize::from(pairs) {
            if !Bitmap(body.take(count.div_ceil(8))?).all(count) {
                return Err(DecodeError::Unsupported(
                    "the row image is not FULL: set binlog_row_image=FULL on the source, for every session"
                        .to_owned(),
                ));
            }
        }
        Ok(Self { shape, cells: body })
    }

    /// Whether all images are read.
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// Appends the next image to `out` as a JSON object of all columns.
    pub fn write_row(&mut self, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        let nulls = Bitmap(self.cells.take(self.shape.columns.len().div_ceil(8))?);
        for (index, column) in self.shape.columns.iter().enumerate() {
            let start = out.len();
            out.extend_from_slice(&column.json_prefix);
            if index == 0
                && let Some(first) = out.get_mut(start)
            {
                *first = b'{';
            }
            if nulls.get(index) {
                out.extend_from_slice(b"null");
            } else {
                cell::decode(column, &mut self.cells)?.write_json(column, out)?;
            }
        }
        out.push(b'}');
        Ok(())
    }

    /// Hands `each` the next image's columns in table order, with their values; `None` is NULL.
    pub fn read_row(&mut self, mut each: impl FnMut(&Column, Option<Value<'_>>)) -> Result<(), DecodeError> {
        let nulls = Bitmap(self.cells.take(self.shape.columns.len().div_ceil(8))?);
        for (index, column) in self.shape.columns.iter().enumerate() {
            let value = if nulls.get(index) { None } else { Some(cell::decode(column, &mut self.cells)?) };
            each(column, value);
        }
        Ok(())
    }

    /// Appends the primary key of the image that [`write_row`](Self::write_row) would read next, as a JSON object in the key's own
    /// column order, and stays in front of the image.
    pub fn write_key(&self, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        out.push(b'{');
        let ascending = self.shape.primary_key.is_sorted();
        if ascending {
            // the usual key: one walk over the image
            self.write_columns(&self.shape.primary_key, out)?;
        } else {
            for (place, key) in self.shape.primary_key.iter().enumerate() {
                if place > 0 {
                    out.push(b',');
                }
                self.write_columns(std::slice::from_ref(key), out)?;
            }
        }
        out.push(b'}');
        Ok(())
    }

    /// Appends `"name":value` of these columns, whose indexes rise, without moving past the image.
    fn write_columns(&self, wanted: &[usize], out: &mut Vec<u8>) -> Result<(), DecodeError> {
        let mut cells = self.cells;
        let nulls = Bitmap(cells.take(self.shape.columns.len().div_ceil(8))?);
        let mut wanted = wanted.iter().peekable();
        let mut first = true;
        for (index, column) in self.shape.columns.iter().enumerate() {
            let Some(next) = wanted.peek() else { break };
            let keep = **next == index;
            let start = out.len();
            if keep {
                wanted.next();
                let prefix = column.json_prefix.get(usize::from(first)..).unwrap_or_default();
                first = false;
                out.extend_from_slice(prefix);
            }
            match (nulls.get(index), keep) {
                (true, true) => out.extend_from_slice(b"null"),
                (true, false) => {}
                (false, true) => cell::decode(column, &mut cells)?.write_json(column, out)?,
                (false, false) => drop(cell::decode(column, &mut cells)?),
            }
            if !keep {
                out.truncate(start);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binlog::{charset::Charset, column::ColumnKind, table_map::Column};
    use proptest::prelude::*;

    fn shape() -> TableShape {
        let column = |name: &str, kind| Column {
            name: name.to_owned(),
            kind,
            nullable: true,
            json_prefix: format!(",\"{name}\":").into_bytes(),
        };
        TableShape {
            columns: vec![
                column("a", ColumnKind::Int { width: 4, unsigned: false }),
                column("b", ColumnKind::Chars { length_bytes: 1, charset: Charset::Utf8 }),
                column("c", ColumnKind::Int { width: 1, unsigned: true }),
            ],
            primary_key: vec![2, 0],
        }
    }

    #[test]
    fn a_row_is_all_its_columns_and_its_key_follows_the_index_order() {
        let shape = shape();
        let body = [3, 0b111, 0b010, 1, 0, 0, 0, 9, 0b000, 2, 0, 0, 0, 1, b'x', 8];
        let mut images = Images::parse(Bytes(&body), &shape, false, false).unwrap();
        let mut out = Vec::new();
        images.write_key(&mut out).unwrap();
        assert_eq!(out, br#"{"c":9,"a":1}"#);
        out.clear();
        images.write_row(&mut out).unwrap();
        images.write_row(&mut out).unwrap();
        assert_eq!(out, br#"{"a":1,"b":null,"c":9}{"a":2,"b":"x","c":8}"#);
        assert!(images.is_empty());
    }

    #[test]
    fn a_partial_row_image_is_refused() {
        let error = Images::parse(Bytes(&[3, 0b101]), &shape(), false, false).unwrap_err();
        assert!(error.to_string().contains("binlog_row_image=FULL"), "{error}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_rows_or_an_error_and_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..96), extra: bool, pairs: bool) {
            let shape = shape();
            if let Ok(mut images) = Images::parse(Bytes(&bytes), &shape, extra, pairs) {
                let mut out = Vec::new();
                while !images.is_empty() {
                    if images.write_key(&mut out).is_err() || images.write_row(&mut out).is_err() { break; }
                }
            }
        }
    }
}
