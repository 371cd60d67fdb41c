//! Integer minor units (cents, fen, yen) with checked arithmetic.

use serde::{Deserialize, Serialize};
use std::fmt;

/// An amount in minor units of some [`Currency`](crate::Currency); may be negative where a balance may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Minor(pub i64);

/// Why an amount was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// The result does not fit in 64 bits.
    #[error("the amount is out of range")]
    OutOfRange,
    /// Zero or negative where a payment needs a positive amount, or above [`Minor::PAYMENT_MAX`].
    #[error("an amount must be between 1 and {} minor units", Minor::PAYMENT_MAX.0)]
    NotPayable,
}

impl Minor {
    /// The empty amount.
    pub const ZERO: Self = Self(0);
    /// The largest single payment: far above any real one, and far enough below 2^53 that a JSON reader in any language holds it exactly.
    pub const PAYMENT_MAX: Self = Self(1_000_000_000_000_000);

    /// `self + other`, or an error where 64 bits do not hold it.
    pub fn plus(self, other: Self) -> Result<Self, MoneyError> {
        self.0.checked_add(other.0).map(Self).ok_or(MoneyError::OutOfRange)
    }

    /// `self - other`, or an error where 64 bits do not hold it.
    pub fn minus(self, other: Self) -> Result<Self, MoneyError> {
        self.0.checked_sub(other.0).map(Self).ok_or(MoneyError::OutOfRange)
    }

    /// The share of this amount in basis points (1/100 of a percent), rounded half up. For amounts that are not negative.
    pub fn basis_points(self, points: u32) -> Result<Self, MoneyError> {
        if self.0 < 0 {
            return Err(MoneyError::OutOfRange);
        }
        let share = (i128::from(self.0) * i128::from(points) + 5_000) / 10_000;
        i64::try_from(share).map(Self).map_err(|_| MoneyError::OutOfRange)
    }

    /// Accepts what may be asked of a payment: 1 to [`Self::PAYMENT_MAX`].
    pub fn payable(self) -> Result<Self, MoneyError> {
        if self.0 >= 1 && self <= Self::PAYMENT_MAX { Ok(self) } else { Err(MoneyError::NotPayable) }
    }
}

impl fmt::Display for Minor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_in_basis_points_rounds_half_up() {
        for (amount, points, share) in [(10_000, 60, 60), (1, 60, 0), (83, 60, 0), (84, 60, 1), (0, 60, 0)] {
            assert_eq!(Minor(amount).basis_points(points), Ok(Minor(share)), "{amount} at {points}");
        }
        assert_eq!(Minor(i64::MAX).basis_points(10_000), Ok(Minor(i64::MAX)));
        assert_eq!(Minor(i64::MAX).basis_points(20_000), Err(MoneyError::OutOfRange));
        assert_eq!(Minor(-1).basis_points(1), Err(MoneyError::OutOfRange));
    }

    #[test]
    fn arithmetic_that_overflows_is_an_error_and_never_wraps() {
        assert_eq!(Minor(i64::MAX).plus(Minor(1)), Err(MoneyError::OutOfRange));
        assert_eq!(Minor(i64::MIN).minus(Minor(1)), Err(MoneyError::OutOfRange));
        assert_eq!(Minor(40).minus(Minor(50)), Ok(Minor(-10)));
    }

    #[test]
    fn only_positive_and_sane_amounts_can_be_paid() {
        for bad in [0, -1, i64::MAX, Minor::PAYMENT_MAX.0 + 1] {
            assert_eq!(Minor(bad).payable(), Err(MoneyError::NotPayable), "{bad}");
        }
        assert_eq!(Minor(1).payable(), Ok(Minor(1)));
    }
}
