//! The platform's own accounts, read once at start: migrations create them and nothing removes them.

use std::collections::HashMap;

use money::{AccountId, Currency};
use sqlx::{MySqlPool, Row};

use super::account::AccountKind;
use crate::store::bad_row;

/// Institution and fee accounts by currency and shard.
#[derive(Debug, Clone, Default)]
pub(crate) struct InternalAccounts {
    shards: HashMap<(AccountKind, Currency), Vec<AccountId>>,
}

impl InternalAccounts {
    /// Reads them from `accounting.account`.
    pub(crate) async fn load(pool: &MySqlPool) -> Result<Self, sqlx::Error> {
        let rows = sqlx::query(
            "SELECT kind, currency, account_id FROM accounting.account WHERE merchant_id IS NULL ORDER BY kind, currency, shard",
        )
        .fetch_all(pool)
        .await?;
        let mut shards: HashMap<_, Vec<_>> = HashMap::new();
        for row in rows {
            let kind: AccountKind = row.try_get::<&str, _>("kind")?.parse().map_err(bad_row)?;
            let currency: Currency = row.try_get::<&str, _>("currency")?.parse().map_err(bad_row)?;
            shards.entry((kind, currency)).or_default().push(AccountId(row.try_get("account_id")?));
        }
        Ok(Self { shards })
    }

    /// True if money of that currency can come in and fees be taken.
    pub(crate) fn supports(&self, currency: Currency) -> bool {
        [AccountKind::Institution, AccountKind::Fee]
            .iter()
            .all(|kind| self.shards.contains_key(&(*kind, currency)))
    }

    /// The supported currencies, sorted.
    pub(crate) fn currencies(&self) -> Vec<Currency> {
        let mut found: Vec<_> = self
            .shards
            .keys()
            .map(|(_, currency)| *currency)
            .filter(|currency| self.supports(*currency))
            .collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    /// The internal account that a merchant's account always works with.
    pub(crate) fn beside(
        &self,
        kind: AccountKind,
        currency: Currency,
        merchant: AccountId,
    ) -> Option<AccountId> {
        let shards = self.shards.get(&(kind, currency))?;
        let shard = usize::try_from(merchant.0 % u64::try_from(shards.len()).ok()?).ok()?;
        shards.get(shard).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merchants_account_always_meets_the_same_shard() {
        let cny: Currency = "CNY".parse().unwrap();
        let shards = HashMap::from([
            ((AccountKind::Institution, cny), (1..=16).map(AccountId).collect()),
            ((AccountKind::Fee, cny), vec![AccountId(90)]),
        ]);
        let internal = InternalAccounts { shards };
        let beside = |id| internal.beside(AccountKind::Institution, cny, AccountId(id));
        assert_eq!(
            (beside(32), beside(33), beside(47), beside(48)),
            (Some(AccountId(1)), Some(AccountId(2)), Some(AccountId(16)), Some(AccountId(1)))
        );
        assert_eq!(internal.currencies(), [cny]);
        assert!(internal.supports(cny) && !internal.supports("USD".parse().unwrap()));
    }
}
