//! ISO 4217 currency codes and their minor-unit exponents.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Three capital letters of ISO 4217. Serialises as the code.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Currency([u8; 3]);

/// A text that is not a currency code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a currency code: three capital letters of ISO 4217 are expected, such as CNY")]
pub struct CurrencyError(String);

impl Currency {
    /// The code as text.
    pub fn code(&self) -> &str {
        // three ASCII letters by construction
        std::str::from_utf8(&self.0).unwrap_or("???")
    }

    /// Digits after the point in the major unit: 2 for most, 0 or 3 for those that ISO 4217 lists so.
    pub fn exponent(&self) -> u32 {
        match &self.0 {
            b"BIF" | b"CLP" | b"DJF" | b"GNF" | b"ISK" | b"JPY" | b"KMF" | b"KRW" | b"PYG" | b"RWF"
            | b"UGX" | b"UYI" | b"VND" | b"VUV" | b"XAF" | b"XOF" | b"XPF" => 0,
            b"BHD" | b"IQD" | b"JOD" | b"KWD" | b"LYD" | b"OMR" | b"TND" => 3,
            _ => 2,
        }
    }
}

impl FromStr for Currency {
    type Err = CurrencyError;
    fn from_str(text: &str) -> Result<Self, CurrencyError> {
        match <[u8; 3]>::try_from(text.as_bytes()) {
            Ok(code) if code.iter().all(u8::is_ascii_uppercase) => Ok(Self(code)),
            _ => Err(CurrencyError(text.chars().take(16).collect())),
        }
    }
}

impl TryFrom<String> for Currency {
    type Error = CurrencyError;
    fn try_from(text: String) -> Result<Self, CurrencyError> {
        text.parse()
    }
}

impl From<Currency> for String {
    fn from(currency: Currency) -> Self {
        currency.code().to_owned()
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_three_capital_letters_are_a_currency() {
        for bad in ["", "cny", "CN", "CNYY", "C1Y", "人民币"] {
            assert!(bad.parse::<Currency>().is_err(), "{bad:?}");
        }
        let yen: Currency = "JPY".parse().unwrap();
        assert_eq!((yen.to_string().as_str(), yen.exponent()), ("JPY", 0));
        assert_eq!("CNY".parse::<Currency>().unwrap().exponent(), 2);
        assert_eq!("KWD".parse::<Currency>().unwrap().exponent(), 3);
    }
}
