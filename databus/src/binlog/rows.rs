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
///
/// MariaDB 11.8.9 and later leave generated columns out of the images of UPDATE and DELETE, `binlog_row_image=FULL` or not: such a
/// column is absent from what is written here, too, as its value is nowhere in the log.
#[derive(Debug)]
pub struct Images<'a> {
    shape: &'a TableShape,
    cells: Bytes<'a>,
    /// Columns of the image that is read next, and of the one behind it: those before and after an update.
    held: Held<'a>,
    held_next: Held<'a>,
}

/// Which columns an image holds.
#[derive(Debug, Clone, Copy)]
struct Held<'a> {
    count: usize,
    /// Where some are missing.
    some: Option<Bitmap<'a>>,
}

impl<'a> Held<'a> {
    /// Only what the server computes may be missing, and no part of the key.
    fn of(bitmap: Bitmap<'a>, shape: &TableShape) -> Result<Self, DecodeError> {
        let all = shape.columns.len();
        let count = bitmap.count(all);
        if count == all {
            return Ok(Self { count, some: None });
        }
        let missing = |(index, _): &(usize, &Column)| !bitmap.get(*index);
        for (index, column) in shape.columns.iter().enumerate().filter(missing) {
            if !column.generated {
                return Err(DecodeError::PartialImage);
            }
            if shape.primary_key.contains(&index) {
                return Err(column.blame(DecodeError::Unsupported(
                    "it is generated and part of the primary key, and this server leaves it out of the row image"
                        .to_owned(),
                )));
            }
        }
        Ok(Self { count, some: Some(bitmap) })
    }

    fn has(&self, index: usize) -> bool {
        self.some.is_none_or(|held| held.get(index))
    }

    /// The flags in front of an image: one for each column that it holds.
    fn nulls<'b>(&self, cells: &mut Bytes<'b>) -> Result<Nulls<'b>, DecodeError> {
        Ok(Nulls { bits: Bitmap(cells.take(self.count.div_ceil(8))?), at: 0 })
    }
}

/// Which of an image's columns are NULL, in order.
struct Nulls<'a> {
    bits: Bitmap<'a>,
    at: usize,
}

impl Nulls<'_> {
    fn next(&mut self) -> bool {
        let null = self.bits.get(self.at);
        self.at += 1;
        null
    }
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
        let mut bitmap = || Held::of(Bitmap(body.take(count.div_ceil(8))?), shape);
        let held = bitmap()?;
        let held_next = if pairs { bitmap()? } else { held };
        Ok(Self { shape, cells: body, held, held_next })
    }

    /// Whether all images are read.
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// Appends the next image to `out` as a JSON object of all columns that it holds.
    pub fn write_row(&mut self, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        let start = out.len();
        self.read_columns(|column, null, cells| {
            out.extend_from_slice(&column.json_prefix);
            if null {
                out.extend_from_slice(b"null");
                return Ok(());
            }
            cell::decode(column, cells)?.write_json(column, out)
        })?;
        // in place of the first comma
        match out.get_mut(start) {
            Some(first) => *first = b'{',
            None => out.push(b'{'),
        }
        out.push(b'}');
        Ok(())
    }

    /// Hands `each` the next image's columns in table order, with their values; `None` is NULL.
    pub fn read_row(&mut self, mut each: impl FnMut(&Column, Option<Value<'_>>)) -> Result<(), DecodeError> {
        self.read_columns(|column, null, cells| {
            each(column, if null { None } else { Some(cell::decode(column, cells)?) });
            Ok(())
        })
    }

    /// Hands `each` the columns that the next image holds, whether they are NULL, and the bytes to read a value from.
    #[inline]
    fn read_columns(
        &mut self,
        mut each: impl FnMut(&'a Column, bool, &mut Bytes<'a>) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        let held = std::mem::replace(&mut self.held, self.held_next);
        self.held_next = held;
        let mut nulls = held.nulls(&mut self.cells)?;
        for (index, column) in self.shape.columns.iter().enumerate() {
            if held.has(index) {
                each(column, nulls.next(), &mut self.cells)?;
            }
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
        let mut nulls = self.held.nulls(&mut cells)?;
        let mut wanted = wanted.iter().peekable();
        let mut first = true;
        for (index, column) in self.shape.columns.iter().enumerate() {
            let Some(next) = wanted.peek() else { break };
            if !self.held.has(index) {
                continue;
            }
            let keep = **next == index;
            let start = out.len();
            if keep {
                wanted.next();
                let prefix = column.json_prefix.get(usize::from(first)..).unwrap_or_default();
                first = false;
                out.extend_from_slice(prefix);
            }
            match (nulls.next(), keep) {
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
            generated: name == "b",
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
        for held in [0b110, 0b011, 0b010, 0] {
            let error = Images::parse(Bytes(&[3, held]), &shape(), false, false).unwrap_err();
            assert_eq!(error, DecodeError::PartialImage);
            let error = Images::parse(Bytes(&[3, 0b111, held]), &shape(), false, true).unwrap_err();
            assert_eq!(error, DecodeError::PartialImage);
        }
        assert!(DecodeError::PartialImage.to_string().contains("binlog_row_image=FULL"));
    }

    #[test]
    fn a_generated_column_that_the_server_leaves_out_is_absent() {
        let shape = shape();
        let body = [
            3, 0b101, 0b111, 0b10, 1, 0, 0, 0, 0b010, 1, 0, 0, 0, 9, 0b00, 2, 0, 0, 0, 7, 0b000, 3, 0, 0, 0,
            1, b'x', 8,
        ];
        let mut images = Images::parse(Bytes(&body), &shape, false, true).unwrap();
        let mut out = Vec::new();
        while !images.is_empty() {
            images.write_key(&mut out).unwrap();
            images.write_row(&mut out).unwrap();
        }
        let expected = [
            r#"{"c":null,"a":1}{"a":1,"c":null}{"c":9,"a":1}{"a":1,"b":null,"c":9}"#,
            r#"{"c":7,"a":2}{"a":2,"c":7}{"c":8,"a":3}{"a":3,"b":"x","c":8}"#,
        ];
        assert_eq!(String::from_utf8(out).unwrap(), expected.concat());
    }

    #[test]
    fn a_generated_column_of_the_key_that_the_server_leaves_out_is_refused_by_name() {
        let shape = TableShape { primary_key: vec![1, 0], ..shape() };
        let error = Images::parse(Bytes(&[3, 0b101]), &shape, false, false).unwrap_err();
        assert!(error.to_string().starts_with("column `b`: it is generated"), "{error}");
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
