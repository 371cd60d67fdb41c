-- What could not become a bill, or what a sink never takes, with its bytes, until a later image heals it (G8). A copy of topic <bills>.quarantine for people and tools.
CREATE TABLE quarantine (
  -- SHA-256 of the record's key
  id              BINARY(32) NOT NULL,
  stage           VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  source          VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  pipeline        VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  side            VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  -- the row's primary key, or account and bill, as JSON
  row_key         TEXT NOT NULL,
  account_id      BIGINT UNSIGNED NULL,
  version         BIGINT NOT NULL,
  topic           VARCHAR(255) NOT NULL,
  topic_partition INT NOT NULL,
  topic_offset    BIGINT NOT NULL,
  binlog_file     VARCHAR(255) NULL,
  binlog_pos      BIGINT UNSIGNED NULL,
  gtid            VARCHAR(255) NULL,
  reason          VARCHAR(1000) NOT NULL,
  attempts        INT UNSIGNED NOT NULL,
  first_at        DATETIME(3) NOT NULL,
  last_at         DATETIME(3) NOT NULL,
  -- null while it is set aside
  healed_at       DATETIME(3) NULL,
  size            BIGINT UNSIGNED NOT NULL,
  -- null where they are too large for a row; they are at the topic's offset then
  bytes           LONGBLOB NULL,
  -- the record's own offset: what comes late, from a process that was replaced, changes nothing
  recorded_at     BIGINT NOT NULL,
  PRIMARY KEY (id),
  KEY by_state (healed_at, last_at),
  KEY by_account (account_id, healed_at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
