//! Bad input of every kind: refused at the start or stopped in its place, with words that `docs/bad-input.md` shows as they are printed.

use super::{SOON, Source, assert_dense, last_lines, refusal};
use crate::shared::{fresh, stack};
use anyhow::{Context, Result, bail, ensure};
use it_tests::{
    documented::{documented, inputs},
    harness::{
        DatabaseServer, Fault, Flavour, Not, Part, ServerOptions, Stack, paths::repo_root, wait_until,
    },
};
use std::{fs, path::PathBuf};

const COLUMNS: &str = "id INT PRIMARY KEY, note VARCHAR(60) NOT NULL";

/// The rows of the page for what stops a stream in its place: by a part of the message, or by how its statements begin.
const IN_PLACE: [(&str, &str); 8] = [
    (
        "SET binlog_format = STATEMENT; UPDATE entry",
        "captured rows changed by a statement, as `binlog_format=STATEMENT` in one session does",
    ),
    (
        "perhaps those of this table, through a view",
        "rows changed by a statement through a view, beside a captured table",
    ),
    ("LOAD DATA in statement format", "LOAD DATA in statement format"),
    ("a call in statement format", "a stored function that changes rows in statement format"),
    ("SYSTEM VERSIONING in a captured table", "SYSTEM VERSIONING added to a captured table"),
    (
        "binlog_row_image=FULL",
        "a row event without all columns, as `binlog_row_image=MINIMAL` in one session makes them",
    ),
    ("no primary key", "a captured table that lost its primary key"),
    (
        "the date 2023-02-30 is on no calendar",
        "a date that is on no calendar, which `ALLOW_INVALID_DATES` lets in",
    ),
];

/// Holds the page's row for a stream that these statements stopped with this reason equal to what it printed.
pub(super) fn stopped_in_place(statements: &str, reason: &str, source: &Source<'_>, log: &str) -> Result<()> {
    match IN_PLACE.iter().find(|(key, _)| *key == reason || statements.starts_with(key)) {
        Some((_, input)) => documented(input, &source.name, Some(1), log),
        None => Ok(()),
    }
}

fn own_stack(name: &str) -> Result<Stack> {
    Stack::start(fresh(name).only(&[Part::MariaDb, Part::Kafka]))
}

/// Starts databus where it must refuse, and holds the page's row equal to what it prints.
fn refused(input: &str, source: &Source<'_>) -> Result<()> {
    let (code, message) = refusal(&source.deployment)?;
    let code = code.with_context(|| format!("{input}: ended by a signal:\n{message}"))?;
    documented(input, &source.name, Some(code), &message)
}

#[test]
fn a_server_or_user_that_hides_rows_is_refused_before_anything_is_read_g7() -> Result<()> {
    let stack = own_stack("bad-settings")?;
    let source = Source::new(&stack, COLUMNS)?;
    let user = "databus@'127.0.0.1'";
    let database = format!("{}.*", source.name);
    let cases = [
        ("`binlog_format=STATEMENT`", "SET GLOBAL binlog_format = STATEMENT".to_owned(), "SET GLOBAL binlog_format = ROW".to_owned()),
        ("`binlog_row_image=MINIMAL`", "SET GLOBAL binlog_row_image = MINIMAL".to_owned(), "SET GLOBAL binlog_row_image = FULL".to_owned()),
        (
            "`binlog_row_metadata=MINIMAL`",
            "SET GLOBAL binlog_row_metadata = MINIMAL".to_owned(),
            "SET GLOBAL binlog_row_metadata = FULL".to_owned(),
        ),
        (
            "a user who may not read the binlog",
            format!("REVOKE REPLICATION SLAVE, BINLOG MONITOR ON *.* FROM {user}"),
            format!("GRANT REPLICATION SLAVE, BINLOG MONITOR ON *.* TO {user}"),
        ),
        (
            "a user who may not read a captured table, or no such table",
            format!("REVOKE SELECT ON {database} FROM {user}"),
            format!("GRANT SELECT ON {database} TO {user}"),
        ),
        ("a captured table without a primary key", "ALTER TABLE entry DROP PRIMARY KEY".to_owned(), "ALTER TABLE entry ADD PRIMARY KEY (id)".to_owned()),
        (
            "a captured table with a cascading foreign key",
            "CREATE TABLE parent (id INT PRIMARY KEY); ALTER TABLE entry ADD CONSTRAINT falls FOREIGN KEY (id) REFERENCES parent (id) ON DELETE CASCADE".to_owned(),
            "ALTER TABLE entry DROP FOREIGN KEY falls".to_owned(),
        ),
        ("a captured table with SYSTEM VERSIONING", "ALTER TABLE entry ADD SYSTEM VERSIONING".to_owned(), "ALTER TABLE entry DROP SYSTEM VERSIONING".to_owned()),
    ];
    for (input, bad, good) in cases {
        source.sql(&bad)?;
        refused(input, &source)?;
        source.sql(&good)?;
    }
    let mut clash =
        Source { stack: &stack, name: source.name.clone(), deployment: source.deployment.clone() };
    let own = source.sql("SELECT @@server_id")?;
    let section = format!("source.{}", source.name);
    clash.deployment.edit(|file| file.set(&section, "server_id", own.trim()))?;
    refused("`source.NAME.server_id` is the server's own", &clash)?;
    // and with everything as it should be it is followed; what the log shows of all this would stop it
    source.sql("RESET MASTER")?;
    let section = format!("source.{}", source.name);
    let mut deployment = source.deployment.clone();
    deployment.edit(|file| file.set(&section, "server_id", "9876"))?;
    let _databus = deployment.databus()?;
    source.sql("INSERT INTO entry VALUES (1, 'x')")?;
    source.wait_for_changes(1)?;
    Ok(())
}

#[test]
fn a_server_that_is_too_old_or_logs_nothing_is_refused_g7() -> Result<()> {
    let stack = own_stack("bad-servers")?;
    for (input, name, arg) in [
        ("a server of an unsupported version", "old", "--version=10.4.34-MariaDB-log"),
        ("a server without a binlog", "mute", "--skip-log-bin"),
    ] {
        let options = ServerOptions::beside(&stack, name).server_id(77).arg(arg);
        let server = DatabaseServer::start(Flavour::MariaDb1011, options)?;
        let mut source = Source::new(&stack, COLUMNS)?;
        server.create_database(&source.name)?;
        server.sql(&format!("CREATE TABLE {}.entry ({COLUMNS})", source.name))?;
        source.read_from(&server)?;
        refused(input, &source)?;
    }
    Ok(())
}

#[test]
fn what_the_wire_damages_or_cuts_is_noticed_and_read_again_g1_g7() -> Result<()> {
    let mut source = Source::new(stack()?, COLUMNS)?;
    let proxy = source.read_through_a_proxy()?;
    let databus = source.deployment.databus()?;
    source.sql("INSERT INTO entry VALUES (1, 'before')")?;
    source.wait_for_changes(1)?;
    let cases: [(&str, Fault, &str, &str); 2] = [
        (
            "a bit flipped on the wire",
            Fault::FlipOnce(b"a-bit-of-this-flips"),
            "a-bit-of-this-flips",
            "CRC32",
        ),
        (
            "a packet cut off on the wire",
            Fault::CutOnce(b"this-is-cut-in-half"),
            "this-is-cut-in-half",
            "connection to the source is lost",
        ),
    ];
    for ((input, fault, text, words), id) in cases.into_iter().zip(2..) {
        proxy.set(fault);
        source.sql(&format!("INSERT INTO entry VALUES ({id}, '{text}')"))?;
        let changes = source.wait_for_changes(id).with_context(|| last_lines(&databus))?;
        assert_dense(&changes)?;
        let last = String::from_utf8_lossy(changes.last().context("no change")?).into_owned();
        ensure!(last.contains(text), "the damaged row was published: {last}");
        let line = wait_until("a word about it", SOON, || {
            let log = databus.log().map_err(Not::yet)?;
            log.lines().find(|line| line.contains(words)).map(str::to_owned).ok_or(Not::Yet(log))
        })?;
        documented(input, &source.name, None, &line)?;
    }
    Ok(())
}

#[test]
fn what_is_complete_in_front_of_a_fault_is_published_before_the_stream_stops_g1_g7() -> Result<()> {
    let source = Source::new(stack()?, COLUMNS)?;
    let good: String = (1..=40).map(|id| format!("INSERT INTO entry VALUES ({id}, 'good');")).collect();
    source.sql(&good)?;
    source.sql("SET binlog_row_image = MINIMAL; UPDATE entry SET note = 'in part' WHERE id = 1")?;
    // stopped in front of the same transaction every time, and nothing is published again
    for _ in 0..2 {
        let (code, message) = refusal(&source.deployment)?;
        ensure!(code == Some(1) && message.contains("the row image is not FULL"), "{code:?}: {message}");
        let changes = source.changes()?;
        ensure!(changes.len() == 40, "{} changes of the 40 in front of the fault", changes.len());
        assert_dense(&changes)?;
    }
    Ok(())
}

/// The server's binlog file of this number, and what is in it.
fn binlog(source: &Source<'_>, number: u32) -> Result<(PathBuf, Vec<u8>)> {
    let datadir = source.sql("SELECT @@datadir")?;
    let path = PathBuf::from(datadir.trim()).join(format!("binlog.{number:06}"));
    let bytes = fs::read(&path).with_context(|| path.display().to_string())?;
    Ok((path, bytes))
}

/// Start and length of the event that holds the text.
fn event_with(bytes: &[u8], text: &str) -> Result<(usize, usize)> {
    let mut at = 4;
    while let Some(header) = bytes.get(at..at + 19) {
        let length = u32::from_le_bytes([header[9], header[10], header[11], header[12]]) as usize;
        let event = bytes.get(at..at + length).context("an event past the end")?;
        // the statement is there, too, in an event in front of its rows: 160 is Annotate_rows
        if header[4] != 160 && event.windows(text.len()).any(|window| window == text.as_bytes()) {
            return Ok((at, length));
        }
        at += length;
    }
    bail!("no event holds {text}")
}

/// The CRC32 of IEEE 802.3, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc)))
}

#[test]
fn a_binlog_that_is_damaged_cut_or_holds_what_nobody_knows_stops_the_stream_in_its_place_g7() -> Result<()> {
    let stack = own_stack("bad-binlog")?;
    let source = Source::new(&stack, COLUMNS)?;
    source.sql("INSERT INTO entry VALUES (1, 'good'); INSERT INTO entry VALUES (2, 'to-be-spoilt'); FLUSH BINARY LOGS; INSERT INTO entry VALUES (3, 'behind')")?;
    let (path, whole) = binlog(&source, 1)?;
    let (at, length) = event_with(&whole, "to-be-spoilt")?;

    let mut unknown = whole.clone();
    unknown[at + 4] = 250;
    let crc = at + length - 4;
    let sum = crc32(&unknown[at..crc]).to_le_bytes();
    unknown[crc..crc + 4].copy_from_slice(&sum);
    fs::write(&path, &unknown)?;
    refused("an event of an unknown type", &source)?;

    let mut damaged = whole.clone();
    damaged[crc - 3] ^= 1;
    fs::write(&path, &damaged)?;
    refused("an event that is damaged on the source's disk", &source)?;
    let (_, message) = refusal(&source.deployment)?;
    ensure!(message.contains(&format!("binlog.000001:{at} ")), "no place in: {message}");

    fs::write(&path, &whole[..at + length / 2])?;
    refused("a binlog file cut within an event", &source)?;

    ensure!(source.changes()?.len() == 1, "{} changes, and one stands in front", source.changes()?.len());
    fs::write(&path, &whole)?;
    let _databus = source.deployment.databus()?;
    assert_dense(&source.wait_for_changes(3)?)?;
    Ok(())
}

#[test]
fn every_row_of_the_page_is_brought_about_by_a_test() -> Result<()> {
    let mut tests = String::new();
    for folder in ["it-tests/tests/databus", "it-tests/tests/mysql", "it-tests/src"] {
        for entry in fs::read_dir(repo_root().join(folder))? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "rs") {
                tests.push_str(&fs::read_to_string(path)?);
            }
        }
    }
    tests.push_str(&fs::read_to_string(repo_root().join("it-tests/tests/databus.rs"))?);
    for input in inputs()? {
        ensure!(tests.contains(&format!("\"{input}\"")), "no test brings about: {input}");
    }
    Ok(())
}
