//! The operator's own SQL predicate: it stands in parentheses within our statement, so it must be one expression and end itself.

/// Why a text cannot be a predicate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the filter {problem}: wanted one SQL predicate over the table's columns, such as \"amount > 100 AND currency = 'CNY'\""
)]
pub(super) struct FilterError {
    problem: &'static str,
}

/// Whether the text stays within the parentheses that are put around it. Whether it is SQL, the server says.
pub(super) fn check(predicate: &str) -> Result<(), FilterError> {
    let refused = |problem| Err(FilterError { problem });
    if predicate.trim().is_empty() {
        return refused("is empty");
    }
    let mut depth = 0usize;
    let mut rest = predicate.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\'' | '"' | '`' => loop {
                match rest.next() {
                    None => return refused("has a quote that is never closed"),
                    Some('\\') if c != '`' => drop(rest.next()),
                    Some(end) if end == c => break,
                    Some(_) => {}
                }
            },
            '(' => depth += 1,
            ')' => match depth.checked_sub(1) {
                Some(outer) => depth = outer,
                None => return refused("closes a parenthesis that it did not open"),
            },
            ';' => return refused("holds a semicolon"),
            '?' => return refused("holds a placeholder"),
            '#' => return refused("holds a comment"),
            '-' if rest.peek() == Some(&'-') => return refused("holds a comment"),
            '/' if rest.peek() == Some(&'*') => return refused("holds a comment"),
            '\0' => return refused("holds a zero byte"),
            _ => {}
        }
    }
    if depth > 0 { refused("opens a parenthesis that it does not close") } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_predicate_stays_within_its_parentheses() {
        for good in [
            "a = 1",
            "a IN (1, (2)) AND b = 'it''s (; -- fine'",
            "`odd)name` > 0",
            r#"b = "\")""#,
            "a - -1 > 0",
            "a = '?'",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "  ",
            "a = 1) OR (1 = 1",
            "(a = 1",
            "a = 1; DROP TABLE t",
            "a = 1 -- x",
            "a = 1 # x",
            "a = ?",
            "a /* x",
            "a = 'x",
            "a=1)",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in any::<String>()) {
            let _ = check(&text);
        }
    }
}
