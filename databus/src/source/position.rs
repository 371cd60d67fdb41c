//! Binlog files in order. Names are compared by number: `binlog.999999` comes before `binlog.1000000`.

use change_event::checkpoint::BinlogPosition;
use std::cmp::Ordering;

/// The number at the end of a binlog file's name; `None` where there is none.
pub(crate) fn file_number(file: &str) -> Option<u64> {
    file.rsplit('.')
        .next()
        .filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))
        .and_then(|digits| digits.parse().ok())
}

/// Which of two places in one server's binlog comes first; `None` where the names do not compare.
pub(crate) fn compare(a: &BinlogPosition, b: &BinlogPosition) -> Option<Ordering> {
    let by_file = file_number(&a.file)?.cmp(&file_number(&b.file)?);
    Some(by_file.then(a.pos.cmp(&b.pos)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_millionth_file_comes_after_the_one_before_it() {
        let at = |file: &str, pos| BinlogPosition { file: file.to_owned(), pos };
        assert_eq!(compare(&at("binlog.999999", 900), &at("binlog.1000000", 4)), Some(Ordering::Less));
        assert_eq!(
            compare(&at("binlog.000002", 4), &at("binlog.000002", 5_000_000_000)),
            Some(Ordering::Less)
        );
        assert_eq!(compare(&at("binlog", 4), &at("binlog.000002", 4)), None);
    }
}
