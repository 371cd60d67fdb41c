//! SQL text as words, names and symbols: as much of the language as recognising a few statements needs.
//!
//! Comments are skipped, except executable ones (`/*! ... */`, `/*M! ... */`), whose content counts.

/// One piece of SQL text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// Not quoted: a keyword or a name.
    Word(String),
    /// Quoted: a name.
    Name(String),
    /// A string.
    Text,
    /// Anything else, one character at a time.
    Symbol(char),
}

/// How the session that wrote the text quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quoting {
    /// `"` quotes names (`ANSI_QUOTES`).
    pub ansi: bool,
    /// A backslash in a string is a backslash (`NO_BACKSLASH_ESCAPES`).
    pub plain_backslash: bool,
}

/// A table as a statement names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TableRef {
    /// Its database, the session's where the text gives none.
    pub database: String,
    /// Its name.
    pub table: String,
}

/// Reads SQL text piece by piece.
#[derive(Debug, Clone)]
pub(super) struct Words<'a> {
    rest: &'a str,
    quoting: Quoting,
}

impl<'a> Words<'a> {
    pub(super) fn new(text: &'a str, quoting: Quoting) -> Self {
        Self { rest: text, quoting }
    }

    /// What is not read yet.
    pub(super) fn rest(&self) -> &'a str {
        self.rest
    }

    /// The next unquoted word in capitals; everything before it is passed over.
    pub(super) fn next_keyword(&mut self) -> Option<String> {
        loop {
            if let Token::Word(word) = self.next()? {
                return Some(word.to_ascii_uppercase());
            }
        }
    }

    pub(super) fn peek(&self) -> Option<Token> {
        self.clone().next()
    }

    /// Whether the next piece is this word, in capitals or not.
    pub(super) fn at(&self, word: &str) -> bool {
        matches!(self.peek(), Some(Token::Word(next)) if next.eq_ignore_ascii_case(word))
    }

    /// Steps over these words, in any order and number.
    pub(super) fn pass(&mut self, words: &[&str]) {
        while words.iter().any(|word| self.at(word)) {
            self.next();
        }
    }

    pub(super) fn skip_symbol(&mut self, symbol: char) -> bool {
        let there = self.peek() == Some(Token::Symbol(symbol));
        if there {
            self.next();
        }
        there
    }

    /// A name with or without its database.
    pub(super) fn table(&mut self, default_database: &str) -> Option<TableRef> {
        let first = self.name()?;
        if self.peek() == Some(Token::Symbol('.')) {
            self.next();
            return Some(TableRef { database: first, table: self.name()? });
        }
        Some(TableRef { database: default_database.to_owned(), table: first })
    }

    pub(super) fn name(&mut self) -> Option<String> {
        match self.peek()? {
            Token::Word(name) | Token::Name(name) => {
                self.next();
                Some(name)
            }
            Token::Text | Token::Symbol(_) => None,
        }
    }

    /// Up to the next comma outside parentheses, which is stepped over, or the end; `None` at the end.
    pub(super) fn clause(&mut self) -> Option<Vec<Token>> {
        self.peek()?;
        let mut depth = 0usize;
        let mut clause = Vec::new();
        for token in self.by_ref() {
            match token {
                Token::Symbol(',') if depth == 0 => break,
                Token::Symbol('(') => depth += 1,
                Token::Symbol(')') => depth = depth.saturating_sub(1),
                _ => {}
            }
            clause.push(token);
        }
        Some(clause)
    }

    /// The text up to the closing quote; a doubled quote stands for itself, in strings a backslash escapes.
    fn quoted(&mut self, quote: char) -> String {
        let escapes = quote != '`' && !self.quoting.plain_backslash && !(quote == '"' && self.quoting.ansi);
        let mut name = String::new();
        let mut chars = self.rest.char_indices().skip(1).peekable();
        while let Some((at, c)) = chars.next() {
            if c == '\\' && escapes {
                name.extend(chars.next().map(|(_, escaped)| escaped));
            } else if c == quote {
                if chars.peek().is_some_and(|(_, next)| *next == quote) {
                    chars.next();
                    name.push(quote);
                } else {
                    self.rest = self.rest.get(at + c.len_utf8()..).unwrap_or_default();
                    return name;
                }
            } else {
                name.push(c);
            }
        }
        self.rest = "";
        name
    }

    /// Steps over blanks, comments and the ends of executable ones.
    fn skip_blank(&mut self) {
        loop {
            self.rest = self.rest.trim_start();
            if let Some(comment) = self.rest.strip_prefix("/*") {
                if let Some(code) = comment.strip_prefix("M!").or_else(|| comment.strip_prefix('!')) {
                    // the version number in front is not code
                    self.rest = code.trim_start_matches(|c: char| c.is_ascii_digit());
                } else {
                    self.rest = comment.find("*/").and_then(|end| comment.get(end + 2..)).unwrap_or_default();
                }
            } else if let Some(rest) = self.rest.strip_prefix("*/") {
                self.rest = rest;
            } else if self.rest.starts_with('#')
                || self
                    .rest
                    .strip_prefix("--")
                    .is_some_and(|rest| rest.chars().next().is_none_or(char::is_whitespace))
            {
                self.rest = self.rest.find('\n').and_then(|end| self.rest.get(end + 1..)).unwrap_or_default();
            } else {
                return;
            }
        }
    }
}

impl Iterator for Words<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        self.skip_blank();
        let first = self.rest.chars().next()?;
        Some(match first {
            '`' => Token::Name(self.quoted('`')),
            '"' if self.quoting.ansi => Token::Name(self.quoted('"')),
            '"' | '\'' => {
                self.quoted(first);
                Token::Text
            }
            _ if is_name(first) => {
                let end = self.rest.find(|c| !is_name(c)).unwrap_or(self.rest.len());
                let (name, rest) = self.rest.split_at(end);
                self.rest = rest;
                Token::Word(name.to_owned())
            }
            _ => {
                self.rest = self.rest.get(first.len_utf8()..).unwrap_or_default();
                Token::Symbol(first)
            }
        })
    }
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$' || c as u32 >= 0x80
}
