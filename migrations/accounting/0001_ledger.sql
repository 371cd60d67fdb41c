-- The ledger that databus tails. Rows of `journal` and `entry` are immutable; a correction is a new journal.
-- Amounts are integer minor units (G11); times are UTC whatever the server's zone, so DATETIME(6), never TIMESTAMP.

CREATE TABLE account (
  account_id  BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
  -- NULL: an account of the platform itself (institution, clearing, fee); such accounts make no bills
  merchant_id BIGINT UNSIGNED NULL,
  kind        ENUM('available','pending_in','pending_out','clearing','fee','institution') NOT NULL,
  -- hot internal accounts are spread over shards, so that payments of different merchants do not queue on one row
  shard       SMALLINT UNSIGNED NOT NULL DEFAULT 0,
  currency    CHAR(3) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  balance     BIGINT NOT NULL DEFAULT 0,
  created_at  DATETIME(6) NOT NULL,
  updated_at  DATETIME(6) NOT NULL,
  PRIMARY KEY (account_id),
  UNIQUE KEY one_per_merchant (merchant_id, kind, currency),
  KEY internal_by_kind (kind, currency, shard),
  -- the last guard: an institution's account mirrors money outside and may be negative, no other may
  CONSTRAINT balance_not_negative CHECK (kind IN ('institution', 'clearing') OR balance >= 0)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE fund_order (
  order_id          BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
  order_no          VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  kind              ENUM('collect','pay','refund') NOT NULL,
  status            ENUM('created','submitted','succeeded','failed','unknown','partially_refunded','refunded') NOT NULL,
  -- the merchant whose app asked for it
  merchant_id       BIGINT UNSIGNED NOT NULL,
  -- a side without a merchant is outside the platform: its account is internal and it makes no bill
  payer_merchant_id BIGINT UNSIGNED NULL,
  payer_account_id  BIGINT UNSIGNED NOT NULL,
  payer_name        VARCHAR(128) NOT NULL,
  payee_merchant_id BIGINT UNSIGNED NULL,
  payee_account_id  BIGINT UNSIGNED NOT NULL,
  payee_name        VARCHAR(128) NOT NULL,
  origin_order_id   BIGINT UNSIGNED NULL,
  amount            BIGINT NOT NULL,
  -- paid by the payee out of the amount
  fee               BIGINT NOT NULL DEFAULT 0,
  refunded_amount   BIGINT NOT NULL DEFAULT 0,
  currency          CHAR(3) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  channel           VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  channel_ref       VARCHAR(64) NULL,
  remark            VARCHAR(255) NOT NULL DEFAULT '',
  created_at        DATETIME(6) NOT NULL,
  updated_at        DATETIME(6) NOT NULL,
  PRIMARY KEY (order_id),
  UNIQUE KEY by_order_no (order_no),
  KEY by_merchant (merchant_id, order_id),
  KEY by_origin (origin_order_id),
  CONSTRAINT amount_positive CHECK (amount > 0),
  CONSTRAINT fee_within_amount CHECK (fee >= 0 AND fee <= amount),
  CONSTRAINT refund_within_amount CHECK (refunded_amount >= 0 AND refunded_amount <= amount),
  CONSTRAINT sides_differ CHECK (payer_account_id <> payee_account_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE journal (
  journal_id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
  order_id   BIGINT UNSIGNED NOT NULL,
  kind       ENUM('collect','pay','refund') NOT NULL,
  created_at DATETIME(6) NOT NULL,
  PRIMARY KEY (journal_id),
  KEY by_order (order_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE entry (
  entry_id      BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
  journal_id    BIGINT UNSIGNED NOT NULL,
  account_id    BIGINT UNSIGNED NOT NULL,
  merchant_id   BIGINT UNSIGNED NULL,
  order_id      BIGINT UNSIGNED NOT NULL,
  order_no      VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  kind          ENUM('collect','pay','refund','fee') NOT NULL,
  -- credit raises the account's balance, debit lowers it; the entries of a journal sum to zero
  direction     ENUM('credit','debit') NOT NULL,
  amount        BIGINT NOT NULL,
  currency      CHAR(3) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  balance_after BIGINT NOT NULL,
  counterparty  VARCHAR(128) NOT NULL,
  remark        VARCHAR(255) NOT NULL DEFAULT '',
  created_at    DATETIME(6) NOT NULL,
  PRIMARY KEY (entry_id),
  KEY by_journal (journal_id),
  KEY by_account (account_id, entry_id),
  CONSTRAINT entry_amount_positive CHECK (amount > 0)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- Committed with the ledger rows it answers for, so a retry can never post twice (draft-ietf-httpapi-idempotency-key-header).
CREATE TABLE idempotency (
  merchant_id     BIGINT UNSIGNED NOT NULL,
  idempotency_key VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  -- SHA-256 over method, path and body: the same key with another request is refused
  request_digest  BINARY(32) NOT NULL,
  order_id        BIGINT UNSIGNED NULL,
  response_status SMALLINT UNSIGNED NOT NULL,
  response_body   MEDIUMTEXT NOT NULL,
  created_at      DATETIME(6) NOT NULL,
  PRIMARY KEY (merchant_id, idempotency_key),
  KEY by_age (created_at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
