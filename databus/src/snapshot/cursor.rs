//! Primary keys as cursors: how one is read as text, and how it stands in a condition, so that the server alone orders and compares.

/// One column of the primary key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeyColumn {
    /// The column, quoted.
    pub(super) name: String,
    /// Reads it as a text that `bound` turns back into the same value.
    pub(super) selected: String,
    /// The value from a parameter, of the column's own type and collation: else the server would compare in another order, or without
    /// the index.
    pub(super) bound: String,
}

impl KeyColumn {
    /// `data_type` and `column_type` as `information_schema.columns` has them; `None` for a type that has no order to go by.
    pub(super) fn new(
        name: &str,
        data_type: &str,
        column_type: &str,
        charset: Option<&str>,
        collation: Option<&str>,
    ) -> Option<Self> {
        let name = quoted(name);
        let as_text = format!("CAST({name} AS CHAR)");
        let as_number = format!("CAST({name} + 0 AS CHAR)");
        let (selected, bound) = match data_type.to_ascii_lowercase().as_str() {
            "tinyint" | "smallint" | "mediumint" | "int" | "bigint" => {
                let sign =
                    if column_type.to_ascii_lowercase().contains("unsigned") { "UNSIGNED" } else { "SIGNED" };
                (as_text, format!("CAST(? AS {sign})"))
            }
            "year" | "enum" | "set" | "bit" => (as_number, "CAST(? AS UNSIGNED)".to_owned()),
            "decimal" => {
                let digits = column_type.split_once('(')?.1.split_once(')')?.0;
                let plain = digits.bytes().all(|b| b.is_ascii_digit() || b == b',');
                (as_text, plain.then(|| format!("CAST(? AS DECIMAL({digits}))"))?)
            }
            "float" | "double" => (format!("CAST({name} + 0e0 AS CHAR)"), "(? + 0e0)".to_owned()),
            "date" => (as_text, "CAST(? AS DATE)".to_owned()),
            "datetime" | "timestamp" => (as_text, "CAST(? AS DATETIME(6))".to_owned()),
            "time" => (as_text, "CAST(? AS TIME(6))".to_owned()),
            "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" => {
                let (charset, collation) = (plain_word(charset?)?, plain_word(collation?)?);
                (name.clone(), format!("CONVERT(? USING {charset}) COLLATE {collation}"))
            }
            "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => {
                (format!("HEX({name})"), "UNHEX(?)".to_owned())
            }
            "uuid" => (as_text, "CAST(? AS UUID)".to_owned()),
            "inet6" => (as_text, "CAST(? AS INET6)".to_owned()),
            "inet4" => (as_text, "CAST(? AS INET4)".to_owned()),
            _ => return None,
        };
        Some(Self { name, selected, bound })
    }
}

/// A name as SQL quotes it.
pub(super) fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

fn plain_word(word: &str) -> Option<&str> {
    word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_').then_some(word)
}

/// Keys behind a cursor, or up to one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// Greater.
    After,
    /// Less or equal.
    UpTo,
}

/// The condition, and which of the cursor's texts stands for each of its parameters. A row comparison `(a, b) > (?, ?)` says the same, but
/// the optimizer walks the index from its start for that.
pub(super) fn condition(key: &[KeyColumn], side: Side) -> (String, Vec<usize>) {
    let (strict, last) = match side {
        Side::After => (">", ">"),
        Side::UpTo => ("<", "<="),
    };
    let mut sql = String::new();
    let mut parameters = Vec::new();
    for (at, column) in key.iter().enumerate() {
        let KeyColumn { name, bound, .. } = column;
        if at + 1 == key.len() {
            sql.push_str(&format!("{name} {last} {bound}"));
            parameters.push(at);
        } else {
            sql.push_str(&format!("({name} {strict} {bound} OR ({name} = {bound} AND "));
            parameters.extend([at, at]);
        }
    }
    sql.push_str(&"))".repeat(key.len().saturating_sub(1)));
    (sql, parameters)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(columns: &[(&str, &str, &str)]) -> Vec<KeyColumn> {
        columns
            .iter()
            .map(|(name, data, column)| {
                KeyColumn::new(name, data, column, Some("utf8mb4"), Some("utf8mb4_general_ci")).unwrap()
            })
            .collect()
    }

    #[test]
    fn a_composite_key_is_compared_column_by_column() {
        let key = key(&[("a", "int", "int(10) unsigned"), ("b", "varchar", "varchar(9)")]);
        let (sql, parameters) = condition(&key, Side::After);
        assert_eq!(
            sql,
            "(`a` > CAST(? AS UNSIGNED) OR (`a` = CAST(? AS UNSIGNED) AND `b` > CONVERT(? USING utf8mb4) COLLATE utf8mb4_general_ci))"
        );
        assert_eq!(parameters, [0, 0, 1]);
        let (sql, _) = condition(&key[..1], Side::UpTo);
        assert_eq!(sql, "`a` <= CAST(? AS UNSIGNED)");
    }

    #[test]
    fn a_name_with_a_quote_stays_a_name_and_an_unknown_type_is_no_key() {
        assert_eq!(key(&[("a`b", "date", "date")])[0].selected, "CAST(`a``b` AS CHAR)");
        assert_eq!(KeyColumn::new("g", "geometry", "geometry", None, None), None);
        assert_eq!(KeyColumn::new("c", "char", "char(1)", Some("utf8; x"), Some("y")), None);
    }
}
