-- The platform's own accounts, 16 shards of each kind and currency: a merchant's payments always use the shard
-- `account_id % 16` of its own account, so that one merchant's traffic queues on one internal row and no more.
INSERT INTO account (merchant_id, kind, shard, currency, balance, created_at, updated_at)
SELECT NULL, kinds.kind, high.digit * 4 + low.digit, currencies.currency, 0, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6)
FROM (SELECT 'institution' AS kind UNION ALL SELECT 'fee') AS kinds
CROSS JOIN (SELECT 'CNY' AS currency UNION ALL SELECT 'USD' UNION ALL SELECT 'EUR' UNION ALL SELECT 'JPY') AS currencies
CROSS JOIN (SELECT 0 AS digit UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3) AS high
CROSS JOIN (SELECT 0 AS digit UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3) AS low
ORDER BY kinds.kind, currencies.currency, 3;
