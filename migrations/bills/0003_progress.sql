-- How far each source is in each partition of stage 2, as far as this store holds it (G10).
CREATE TABLE progress (
  topic           VARCHAR(249) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  topic_partition INT NOT NULL,
  source          VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  -- every change up to this one that concerns the partition is in table bill, or set aside
  seq             BIGINT NOT NULL,
  gtid            VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin NULL,
  -- all that the source committed up to then is covered, by its own clock; null while that is not known
  as_of           DATETIME(6) NULL,
  marked_at       DATETIME(3) NOT NULL,
  PRIMARY KEY (topic, topic_partition, source)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
