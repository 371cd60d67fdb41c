//! Order numbers: unique without asking anybody, and sorted by time.

use uuid::Uuid;

/// Crockford's base 32: no I, L, O or U, so a number can be read out on the phone.
const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// A new number: 26 digits of base 32 over a UUID version 7. Numbers of one process ascend.
pub(crate) fn order_number() -> String {
    encode(Uuid::now_v7().as_u128())
}

fn encode(value: u128) -> String {
    (0..26_u32)
        .rev()
        .map(|place| {
            let digit = (value >> (place * 5)) & 31;
            // masked to 5 bits
            char::from(DIGITS[usize::try_from(digit).unwrap_or_default()])
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_26_digits_and_ascend() {
        assert_eq!(encode(0), "0".repeat(26));
        assert_eq!(encode(u128::MAX), "7ZZZZZZZZZZZZZZZZZZZZZZZZZ");
        assert_eq!(encode(33), format!("{}11", "0".repeat(24)));
        let numbers: Vec<_> = (0..1000).map(|_| order_number()).collect();
        assert!(numbers.is_sorted() && numbers.iter().all(|number| number.len() == 26));
        assert_eq!(numbers.iter().collect::<std::collections::HashSet<_>>().len(), 1000);
    }
}
