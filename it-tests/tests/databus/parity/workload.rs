//! Statements of every kind that change rows, by a seed.

use it_tests::rng::Rng;

/// The tables that these statements work on.
pub(super) const TABLES: [(&str, &str); 3] = [
    ("entry", ""),
    (
        "line",
        "CREATE TABLE line (entry_id INT NOT NULL, part VARCHAR(8) NOT NULL, amount DECIMAL(12,2) NULL, note VARCHAR(40) NULL,
           at DATETIME(3) NULL, n INT NOT NULL DEFAULT 0, PRIMARY KEY (part, entry_id))",
    ),
    (
        "tag",
        "CREATE TABLE tag (id BIGINT UNSIGNED PRIMARY KEY AUTO_INCREMENT, name VARCHAR(20) NOT NULL UNIQUE, uses INT NULL, text TEXT NULL)",
    ),
];

/// So many units; each is one or more statements that belong together.
pub(super) fn units(count: usize, rng: &mut Rng) -> Vec<String> {
    (0..count).map(|_| unit(rng)).collect()
}

fn unit(rng: &mut Rng) -> String {
    match rng.below(8) {
        0 => format!("BEGIN; {}; COMMIT", some(rng)),
        1 => format!("BEGIN; {}; ROLLBACK", some(rng)),
        2 => format!(
            "BEGIN; {}; SAVEPOINT one; {}; SAVEPOINT two; {}; ROLLBACK TO one; {}; COMMIT",
            some(rng),
            some(rng),
            some(rng),
            some(rng)
        ),
        3 => format!("BEGIN; SAVEPOINT one; {}; ROLLBACK TO one; COMMIT", some(rng)),
        4 => format!("SET autocommit = 0; {}; COMMIT; SET autocommit = 1", some(rng)),
        _ => one(rng),
    }
}

fn some(rng: &mut Rng) -> String {
    let all: Vec<_> = (0..1 + rng.below(4)).map(|_| one(rng)).collect();
    all.join("; ")
}

fn word(rng: &mut Rng) -> String {
    rng.pick(&[
        "NULL",
        "''",
        "'NULL'",
        "'收款 \"q\" \\\\ 😀'",
        "'a\\nb\\tc'",
        "'it''s'",
        "'plain'",
        "'  spaces  '",
    ])
    .to_string()
}

fn one(rng: &mut Rng) -> String {
    let (a, b) = (rng.below(40), rng.below(40));
    let (low, high) = (a.min(b), a.max(b));
    let (text, number) = (word(rng), rng.below(1_000));
    let name = rng.below(12);
    let part = *rng.pick(&["p", "é", "收"]);
    match rng.below(20) {
        0 => format!("INSERT IGNORE INTO entry VALUES ({a}, {text})"),
        1 => format!("INSERT IGNORE INTO entry VALUES ({a}, {text}), ({b}, NULL), ({}, {text})", a + 40),
        2 => format!(
            "INSERT IGNORE INTO line VALUES ({a}, '{part}', -{number}.05, {text}, '2026-11-22 18:20:00.{number:03}', DEFAULT)"
        ),
        3 => format!(
            "INSERT IGNORE INTO line (entry_id, part, note) SELECT id, '{part}', note FROM entry WHERE id BETWEEN {low} AND {high} ORDER BY id"
        ),
        4 => format!("UPDATE entry SET note = {text} WHERE id BETWEEN {low} AND {high}"),
        5 => "UPDATE entry SET note = note".to_owned(),
        6 => format!("UPDATE IGNORE entry SET id = {} WHERE id = {b}", a + 100),
        7 => format!(
            "UPDATE IGNORE entry SET id = id + 1, note = {text} WHERE id BETWEEN {low} AND {high} ORDER BY id DESC"
        ),
        8 => format!("DELETE FROM entry WHERE id BETWEEN {low} AND {}", low + 3),
        9 => format!("REPLACE INTO entry VALUES ({a}, {text})"),
        10 => format!(
            "REPLACE INTO tag (id, name, uses) VALUES ({}, 'n{name}', {number}), ({}, 'n{}', NULL)",
            a + 1,
            b + 1,
            (name + 1) % 12
        ),
        11 => format!(
            "INSERT INTO tag (name, uses) VALUES ('n{name}', 1) ON DUPLICATE KEY UPDATE uses = COALESCE(uses, 0) + 1, text = {text}"
        ),
        12 => format!(
            "INSERT IGNORE INTO tag (name, uses) VALUES ('n{name}', 1) ON DUPLICATE KEY UPDATE id = id + 1000"
        ),
        13 => format!(
            "INSERT IGNORE INTO line VALUES ({a}, '{part}', NULL, NULL, NULL, 1), ({b}, '{part}', 1, {text}, NULL, 2)"
        ),
        14 => format!(
            "UPDATE entry JOIN line ON entry.id = line.entry_id SET entry.note = {text}, line.n = line.n + 1, line.amount = {number}.5 WHERE line.part = '{part}'"
        ),
        15 => format!(
            "DELETE entry, line FROM entry JOIN line ON entry.id = line.entry_id WHERE entry.id BETWEEN {low} AND {}",
            low + 2
        ),
        16 => format!("UPDATE IGNORE line SET part = '{part}', n = n + 1 WHERE entry_id = {a}"),
        17 => format!(
            "UPDATE line SET amount = NULL, at = NULL, note = NULL WHERE entry_id BETWEEN {low} AND {high}"
        ),
        18 => format!("DELETE FROM line WHERE n > {} LIMIT 3", rng.below(5)),
        _ => format!(
            "UPDATE tag SET uses = {number}, text = REPEAT({text}, 20) WHERE name IN ('n{name}', 'n{}')",
            (name + 3) % 12
        ),
    }
}
