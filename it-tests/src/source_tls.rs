//! A source that must be read over TLS, for each make of server.

use crate::{
    harness::{DatabaseServer, Flavour, Part, ServerOptions, Stack},
    shared::{fresh, unique},
    source::{Source, assert_dense, last_lines, refusal},
    tls::{LOOPBACK, TestCa},
};
use anyhow::{Context, Result, ensure};

const COLUMNS: &str = "id INT PRIMARY KEY, note VARCHAR(40) NOT NULL";

/// Nothing is read without TLS or from a server of another authority, and everything from the right one.
pub fn read_over_tls(flavour: Flavour) -> Result<()> {
    let stack = Stack::start(fresh(&unique("tls-source")).only(&[Part::MariaDb, Part::Kafka]))?;
    let mut source = Source::new(&stack, COLUMNS)?;
    let folder = stack.dir().join("certificates");
    let (ours, others) = (TestCa::new(&folder, "ours")?, TestCa::new(&folder, "others")?);
    let options =
        ServerOptions::beside(&stack, "secured").server_id(5).tls(&ours.sign("secured", &LOOPBACK)?);
    let server = DatabaseServer::start(flavour, options)?;
    server.create_database(&source.name)?;
    server.sql(&format!(
        "USE {}; CREATE TABLE entry ({COLUMNS}); INSERT INTO entry VALUES (1, 'x')",
        source.name
    ))?;
    server.require_tls("databus")?;
    source.read_from(&server)?;
    // plain TCP: the server itself says no, and that may pass for a wrong password
    let examined = source.deployment.run("databus", &["check"])?;
    ensure!(!examined.status.success(), "{flavour}: read without tls");
    let section = format!("source.{}", source.name);
    let believe = |source: &mut Source<'_>, ca: &TestCa| {
        let ca = ca.file().display().to_string();
        source.deployment.edit(|file| {
            file.set_text(&section, "tls", "verify-identity")?;
            file.set_text(&section, "tls_ca", &ca)
        })
    };
    believe(&mut source, &others)?;
    let stranger = source.deployment.run("databus", &["check"])?;
    ensure!(!stranger.status.success(), "{flavour}: believed a server of another authority");
    believe(&mut source, &ours)?;
    let databus = source.deployment.databus()?;
    server.sql(&format!("INSERT INTO {}.entry VALUES (2, 'y')", source.name))?;
    assert_dense(&source.wait_for_changes(2).with_context(|| last_lines(&databus))?)?;
    drop(databus);
    // a certificate without its key is a mistake of the file, told with its place
    source.deployment.edit(|file| file.set_text(&section, "tls_cert", "nowhere.pem"))?;
    let (code, message) = refusal(&source.deployment)?;
    ensure!(code == Some(2) && message.contains("belong together"), "exit code {code:?}:\n{message}");
    Ok(())
}
