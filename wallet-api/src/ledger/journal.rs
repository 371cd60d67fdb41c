//! A journal and its rules, without I/O: legs that sum to zero, and what they make of the accounts' balances.

use std::collections::BTreeMap;

use change_event::Timestamp;
use money::{AccountId, Currency, MerchantId, Minor, MoneyError};

use super::account::LockedAccount;

/// Which way a leg moves its account's balance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// Raises the balance.
    Credit,
    /// Lowers the balance.
    Debit,
}

impl Direction {
    /// The text of the column `entry.direction`.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Credit => "credit",
            Self::Debit => "debit",
        }
    }
}

/// Why a journal exists; the text is the column `journal.kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JournalKind {
    Collect,
    Pay,
    Refund,
}

impl JournalKind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Collect => "collect",
            Self::Pay => "pay",
            Self::Refund => "refund",
        }
    }
}

/// Why an entry exists: its journal's principal, or the fee within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EntryKind {
    Principal,
    Fee,
}

/// One leg of a journal, before it is posted.
#[derive(Debug, Clone)]
pub(crate) struct Leg {
    pub(crate) account: AccountId,
    pub(crate) direction: Direction,
    pub(crate) amount: Minor,
    pub(crate) kind: EntryKind,
    /// Who is at the other side, as the account's owner should read it.
    pub(crate) counterparty: String,
}

/// Legs that are known to sum to zero. Legs of one account are posted in their order here.
#[derive(Debug, Clone)]
pub(crate) struct Journal {
    kind: JournalKind,
    currency: Currency,
    legs: Vec<Leg>,
}

/// A journal that breaks G11; always a bug of the code that made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unbalanced {
    #[error("a journal needs at least two legs")]
    TooFewLegs,
    #[error("an entry's amount must be positive, not {}", _0.0)]
    NotPositive(Minor),
    #[error("the entries sum to {0} and not to zero")]
    Sum(i128),
}

impl Journal {
    /// Checks that every amount is positive and that credits and debits are equal.
    pub(crate) fn new(kind: JournalKind, currency: Currency, legs: Vec<Leg>) -> Result<Self, Unbalanced> {
        if legs.len() < 2 {
            return Err(Unbalanced::TooFewLegs);
        }
        let mut sum = 0_i128;
        for leg in &legs {
            if leg.amount <= Minor::ZERO {
                return Err(Unbalanced::NotPositive(leg.amount));
            }
            let amount = i128::from(leg.amount.0);
            sum += match leg.direction {
                Direction::Credit => amount,
                Direction::Debit => -amount,
            };
        }
        if sum != 0 {
            return Err(Unbalanced::Sum(sum));
        }
        Ok(Self { kind, currency, legs })
    }

    /// The accounts that it moves, ascending, each once: the order in which they are locked.
    pub(crate) fn account_ids(&self) -> Vec<AccountId> {
        let mut ids: Vec<_> = self.legs.iter().map(|leg| leg.account).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// What the journal makes of `accounts` (all of [`Self::account_ids`], locked).
    pub(crate) fn against(&self, accounts: &[LockedAccount]) -> Result<Posting, PostingError> {
        let mut balances: BTreeMap<AccountId, Minor> = BTreeMap::new();
        let mut entries = Vec::with_capacity(self.legs.len());
        for leg in &self.legs {
            let account = accounts
                .iter()
                .find(|account| account.id == leg.account)
                .ok_or(PostingError::AccountMissing(leg.account))?;
            if account.currency != self.currency {
                return Err(PostingError::CurrencyMismatch { account: account.id, holds: account.currency });
            }
            let before = balances.get(&account.id).copied().unwrap_or(account.balance);
            let after = match leg.direction {
                Direction::Credit => before.plus(leg.amount)?,
                Direction::Debit => before.minus(leg.amount)?,
            };
            if after < Minor::ZERO && !account.kind.may_be_negative() {
                return Err(PostingError::InsufficientFunds { account: account.id });
            }
            balances.insert(account.id, after);
            entries.push(PostedEntry {
                account: account.id,
                merchant_id: account.merchant_id,
                direction: leg.direction,
                amount: leg.amount,
                kind: leg.kind,
                balance_after: after,
                counterparty: leg.counterparty.clone(),
            });
        }
        let not_before = accounts.iter().map(|account| account.updated_at).max();
        Ok(Posting {
            kind: self.kind,
            currency: self.currency,
            entries,
            balances: balances.into_iter().collect(),
            not_before,
        })
    }
}

/// A journal with the balances it leads to, ready to be written.
#[derive(Debug)]
pub(crate) struct Posting {
    pub(crate) kind: JournalKind,
    pub(crate) currency: Currency,
    pub(crate) entries: Vec<PostedEntry>,
    /// Every moved account with its new balance, ascending by id.
    pub(crate) balances: Vec<(AccountId, Minor)>,
    /// The latest time any of the accounts was moved: this journal must not be stamped earlier, whatever the clock says.
    pub(crate) not_before: Option<Timestamp>,
}

/// One entry with the balance after it.
#[derive(Debug)]
pub(crate) struct PostedEntry {
    pub(crate) account: AccountId,
    pub(crate) merchant_id: Option<MerchantId>,
    pub(crate) direction: Direction,
    pub(crate) amount: Minor,
    pub(crate) kind: EntryKind,
    pub(crate) balance_after: Minor,
    pub(crate) counterparty: String,
}

/// Why a journal cannot be posted to the accounts as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PostingError {
    #[error("account {account} does not hold enough")]
    InsufficientFunds { account: AccountId },
    #[error("account {account} is in {holds}")]
    CurrencyMismatch { account: AccountId, holds: Currency },
    #[error("account {0} does not exist")]
    AccountMissing(AccountId),
    #[error(transparent)]
    OutOfRange(#[from] MoneyError),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::AccountKind;

    const A: AccountId = AccountId(1);
    const B: AccountId = AccountId(2);
    const FEE: AccountId = AccountId(3);

    fn cny() -> Currency {
        "CNY".parse().unwrap()
    }

    fn leg(account: AccountId, direction: Direction, amount: i64) -> Leg {
        Leg {
            account,
            direction,
            amount: Minor(amount),
            kind: EntryKind::Principal,
            counterparty: String::new(),
        }
    }

    fn account(id: AccountId, kind: AccountKind, balance: i64) -> LockedAccount {
        LockedAccount {
            id,
            merchant_id: None,
            kind,
            currency: cny(),
            balance: Minor(balance),
            updated_at: Timestamp::from_micros(i64::try_from(id.0).unwrap()).unwrap(),
        }
    }

    fn journal(legs: Vec<Leg>) -> Result<Journal, Unbalanced> {
        Journal::new(JournalKind::Pay, cny(), legs)
    }

    #[test]
    fn g11_only_entries_that_sum_to_zero_become_a_journal() {
        use Direction::{Credit, Debit};
        assert_eq!(journal(vec![leg(A, Debit, 5)]).unwrap_err(), Unbalanced::TooFewLegs);
        assert_eq!(journal(vec![leg(A, Debit, 5), leg(B, Credit, 4)]).unwrap_err(), Unbalanced::Sum(-1));
        assert_eq!(
            journal(vec![leg(A, Debit, 0), leg(B, Credit, 0)]).unwrap_err(),
            Unbalanced::NotPositive(Minor(0))
        );
        // i64 would wrap here
        let wraps = vec![leg(A, Credit, i64::MAX), leg(B, Credit, i64::MAX), leg(FEE, Credit, 2)];
        assert_eq!(journal(wraps).unwrap_err(), Unbalanced::Sum(i128::from(u64::MAX) + 1));
        let fine = journal(vec![leg(B, Debit, 5), leg(A, Credit, 5), leg(A, Debit, 1), leg(FEE, Credit, 1)])
            .unwrap();
        assert_eq!(fine.account_ids(), [A, B, FEE]);
    }

    #[test]
    fn balances_follow_the_legs_in_order_and_internal_ones_may_go_below_zero() {
        use Direction::{Credit, Debit};
        let collect =
            journal(vec![leg(B, Debit, 100), leg(A, Credit, 100), leg(A, Debit, 6), leg(FEE, Credit, 6)])
                .unwrap();
        let accounts = [
            account(A, AccountKind::Available, 0),
            account(B, AccountKind::Institution, 0),
            account(FEE, AccountKind::Fee, 10),
        ];
        let posting = collect.against(&accounts).unwrap();
        let after: Vec<_> = posting.entries.iter().map(|entry| entry.balance_after.0).collect();
        assert_eq!(after, [-100, 100, 94, 16]);
        assert_eq!(posting.balances, [(A, Minor(94)), (B, Minor(-100)), (FEE, Minor(16))]);
        assert_eq!(posting.not_before.unwrap().micros(), 3);
    }

    #[test]
    fn a_merchant_cannot_spend_what_is_not_there() {
        let pay = journal(vec![leg(A, Direction::Debit, 101), leg(B, Direction::Credit, 101)]).unwrap();
        let accounts = [account(A, AccountKind::Available, 100), account(B, AccountKind::Available, 0)];
        assert_eq!(pay.against(&accounts).unwrap_err(), PostingError::InsufficientFunds { account: A });
        assert_eq!(pay.against(&accounts[..1]).unwrap_err(), PostingError::InsufficientFunds { account: A });
        assert_eq!(pay.against(&accounts[1..]).unwrap_err(), PostingError::AccountMissing(A));
        let mut dollars = accounts;
        dollars[0].currency = "USD".parse().unwrap();
        assert!(matches!(pay.against(&dollars), Err(PostingError::CurrencyMismatch { account: A, .. })));
        let full = [account(A, AccountKind::Available, 200), account(B, AccountKind::Available, i64::MAX)];
        assert_eq!(pay.against(&full).unwrap_err(), PostingError::OutOfRange(MoneyError::OutOfRange));
    }
}
