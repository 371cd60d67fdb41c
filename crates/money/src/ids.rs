//! Ids of the ledger's rows. In JSON they are decimal strings: a 64-bit integer does not survive every reader's number type.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// A text that is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an id is a decimal number from 1 to 18446744073709551615 without sign or leading zero")]
pub struct IdError;

fn parse(text: &str) -> Result<u64, IdError> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
    if plain { text.parse().map_err(|_| IdError) } else { Err(IdError) }
}

macro_rules! id {
    ($(#[$doc:meta] $name:ident),+ $(,)?) => {$(
        #[$doc]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(pub u64);

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                parse(text).map(Self)
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0.to_string()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )+};
}

id! {
    /// A merchant of the platform.
    MerchantId,
    /// An account of the ledger; the partition key of stage 2.
    AccountId,
    /// A fund order: what a merchant asked for.
    OrderId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_plain_decimal_number() {
        assert_eq!("42".parse(), Ok(OrderId(42)));
        assert_eq!("18446744073709551615".parse(), Ok(OrderId(u64::MAX)));
        for bad in ["", "0", "042", "+1", "-1", "1e3", " 1", "18446744073709551616", "١"] {
            assert_eq!(bad.parse::<OrderId>(), Err(IdError), "{bad:?}");
        }
    }
}
