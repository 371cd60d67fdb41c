//! A random table.

use super::column::Column;
use crate::harness::Flavour;
use crate::rng::Rng;
use anyhow::{Context, Result, ensure};
use change_event::{Row, envelope::Op};

pub struct Table {
    pub name: String,
    pub ddl: String,
    pub columns: Vec<Column>,
    /// Whether images of updates and deletes may be without generated columns: MariaDB from 11.8.9 on logs them so.
    lacks_generated: bool,
}

impl Table {
    pub fn random(name: &str, flavour: Flavour, rng: &mut Rng) -> Self {
        let count = 6 + rng.below(10);
        let columns: Vec<_> =
            (0..count).map(|at| Column::random(&format!("c{at} \"é`"), flavour, rng)).collect();
        // some keys have two columns, the second first
        let second = columns.iter().find(|column| column.fits_a_key).filter(|_| rng.one_in(3));
        let key = second.map_or("id".to_owned(), |column| format!("{}, id", quoted(&column.name)));
        Self { lacks_generated: flavour == Flavour::MariaDb118, ..Self::of(name, columns, &key) }
    }

    /// A table of these columns, and `id` and `pad` in front of them.
    pub fn of(name: &str, columns: Vec<Column>, key: &str) -> Self {
        let mut parts = vec!["id INT NOT NULL".to_owned(), "pad INT NOT NULL DEFAULT 0".to_owned()];
        parts.extend(columns.iter().map(|column| format!("{} {}", quoted(&column.name), column.ddl)));
        parts.push(format!("PRIMARY KEY ({key})"));
        let ddl = format!("CREATE TABLE {name} ({}) CHARACTER SET utf8mb4", parts.join(", "));
        Self { name: name.to_owned(), ddl, columns, lacks_generated: false }
    }

    /// A row with this id and random values in all columns that take some.
    pub fn insert(&self, id: u32, rng: &mut Rng) -> String {
        let mut names = vec!["id".to_owned()];
        let mut values = vec![id.to_string()];
        for column in &self.columns {
            if let Some(value) = column.literal(rng) {
                names.push(quoted(&column.name));
                values.push(value);
            }
        }
        format!("INSERT INTO {} ({}) VALUES ({})", self.name, names.join(", "), values.join(", "))
    }

    /// All rows: id and each column's canonical text.
    pub fn select(&self) -> String {
        let list: Vec<_> = self
            .columns
            .iter()
            .map(|column| {
                let name = quoted(&column.name);
                format!("IF({name} IS NULL, 'NULL', {})", column.canon.select(&name))
            })
            .collect();
        format!("SELECT id, {} FROM {}", list.join(", "), self.name)
    }

    /// An error unless the streamed row says what SELECT said.
    pub fn compare(&self, selected: &[&str], streamed: &Row<'_>, op: Op) -> Result<()> {
        ensure!(selected.len() == self.columns.len() + 1, "{} cells", selected.len());
        let may_lack = |column: &Column| self.lacks_generated && op != Op::Create && column.is_generated();
        let mut found = 2;
        for (column, selected) in self.columns.iter().zip(&selected[1..]) {
            let value = match streamed.get(&column.name) {
                None if may_lack(column) => continue,
                value => value.with_context(|| format!("no {}", column.name))?,
            };
            found += 1;
            let expected = column.canon.expected(selected, column.nullable);
            let found = column
                .canon
                .streamed(value)
                .with_context(|| format!("{} {}: {value:?}", column.name, column.ddl))?;
            ensure!(
                found == expected,
                "{} {}: streamed {found}, selected {expected}\n  {value:?}",
                column.name,
                column.ddl
            );
        }
        ensure!(streamed.columns().count() == found, "{} columns", streamed.columns().count());
        Ok(())
    }
}

fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}
