//! Definitions between rows: each step is followed by rows of all kinds.

/// The table that is altered.
pub(super) const ALTERED: &str = "altered";

/// How it begins.
pub(super) const CREATE: &str =
    "CREATE TABLE altered (id INT PRIMARY KEY, note VARCHAR(20) NULL, n SMALLINT NULL) CHARACTER SET utf8mb4";

/// Statements that change the form of the table, and none of its rows.
const ALTERS: [&str; 45] = [
    "ALTER TABLE altered ADD COLUMN a INT NULL",
    "ALTER TABLE altered ADD COLUMN b INT NOT NULL DEFAULT 7 FIRST, ALGORITHM=INSTANT",
    "ALTER TABLE altered ADD COLUMN IF NOT EXISTS c DATETIME(6) NULL AFTER id, LOCK=NONE",
    "ALTER ONLINE TABLE altered ADD COLUMN d DECIMAL(20,4) UNSIGNED NULL",
    "ALTER TABLE altered ADD (e VARCHAR(9) COLLATE utf8mb4_uca1400_ai_ci, f TINYTEXT CHARACTER SET latin1)",
    "ALTER TABLE altered DROP COLUMN a, ADD COLUMN a VARCHAR(5) NULL DEFAULT 'x'",
    "ALTER TABLE altered MODIFY n BIGINT UNSIGNED NULL",
    "ALTER TABLE altered MODIFY n BIGINT NULL FIRST",
    "ALTER TABLE altered CHANGE a a2 VARCHAR(9) NULL AFTER note",
    "ALTER TABLE altered RENAME COLUMN a2 TO a",
    "ALTER TABLE altered RENAME COLUMN IF EXISTS b TO `b \"é`` 收`, ALGORITHM=INSTANT",
    "ALTER TABLE altered DROP COLUMN IF EXISTS `b \"é`` 收`, DROP COLUMN IF EXISTS never",
    "ALTER TABLE altered ALTER COLUMN n SET DEFAULT 5",
    "ALTER TABLE altered ALTER n DROP DEFAULT",
    "ALTER TABLE altered ADD INDEX IF NOT EXISTS x (n), ADD UNIQUE KEY y (id, n) COMMENT 'it''s'",
    "ALTER TABLE altered RENAME INDEX x TO z",
    "ALTER TABLE altered ALTER INDEX z IGNORED",
    "DROP INDEX z ON altered",
    "CREATE INDEX IF NOT EXISTS z ON altered (n)",
    "CREATE UNIQUE INDEX u ON altered (id DESC)",
    "DROP INDEX IF EXISTS u ON altered",
    "ALTER TABLE altered ADD FULLTEXT INDEX words (note)",
    "ALTER TABLE altered DROP INDEX words",
    "ALTER TABLE altered ADD CONSTRAINT k CHECK (id > 0)",
    "ALTER TABLE altered DROP CONSTRAINT k",
    "ALTER TABLE altered CONVERT TO CHARACTER SET latin1",
    "ALTER TABLE altered CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
    "ALTER TABLE altered DEFAULT CHARACTER SET latin1",
    "ALTER TABLE altered ADD COLUMN g VARCHAR(9)",
    "ALTER TABLE altered ENGINE = Aria",
    "ALTER TABLE altered ENGINE=InnoDB",
    "ALTER TABLE altered FORCE",
    "ALTER TABLE altered ROW_FORMAT=COMPRESSED, KEY_BLOCK_SIZE=8",
    "ALTER TABLE altered ROW_FORMAT=DYNAMIC, KEY_BLOCK_SIZE=0, COMMENT='x', AUTO_INCREMENT=100",
    "ALTER TABLE altered ADD COLUMN h BIGINT GENERATED ALWAYS AS (id + 1) VIRTUAL, ADD COLUMN i INT AS (id * 2) PERSISTENT",
    "ALTER TABLE altered DROP COLUMN h, DROP i",
    "ALTER TABLE altered ADD COLUMN j ENUM('a','b') NULL, ADD k SET('x','y') NULL",
    "ALTER TABLE altered MODIFY j ENUM('a','b','c') NULL, MODIFY k SET('z','x','y') NULL",
    "ALTER TABLE altered ADD COLUMN l INT NULL INVISIBLE",
    "ALTER TABLE altered ADD COLUMN m TIMESTAMP NULL ON UPDATE CURRENT_TIMESTAMP",
    "ALTER TABLE altered DROP COLUMN m, ADD COLUMN o DATE NULL /* why */",
    "ALTER TABLE altered DROP PRIMARY KEY, ADD COLUMN q INT NOT NULL DEFAULT 3, ADD PRIMARY KEY (q, id)",
    "ALTER TABLE altered DROP PRIMARY KEY, ADD PRIMARY KEY (id)",
    "ALTER TABLE IF EXISTS altered WAIT 5 MODIFY note LONGTEXT NULL",
    "OPTIMIZE TABLE altered",
];

/// Other things that are defined beside captured tables, and rows that come by way of them. What becomes of tables that nobody captures is
/// published by neither.
const BESIDE: [&str; 16] = [
    "CREATE TABLE ghost LIKE altered",
    "INSERT INTO ghost SELECT * FROM altered",
    "CREATE TABLE copied AS SELECT * FROM line",
    "CREATE OR REPLACE TABLE copied LIKE line",
    "ALTER TABLE ghost ADD COLUMN extra INT NULL; UPDATE ghost SET extra = 1",
    "RENAME TABLE ghost TO ghost_old, copied TO ghost; TRUNCATE ghost_old; RENAME TABLE ghost TO copied",
    "INSERT INTO entry SELECT 6000 + seq, CONCAT('ghost ', seq) FROM seq_1_to_50",
    "CREATE TRIGGER tagged AFTER UPDATE ON entry FOR EACH ROW INSERT INTO tag (name) VALUES (CONCAT('t', NEW.id)) ON DUPLICATE KEY UPDATE uses = 1",
    "UPDATE entry SET note = 'triggered' WHERE id BETWEEN 6001 AND 6005; UPDATE entry SET note = 'again' WHERE id BETWEEN 6003 AND 6007",
    "DROP TRIGGER tagged; CREATE VIEW seen AS SELECT id, note FROM entry WHERE id > 6000",
    "UPDATE seen SET note = 'by view' WHERE id < 6010; DELETE FROM seen WHERE id > 6045; DROP VIEW seen",
    "CREATE TEMPORARY TABLE held SELECT id FROM entry WHERE id > 6040; DELETE FROM entry WHERE id IN (SELECT id FROM held); DROP TEMPORARY TABLE held",
    "DROP TABLE ghost_old, copied; ANALYZE TABLE entry; FLUSH TABLES entry",
    "CREATE PROCEDURE fill(IN a INT) INSERT INTO entry VALUES (a, 'called'), (a + 1, NULL); CALL fill(7000); DROP PROCEDURE fill",
    "TRUNCATE tag; INSERT INTO tag (id, name) VALUES (1, 'after'), (2, 'it')",
    "CREATE TABLE _line_gho LIKE line; ALTER TABLE _line_gho ADD COLUMN extra INT NULL; INSERT INTO _line_gho SELECT line.*, NULL FROM line;
     RENAME TABLE line TO _line_del, _line_gho TO line; INSERT INTO line (entry_id, part) VALUES (9000, 'new'); DROP TABLE _line_del",
];

/// Each definition with rows behind it.
pub(super) fn units() -> Vec<String> {
    let mut units = vec![rows(0)];
    for (at, alter) in ALTERS.iter().enumerate() {
        units.push((*alter).to_owned());
        units.push(rows(at + 1));
    }
    units.extend(BESIDE.map(str::to_owned));
    units
}

fn rows(step: usize) -> String {
    let id = step * 10 + 1;
    format!(
        "INSERT INTO altered (id, note, n) VALUES ({id}, 'note é {step}', {step}), ({}, NULL, NULL);
         UPDATE altered SET note = CONCAT('again ', id), n = n + 1 WHERE id IN ({id}, {}, 1);
         UPDATE altered SET id = id + 5 WHERE id = {id}; DELETE FROM altered WHERE id = {}",
        id + 1,
        id.saturating_sub(9),
        id + 1,
    )
}
