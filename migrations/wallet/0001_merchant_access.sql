-- Who may act for whom. Times are UTC whatever the server's zone, so DATETIME(6), never TIMESTAMP.

CREATE TABLE merchant (
  merchant_id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
  name        VARCHAR(128) NOT NULL,
  status      ENUM('active','suspended','closed') NOT NULL,
  -- IANA name, fixed: months and days of bills are cut in it, and changing it would leave a gap or an overlap
  time_zone   VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  created_at  DATETIME(6) NOT NULL,
  updated_at  DATETIME(6) NOT NULL,
  PRIMARY KEY (merchant_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE app (
  app_id      VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  merchant_id BIGINT UNSIGNED NOT NULL,
  name        VARCHAR(128) NOT NULL,
  -- blank-separated, such as 'bills:read funds:read'
  scopes      VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  created_at  DATETIME(6) NOT NULL,
  PRIMARY KEY (app_id),
  KEY by_merchant (merchant_id, app_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE app_key (
  key_id        VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  app_id        VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  algorithm     VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  -- AES-256-GCM under the master key, the key id authenticated with it: 12 bytes nonce, ciphertext, 16 bytes tag
  sealed_secret VARBINARY(255) NOT NULL,
  created_at    DATETIME(6) NOT NULL,
  revoked_at    DATETIME(6) NULL,
  PRIMARY KEY (key_id),
  KEY by_app (app_id, key_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- What staff did, written in the transaction that did it. Never a secret.
CREATE TABLE audit (
  audit_id    BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
  actor       VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  action      VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  merchant_id BIGINT UNSIGNED NULL,
  app_id      VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
  key_id      VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
  request_id  VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  created_at  DATETIME(6) NOT NULL,
  PRIMARY KEY (audit_id),
  KEY by_merchant (merchant_id, audit_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
