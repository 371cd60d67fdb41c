//! Strings of JSON.

/// How each byte stands in a JSON string: 0 as it is, `u` as `\u00xx`, anything else behind a backslash.
const ESCAPES: [u8; 256] = {
    let mut table = [0; 256];
    let mut control = 0;
    while control < 0x20 {
        table[control] = b'u';
        control += 1;
    }
    table[b'\n' as usize] = b'n';
    table[b'\r' as usize] = b'r';
    table[b'\t' as usize] = b't';
    table[b'"' as usize] = b'"';
    table[b'\\' as usize] = b'\\';
    table
};

fn escape_of(byte: u8) -> u8 {
    // a table of 256 holds every byte
    ESCAPES.get(usize::from(byte)).copied().unwrap_or_default()
}

/// CHAR, VARCHAR, TEXT, ENUM, SET, JSON, DECIMAL: a JSON string.
pub fn text(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut plain = 0;
    for (at, byte) in bytes.iter().enumerate() {
        let escape = escape_of(*byte);
        if escape == 0 {
            continue;
        }
        out.extend_from_slice(bytes.get(plain..at).unwrap_or_default());
        put_escaped(*byte, escape, out);
        plain = at + 1;
    }
    out.extend_from_slice(bytes.get(plain..).unwrap_or_default());
    out.push(b'"');
}

/// Whether the bytes are ASCII that stands in a JSON string as it is: most text is.
pub fn is_plain(bytes: &[u8]) -> bool {
    // without a way out in the middle it takes 16 bytes at a step
    !bytes.iter().fold(false, |other, byte| {
        other | (byte.wrapping_sub(0x20) >= 0x60) | (*byte == b'"') | (*byte == b'\\')
    })
}

fn put_escaped(byte: u8, escape: u8, out: &mut Vec<u8>) {
    if escape == b'u' {
        let hex = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
        out.extend_from_slice(&[b'\\', b'u', b'0', b'0', hex(byte >> 4), hex(byte & 15)]);
    } else {
        out.extend_from_slice(&[b'\\', escape]);
    }
}

/// Escapes what stands in `out` from `start` on, for text that was decoded into place. Most text has nothing to escape, and then this
/// only looks.
pub fn escape_from(out: &mut Vec<u8>, start: usize) {
    let written = out.get(start..).unwrap_or_default();
    let extra: usize = written
        .iter()
        .map(|byte| match escape_of(*byte) {
            0 => 0,
            b'u' => 5,
            _ => 1,
        })
        .sum();
    if extra == 0 {
        return;
    }
    let mut from = out.len();
    let mut to = from + extra;
    out.resize(to, 0);
    // from the end, so that nothing is overwritten before it is read
    while from > start {
        from -= 1;
        let Some(byte) = out.get(from).copied() else { return };
        let mut put = |bytes: &[u8]| {
            to -= bytes.len();
            if let Some(slot) = out.get_mut(to..to + bytes.len()) {
                slot.copy_from_slice(bytes);
            }
        };
        let hex = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
        match escape_of(byte) {
            0 => put(&[byte]),
            b'u' => put(&[b'\\', b'u', b'0', b'0', hex(byte >> 4), hex(byte & 15)]),
            escape => put(&[b'\\', escape]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn text_comes_back_from_json_as_it_was(value in any::<String>()) {
            let mut out = Vec::new();
            text(&mut out, &value);
            prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), value);
        }

        #[test]
        fn escaping_in_place_is_the_same(value in "[\\x00-\\x7fé\u{1f600}]{0,40}") {
            let mut direct = b"before".to_vec();
            text(&mut direct, &value);
            let mut in_place = b"before\"".to_vec();
            in_place.extend_from_slice(value.as_bytes());
            escape_from(&mut in_place, 7);
            in_place.push(b'"');
            prop_assert_eq!(in_place, direct);
        }
    }
}
