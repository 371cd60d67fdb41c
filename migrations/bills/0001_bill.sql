-- The bill store. One row per (account, bill); `version` is the change's place in its source's history and gates every write (G5).
CREATE TABLE bill (
  account_id    BIGINT UNSIGNED NOT NULL,
  -- pipeline, source, side and source key in one: see change-event's BillId
  bill_id       VARCHAR(128) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  version       BIGINT NOT NULL,
  -- a tombstone keeps the version of a delete, so that a late older image cannot bring the bill back
  deleted       BOOLEAN NOT NULL DEFAULT FALSE,
  pipeline      VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  source        VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  side          VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  merchant_id   BIGINT UNSIGNED NOT NULL,
  bill_type     VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  direction     VARCHAR(3) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  status        VARCHAR(24) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  amount        BIGINT NOT NULL,
  fee           BIGINT NOT NULL,
  currency      CHAR(3) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  balance_after BIGINT NULL,
  occurred_at   DATETIME(6) NOT NULL,
  posted_at     DATETIME(6) NOT NULL,
  counterparty  VARCHAR(128) NOT NULL,
  order_no      VARCHAR(64) NOT NULL,
  channel       VARCHAR(32) NOT NULL,
  channel_ref   VARCHAR(64) NULL,
  remark        VARCHAR(255) NOT NULL,
  committed_at  DATETIME(6) NOT NULL,
  PRIMARY KEY (account_id, bill_id),
  -- "one account, newest first", within one pipeline
  KEY newest_first (account_id, pipeline, deleted, occurred_at DESC, bill_id DESC),
  -- the same over all accounts of a merchant
  KEY merchant_newest_first (merchant_id, pipeline, deleted, occurred_at DESC, bill_id DESC),
  -- one bill by its name; its account is not known to whoever asks
  KEY by_bill (bill_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
