//! Amounts, currencies and ids: parsed once at the edge, then carried as types. No I/O and no floats (G11).

mod currency;
mod ids;
mod minor;

pub use currency::{Currency, CurrencyError};
pub use ids::{AccountId, IdError, MerchantId, OrderId};
pub use minor::{Minor, MoneyError};
