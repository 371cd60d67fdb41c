//! Data changes in statement format: rows change and no row event says how. Whose rows, only the server knows for certain: a view, a
//! trigger or a stored function can take any statement to any table. So a statement is harmless only where that is ruled out.

use super::{
    Statement,
    words::{TableRef, Token, Words},
};

/// What may stand in front of a parenthesis without being a stored function.
const NOT_STORED: [&str; 84] = [
    "ABS",
    "AND",
    "AS",
    "AVG",
    "BETWEEN",
    "BIGINT",
    "BINARY",
    "BY",
    "CASE",
    "CAST",
    "CEIL",
    "CEILING",
    "CHAR",
    "CHAR_LENGTH",
    "COALESCE",
    "CONCAT",
    "CONCAT_WS",
    "CONVERT",
    "COUNT",
    "CRC32",
    "CURDATE",
    "CURRENT_TIMESTAMP",
    "DATE",
    "DATE_ADD",
    "DATE_FORMAT",
    "DATE_SUB",
    "DATETIME",
    "DECIMAL",
    "ELSE",
    "EXISTS",
    "FLOOR",
    "FROM",
    "FROM_UNIXTIME",
    "GREATEST",
    "GROUP_CONCAT",
    "HEX",
    "IF",
    "IFNULL",
    "IN",
    "INT",
    "INTERVAL",
    "INTO",
    "JOIN",
    "KEY",
    "LEAST",
    "LEFT",
    "LENGTH",
    "LIKE",
    "LOWER",
    "MAX",
    "MD5",
    "MIN",
    "MOD",
    "NOT",
    "NOW",
    "NULLIF",
    "ON",
    "OR",
    "OVER",
    "PARTITION",
    "RAND",
    "REPEAT",
    "REPLACE",
    "RIGHT",
    "ROUND",
    "ROW_NUMBER",
    "SELECT",
    "SET",
    "SHA1",
    "SUBSTR",
    "SUBSTRING",
    "SUM",
    "THEN",
    "TRIM",
    "UNION",
    "UNIX_TIMESTAMP",
    "UPPER",
    "USING",
    "UUID",
    "VALUE",
    "VALUES",
    "VARCHAR",
    "WHEN",
    "WHERE",
];

impl Statement<'_> {
    /// The table that a data change writes to. `None` where there may be more than one, or where it cannot be told.
    pub fn written_table(&self) -> Option<TableRef> {
        const HINTS: [&str; 7] =
            ["LOW_PRIORITY", "DELAYED", "HIGH_PRIORITY", "QUICK", "IGNORE", "INTO", "HISTORY"];
        let mut words = self.words();
        match self.verb(&mut words)?.as_str() {
            "INSERT" | "REPLACE" => words.pass(&HINTS),
            "DELETE" => {
                words.pass(&HINTS);
                if !words.at("FROM") {
                    return None;
                }
                words.next();
            }
            "UPDATE" => words.pass(&HINTS),
            "LOAD" => {
                while !words.at("TABLE") {
                    words.next()?;
                }
                words.next();
            }
            _ => return None,
        }
        let table = words.table(self.database)?;
        let joins = words.any(|token| match token {
            Token::Word(word) => ["JOIN", "USING"].iter().any(|join| word.eq_ignore_ascii_case(join)),
            _ => false,
        });
        // several tables before SET or behind FROM
        (!joins && !self.lists_tables()).then_some(table)
    }

    fn lists_tables(&self) -> bool {
        let mut words = self.words();
        let Some(verb) = self.verb(&mut words) else { return true };
        if verb != "UPDATE" && verb != "DELETE" {
            return false;
        }
        for token in words {
            match token {
                Token::Symbol(',') => return true,
                Token::Word(word) if ["SET", "WHERE"].iter().any(|end| word.eq_ignore_ascii_case(end)) => {
                    return false;
                }
                _ => {}
            }
        }
        false
    }

    /// Whether a stored function may be called: a name in front of a parenthesis that is none of the server's own usual ones.
    pub fn may_call_code(&self) -> bool {
        let written = self.written_table();
        let mut before: Option<String> = None;
        for token in self.words() {
            if token == Token::Symbol('(')
                && let Some(name) = before
            {
                // the column list behind the written table's name
                let is_target = written.as_ref().is_some_and(|written| written.table == name);
                if !is_target && !NOT_STORED.iter().any(|known| name.eq_ignore_ascii_case(known)) {
                    return true;
                }
            }
            before = match token {
                Token::Word(name) | Token::Name(name) => Some(name),
                Token::Text | Token::Symbol(_) => None,
            };
        }
        false
    }

    /// The temporary table that the statement makes.
    pub fn makes_temporary(&self) -> Option<TableRef> {
        let mut words = self.words();
        if self.verb(&mut words)? != "CREATE" {
            return None;
        }
        words.pass(&["OR", "REPLACE"]);
        if !words.at("TEMPORARY") {
            return None;
        }
        words.pass(&["TEMPORARY", "TABLE", "IF", "NOT", "EXISTS"]);
        words.table(self.database)
    }

    /// The tables that a DROP TABLE or DROP TEMPORARY TABLE names.
    pub fn drops_tables(&self) -> Vec<TableRef> {
        let mut words: Words<'_> = self.words();
        let mut dropped = Vec::new();
        if self.verb(&mut words).as_deref() == Some("DROP") {
            words.pass(&["TEMPORARY", "TABLE", "TABLES", "IF", "EXISTS"]);
            while let Some(table) = words.table(self.database) {
                dropped.push(table);
                if !words.skip_symbol(',') {
                    break;
                }
            }
        }
        dropped
    }
}
