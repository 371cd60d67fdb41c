//! Database servers that this system's own packages do not bring: packages of other Debian suites, unpacked into
//! `.cache/` and run there under their own loader and libraries. Nothing is installed.

use crate::place::into_place;
use crate::private_apt::{PrivateApt, run};
use anyhow::{Context, ensure};
use it_tests::harness::Flavour;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the packages ask for and a server does without.
const NOT_WANTED: [&str; 4] = ["perl", "libperl", "libdb5", "libgdbm"];

/// One line for the progress display.
pub(crate) fn what(server: Flavour) -> String {
    format!("fetch {server} ({} MB from Debian's {})", if server.is_mysql() { 63 } else { 17 }, suite(server))
}

fn suite(server: Flavour) -> &'static str {
    if server.is_mysql() { "sid" } else { "trixie" }
}

/// Fetches a server with all that it needs.
pub(crate) fn fetch(server: Flavour) -> anyhow::Result<()> {
    let home = server.home().with_context(|| format!("{server} comes with this system's own packages"))?;
    let packages = if server.is_mysql() {
        ["mysql-server-core", "mysql-client-core"]
    } else {
        ["mariadb-server-core", "mariadb-client-core"]
    };
    into_place(&home, |fresh| {
        let apt = PrivateApt::new(&fresh.join("apt"), suite(server))?;
        let root = fresh.join("root");
        for package in apt.download(&packages)? {
            let name = package.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if !NOT_WANTED.iter().any(|prefix| name.starts_with(prefix)) {
                run(Command::new("dpkg-deb").arg("--extract").args([&package, &root]))?;
            }
        }
        // packages of older make still name their files below /lib and /bin
        for folder in ["lib", "lib64", "bin", "sbin"] {
            let link = root.join(folder);
            if !link.exists() {
                symlink(Path::new("usr").join(folder), link)?;
            }
        }
        wrap_programs(&root)?;
        Ok(root)
    })?;
    ensure!(
        server.is_there(),
        "Debian's packages of {server} brought no server; do they have another form now?"
    );
    Ok(())
}

/// Puts a script in place of each program that starts it under the loader and the libraries it was built for: those
/// of this system are older.
fn wrap_programs(root: &Path) -> anyhow::Result<()> {
    let loader = loader(root)?;
    let loader = loader.strip_prefix(root)?.display();
    let libraries =
        Path::new(&loader.to_string()).parent().unwrap_or(Path::new("usr/lib")).display().to_string();
    for folder in ["usr/bin", "usr/sbin"] {
        for entry in fs::read_dir(root.join(folder))? {
            let path = entry?.path();
            if path.is_symlink() || !is_elf(&path)? {
                continue;
            }
            let mut real = path.clone().into_os_string();
            real.push(".real");
            fs::rename(&path, &real)?;
            let script = format!(
                "#!/bin/sh\nself=$(readlink -f \"$0\")\nroot=${{self%/usr/*}}\n\
                 exec \"$root/{loader}\" --argv0 \"$self\" --library-path \"$root/{libraries}\" \"$self.real\" \"$@\"\n"
            );
            fs::write(&path, script)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        }
    }
    Ok(())
}

/// `usr/lib/<triplet>/ld-linux-<machine>.so.<n>`.
fn loader(root: &Path) -> anyhow::Result<PathBuf> {
    let lib = root.join("usr/lib");
    for folder in fs::read_dir(&lib).with_context(|| format!("cannot read {}", lib.display()))?.flatten() {
        for file in fs::read_dir(folder.path()).into_iter().flatten().flatten() {
            if file.file_name().to_string_lossy().starts_with("ld-linux") {
                return Ok(file.path());
            }
        }
    }
    anyhow::bail!("no loader ld-linux*.so below {}", lib.display())
}

fn is_elf(path: &Path) -> anyhow::Result<bool> {
    let mut head = [0; 4];
    let read = File::open(path)?.read(&mut head)?;
    Ok(read == 4 && &head == b"\x7fELF")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_program_runs_under_the_loader_beside_it_with_its_arguments_as_they_are() -> anyhow::Result<()> {
        let root = std::env::temp_dir().join(format!("xtask-wrap-{}/a root", std::process::id()));
        let libraries = root.join("usr/lib/some-linux-gnu");
        for folder in [&root.join("usr/bin"), &root.join("usr/sbin"), &libraries] {
            fs::create_dir_all(folder)?;
        }
        // in place of a loader, a program that shows what it was given
        let loader = libraries.join("ld-linux-some.so.2");
        fs::write(&loader, "#!/bin/sh\nfor word in \"$@\"; do echo \"$word\"; done\n")?;
        fs::set_permissions(&loader, fs::Permissions::from_mode(0o755))?;
        fs::write(root.join("usr/bin/tool"), b"\x7fELF and more")?;
        fs::write(root.join("usr/bin/script"), b"#!/bin/sh\n")?;

        wrap_programs(&root)?;

        let shown = run(Command::new(root.join("usr/bin/tool")).args(["--x", "two words"]))?;
        let tool = root.canonicalize()?.join("usr/bin/tool").display().to_string();
        let lib = root.canonicalize()?.join("usr/lib/some-linux-gnu").display().to_string();
        let expected =
            ["--argv0", &tool, "--library-path", &lib, &format!("{tool}.real"), "--x", "two words"];
        assert_eq!(shown.lines().collect::<Vec<_>>(), expected);
        assert_eq!(fs::read(root.join("usr/bin/script"))?, b"#!/bin/sh\n");
        fs::remove_dir_all(root.parent().unwrap_or(&root))?;
        Ok(())
    }
}
