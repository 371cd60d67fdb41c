//! The programs that the bench measures beside databus, in `.cache/`: two from Maven Central, one built with Go.

use crate::maven::copy_jars;
use crate::place::into_place;
use crate::private_apt::run;
use crate::progress::step;
use anyhow::{Context, ensure};
use it_tests::harness::paths::{KAFKA_VERSION, Peer, connect_lib, java_home, peer_home, program, repo_root};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Whether the peer that the tests compare stage 1 with is there.
pub(crate) fn has_debezium() -> bool {
    connect_lib().is_dir() && peer_home(Peer::Debezium).is_dir()
}

/// Fetches or builds what is missing of these peers.
pub(crate) fn provision(peers: &[Peer]) -> anyhow::Result<()> {
    for peer in peers {
        let home = peer_home(*peer);
        let name = peer.name();
        match peer {
            Peer::Debezium => {
                if !connect_lib().is_dir() {
                    step("fetch kafka connect", fetch_connect)?;
                }
                if !home.is_dir() {
                    step(&format!("fetch {name}"), || fetch_debezium(&home))?;
                }
            }
            Peer::Maxwell if home.is_dir() => {}
            Peer::Maxwell => step(&format!("fetch {name}"), || fetch_maxwell(&home))?,
            // go itself knows whether anything is to be built
            Peer::GoMysql => step(&format!("build {name}"), || build_go_mysql(&home))?,
        }
    }
    Ok(())
}

fn pom(folder: &str) -> PathBuf {
    repo_root().join("bench/peers").join(folder).join("pom.xml")
}

fn fetch_connect() -> anyhow::Result<()> {
    into_place(&connect_lib(), |fresh| {
        copy_jars(&pom("connect"), fresh, fresh, &[&format!("-Dkafka.version={KAFKA_VERSION}")])?;
        Ok(fresh.to_path_buf())
    })
}

/// Connect has these itself, and a plugin's own copy of them would not be the worker's.
const CONNECT_HAS: &str = "kafka-clients,connect-api,slf4j-api,zstd-jni,lz4-java,snappy-java";

fn fetch_debezium(home: &Path) -> anyhow::Result<()> {
    into_place(home, |fresh| {
        let plugin = fresh.join("debezium");
        let version = format!("-Dpeer.version={}", Peer::Debezium.version());
        copy_jars(
            &pom("debezium"),
            fresh,
            &plugin,
            &[&version, &format!("-DexcludeArtifactIds={CONNECT_HAS}")],
        )?;
        Ok(fresh.to_path_buf())
    })
}

fn fetch_maxwell(home: &Path) -> anyhow::Result<()> {
    into_place(home, |fresh| {
        let version = format!("-Dpeer.version={}", Peer::Maxwell.version());
        copy_jars(&pom("maxwell"), fresh, fresh, &[&version])?;
        let class = repo_root().join("bench/peers/maxwell/jdk/nashorn/api/scripting/ScriptObjectMirror.java");
        run(Command::new(java_home()?.join("bin/javac")).arg("-d").arg(fresh.join("classes")).arg(class))
            .context("maxwell wants a class that newer Java no longer has")?;
        Ok(fresh.to_path_buf())
    })
}

fn build_go_mysql(home: &Path) -> anyhow::Result<()> {
    let go = program("go")
        .context("`go` is not installed; install Go 1.25 or newer, or leave go-mysql out of --peers")?;
    std::fs::create_dir_all(home)?;
    let folder = repo_root().join("bench/peers/go-mysql");
    run(Command::new(go).arg("build").arg("-o").arg(home.join("gomysql")).arg(".").current_dir(folder))?;
    ensure!(home.join("gomysql").is_file(), "go built nothing in {}", home.display());
    Ok(())
}
