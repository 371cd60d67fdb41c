//! The books must balance: checked over every row of the ledger, whatever a test did to it.

use anyhow::{Result, ensure};
use sqlx::MySqlPool;

/// What must be empty, and the rows that break it. `credit` raises, `debit` lowers.
const RULES: [(&str, &str); 8] = [
    (
        "all balances of a currency sum to zero",
        "SELECT CONCAT(currency, ' ', SUM(balance)) FROM account GROUP BY currency HAVING SUM(balance) <> 0",
    ),
    (
        "the entries of a journal sum to zero in each currency",
        "SELECT CONCAT('journal ', journal_id) FROM entry GROUP BY journal_id, currency \
         HAVING SUM(IF(direction = 'credit', amount, -amount)) <> 0",
    ),
    (
        "a balance is the sum of its entries",
        "SELECT CONCAT('account ', a.account_id) FROM account a LEFT JOIN entry e ON e.account_id = a.account_id \
         GROUP BY a.account_id, a.balance HAVING a.balance <> COALESCE(SUM(IF(e.direction = 'credit', e.amount, -e.amount)), 0)",
    ),
    (
        "balance_after follows from the entry before, in the order of entry ids and of time",
        "SELECT CONCAT('entry ', entry_id) FROM (SELECT entry_id, balance_after, created_at, \
         IF(direction = 'credit', amount, -amount) AS moved, \
         COALESCE(LAG(balance_after) OVER chain, 0) AS before_it, LAG(created_at) OVER chain AS earlier \
         FROM entry WINDOW chain AS (PARTITION BY account_id ORDER BY entry_id)) AS chained \
         WHERE balance_after <> before_it + moved OR created_at < earlier",
    ),
    (
        "only the institutions' mirror accounts go below zero",
        "SELECT CONCAT('entry ', entry_id) FROM entry JOIN account USING (account_id) \
         WHERE balance_after < 0 AND account.kind <> 'institution'",
    ),
    (
        "every order has exactly one journal, of its kind and amount",
        "SELECT CONCAT('order ', o.order_id) FROM fund_order o LEFT JOIN journal j ON j.order_id = o.order_id AND j.kind = o.kind \
         LEFT JOIN entry e ON e.journal_id = j.journal_id AND e.kind = o.kind AND e.direction = 'credit' \
         GROUP BY o.order_id, o.amount HAVING COUNT(DISTINCT j.journal_id) <> 1 OR COALESCE(SUM(e.amount), 0) <> o.amount",
    ),
    (
        "an order's refunded amount is the sum of its refunds, and its status says so",
        "SELECT CONCAT('order ', o.order_id) FROM fund_order o LEFT JOIN fund_order r ON r.origin_order_id = o.order_id \
         GROUP BY o.order_id, o.refunded_amount, o.amount, o.status HAVING o.refunded_amount <> COALESCE(SUM(r.amount), 0) \
         OR o.status <> CASE o.refunded_amount WHEN 0 THEN 'succeeded' WHEN o.amount THEN 'refunded' ELSE 'partially_refunded' END",
    ),
    (
        "no idempotency key is committed without its answer",
        "SELECT CONCAT(merchant_id, ' ', idempotency_key) FROM idempotency WHERE response_status = 0 OR response_body = ''",
    ),
];

/// Checks every rule over the whole database, in one moment of it.
pub(super) async fn must_balance(ledger: &MySqlPool) -> Result<()> {
    let mut moment = ledger.begin().await?;
    for (rule, violations) in RULES {
        let found: Vec<String> = sqlx::query_scalar(violations).fetch_all(&mut *moment).await?;
        ensure!(found.is_empty(), "broken: {rule}: {found:?}");
    }
    Ok(())
}

/// Journals of the orders that a merchant asked for.
pub(super) async fn journals_of(ledger: &MySqlPool, merchant_id: &str) -> Result<i64> {
    let count = sqlx::query_scalar(
        "SELECT COUNT(*) FROM journal JOIN fund_order USING (order_id) WHERE fund_order.merchant_id = ?",
    );
    Ok(count.bind(merchant_id.parse::<u64>()?).fetch_one(ledger).await?)
}
