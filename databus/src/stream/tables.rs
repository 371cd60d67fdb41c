//! The tables of the current binlog file: captured ones with their shape, all others by id alone.

use super::envelope::TablePrefix;
use crate::binlog::{
    DecodeError,
    bytes::Bytes,
    column::{Flavour, ToldColumn},
    table_map::{self, TableShape},
};
use std::collections::{BTreeMap, HashMap};

/// A table that a rows event can name.
#[derive(Debug)]
pub(super) enum Table {
    /// Nobody asked for it: its rows are not even decoded, so it cannot stop the stream.
    Foreign,
    /// Captured.
    Captured(Box<Captured>),
}

/// A captured table as the latest table map describes it.
#[derive(Debug)]
pub(super) struct Captured {
    /// `database.table`, for messages and metrics.
    pub(super) name: String,
    pub(super) shape: TableShape,
    pub(super) prefix: TablePrefix,
    /// The map's bytes: when the next one is equal, nothing is parsed again.
    map_bytes: Vec<u8>,
    /// Which of the captured tables.
    index: usize,
}

/// Which tables are captured, and what is known of the ids in the current file.
#[derive(Debug)]
pub(super) struct Tables {
    captured: Vec<(String, String)>,
    /// Whose binlog the current file is.
    flavour: Flavour,
    /// Types that the log does not tell.
    told: Vec<ToldColumn>,
    by_id: HashMap<u64, Table>,
    /// Changes in the transaction so far, by captured table, whatever ids the server gives it meanwhile.
    orders: Vec<u64>,
}

impl Tables {
    pub(super) fn new(captured: Vec<(String, String)>) -> Self {
        let orders = vec![0; captured.len()];
        Self { captured, flavour: Flavour::default(), told: Vec::new(), by_id: HashMap::new(), orders }
    }

    /// Takes in what `information_schema` says of columns that the log shows as binary.
    pub(super) fn tell(&mut self, told: Vec<ToldColumn>) {
        self.told = told;
    }

    /// The captured tables as (database, table).
    pub(super) fn captured(&self) -> &[(String, String)] {
        &self.captured
    }

    /// Takes in a format description event's body.
    pub(super) fn describe(&mut self, body: &[u8]) {
        self.flavour = Flavour::of_description(body);
    }

    /// Ids mean something only until the next file.
    pub(super) fn forget(&mut self) {
        self.by_id.clear();
    }

    /// Takes a table map in; whether its table is captured. The error names the table where it is.
    pub(super) fn learn(&mut self, bytes: Bytes<'_>) -> Result<bool, (Option<String>, DecodeError)> {
        let mut body = bytes;
        let name = table_map::parse_name(&mut body).map_err(|error| (None, error))?;
        if let Some(Table::Captured(known)) = self.by_id.get(&name.table_id)
            && known.map_bytes == bytes.0
        {
            return Ok(true);
        }
        let wanted = self
            .captured
            .iter()
            .position(|(database, table)| database == name.database && table == name.table);
        let table = if let Some(index) = wanted {
            let full = format!("{}.{}", name.database, name.table);
            let mut shape =
                table_map::parse_shape(body, self.flavour).map_err(|error| (Some(full.clone()), error))?;
            shape.apply(&name, &self.told);
            if shape.primary_key.is_empty() {
                let reason = "the table has no primary key, so its changes cannot be keyed".to_owned();
                return Err((Some(full), DecodeError::Unsupported(reason)));
            }
            let prefix = TablePrefix::new(name.database, name.table);
            Table::Captured(Box::new(Captured {
                name: full,
                shape,
                prefix,
                map_bytes: bytes.0.to_vec(),
                index,
            }))
        } else {
            Table::Foreign
        };
        self.by_id.insert(name.table_id, table);
        Ok(wanted.is_some())
    }

    /// A captured table, and its changes in the transaction so far.
    pub(super) fn captured_mut(&mut self, table_id: u64) -> Option<(&Captured, &mut u64)> {
        match self.by_id.get(&table_id) {
            Some(Table::Captured(captured)) => {
                self.orders.get_mut(captured.index).map(|order| (captured.as_ref(), order))
            }
            _ => None,
        }
    }

    pub(super) fn get(&self, table_id: u64) -> Option<&Table> {
        self.by_id.get(&table_id)
    }

    /// Changes in the transaction so far, by table; tables without any are left out.
    pub(super) fn orders(&self) -> BTreeMap<String, u64> {
        let named = self.captured.iter().zip(&self.orders).filter(|(_, order)| **order > 0);
        named.map(|((database, table), order)| (format!("{database}.{table}"), *order)).collect()
    }

    /// A new transaction counts from the start.
    pub(super) fn restart_orders(&mut self) {
        self.orders.fill(0);
    }
}
