//! The names of XA transactions: in the event that ends a prepared one, and in the text of XA COMMIT and XA ROLLBACK.

use super::bytes::{Bytes, DecodeError};
use std::fmt::Write;

/// What the event at the end of an XA transaction says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct XaEnd {
    /// `X'67',X'62',1`: both parts in lower-case hex and the format, as servers write it in statements.
    pub xid: String,
    /// It committed at once (MySQL); else it is prepared only.
    pub one_phase: bool,
}

/// Reads an XA_PREPARE_LOG_EVENT: one byte "one phase", format, lengths of both parts, both parts.
/// <https://dev.mysql.com/doc/dev/mysql-server/latest/classbinary__log_1_1XA__prepare__event.html>; MariaDB writes the same.
pub fn parse(mut body: Bytes<'_>) -> Result<XaEnd, DecodeError> {
    /// Longest part that the format allows.
    const LONGEST: u32 = 64;
    let one_phase = body.u8()? != 0;
    let format = i32::from_le_bytes(body.array()?);
    let (global, branch) = (u32::from_le_bytes(body.array()?), u32::from_le_bytes(body.array()?));
    if global > LONGEST || branch > LONGEST {
        return Err(DecodeError::Malformed("an XA transaction's name longer than 64 bytes"));
    }
    let mut xid = String::from("X'");
    for (part, end) in [(global, "',X'"), (branch, "',")] {
        for byte in body.take(part as usize)? {
            write!(xid, "{byte:02x}").map_err(|_| DecodeError::Malformed("a String takes any text"))?;
        }
        xid.push_str(end);
    }
    write!(xid, "{format}").map_err(|_| DecodeError::Malformed("a String takes any text"))?;
    Ok(XaEnd { xid, one_phase })
}

/// The name as servers write it in `XA COMMIT X'67',X'62',1`, in the form of [`XaEnd::xid`].
pub fn of_statement(after_verb: &str) -> String {
    let mut xid: String =
        after_verb.chars().filter(|c| !c.is_whitespace()).flat_map(char::to_lowercase).collect();
    if let Some(short) = xid.strip_suffix("onephase") {
        xid.truncate(short.len());
    }
    xid.replace("x'", "X'")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn event_and_statement_give_the_same_name() {
        let event = [0, 7, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, b'x', b'1', b'q'];
        let end = parse(Bytes(&event)).unwrap();
        assert_eq!((end.xid.as_str(), end.one_phase), ("X'7831',X'71',7", false));
        assert_eq!(of_statement(" X'7831',X'71',7"), end.xid);
        assert_eq!(of_statement("X'7831', x'71', 7 ONE PHASE"), end.xid);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_name_or_an_error_and_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40), text in any::<String>()) {
            let _ = parse(Bytes(&bytes));
            let _ = of_statement(&text);
        }
    }
}
