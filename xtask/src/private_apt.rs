//! apt with folders of its own: it downloads packages of another Debian suite, with all that they need, and neither
//! reads nor changes what apt knows about this machine.
//!
//! The mirror is the one that this machine's apt is set up with. As always with apt, the suite's index must carry a
//! signature of Debian's archive, and every package the SHA-256 that the index names.

use anyhow::{Context, bail};
use it_tests::harness::paths::program;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// Debian's own word for a suite whose contents change every day.
const UNSTABLE: &str = "sid";

/// An apt for one suite.
pub(crate) struct PrivateApt {
    dir: PathBuf,
    suite: &'static str,
}

impl PrivateApt {
    /// Sets it up in `dir`.
    pub(crate) fn new(dir: &Path, suite: &'static str) -> anyhow::Result<Self> {
        if program("apt-get").is_none() || program("dpkg-deb").is_none() {
            bail!("this machine has no apt-get and dpkg-deb; this part was tried on Debian 12 alone");
        }
        if !Path::new(KEYRING).is_file() {
            bail!("no {KEYRING}; install the package debian-archive-keyring");
        }
        for folder in ["parts", "lists/partial", "cache/archives/partial"] {
            let folder = dir.join(folder);
            fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        }
        fs::write(dir.join("status"), "")?;
        fs::write(
            dir.join("sources.list"),
            format!("deb [signed-by={KEYRING}] {} {suite} main\n", mirror(dir)?),
        )?;
        fs::write(dir.join("apt.conf"), configuration(dir)?)?;
        Ok(Self { dir: dir.to_path_buf(), suite })
    }

    /// Downloads packages and all that they depend on; answers the files.
    pub(crate) fn download(&self, packages: &[&str]) -> anyhow::Result<Vec<PathBuf>> {
        let update = ["update", "--option=APT::Update::Error-Mode=any"];
        let age_unchecked = "--option=Acquire::Check-Valid-Until=false";
        match self.apt_get(&update) {
            // a mirror may lag behind a suite whose index is good for a week; what is old there is still signed
            Err(error) if self.suite == UNSTABLE && format!("{error:#}").contains("is expired") => {
                eprintln!(
                    "note: the mirror's index of Debian's {UNSTABLE} is past its date; its signature is checked, its age is not"
                );
                self.apt_get(&[update[0], update[1], age_unchecked])?;
            }
            other => other.map(drop)?,
        }
        let mut install = vec!["install", "--download-only", "--yes"];
        install.extend(packages);
        self.apt_get(&install)?;
        let archives = self.dir.join("cache/archives");
        let mut files: Vec<PathBuf> = fs::read_dir(&archives)?.flatten().map(|entry| entry.path()).collect();
        files.retain(|path| path.extension().is_some_and(|ending| ending == "deb"));
        files.sort();
        Ok(files)
    }

    fn apt_get(&self, args: &[&str]) -> anyhow::Result<String> {
        let mut command = Command::new("apt-get");
        command.arg("--quiet=2").args(args).env("APT_CONFIG", self.dir.join("apt.conf")).env("LC_ALL", "C");
        run(&mut command).map_err(|error| {
            let hint = hint(&format!("{error:#}"));
            error.context(format!("cannot get packages of Debian's {}: {hint}", self.suite))
        })
    }
}

/// Everything apart from the machine's apt, save for the way to the network.
fn configuration(dir: &Path) -> anyhow::Result<String> {
    let dir = dir.display();
    let machine = run(Command::new("dpkg").arg("--print-architecture"))?;
    let machine = machine.trim();
    let network = run(Command::new("apt-config").args(["dump", "Acquire"]))?;
    let network: String = network
        .lines()
        .filter(|line| line.starts_with("Acquire::http::") || line.starts_with("Acquire::https::"))
        .map(|line| format!("{line}\n"))
        .collect();
    Ok(format!(
        "{network}Acquire::Languages \"none\";
Acquire::Retries \"3\";
Dir::State \"{dir}\";
Dir::State::lists \"{dir}/lists\";
Dir::State::status \"{dir}/status\";
Dir::Cache \"{dir}/cache\";
Dir::Etc::sourcelist \"{dir}/sources.list\";
Dir::Etc::sourceparts \"/dev/null\";
Dir::Etc::main \"/dev/null\";
Dir::Etc::parts \"{dir}/parts\";
Dir::Etc::preferences \"/dev/null\";
Dir::Etc::preferencesparts \"/dev/null\";
APT::Architecture \"{machine}\";
APT::Architectures {{ \"{machine}\"; }};
APT::Install-Recommends \"false\";
APT::Sandbox::User \"root\";
"
    ))
}

/// The archive that this machine's apt takes Debian's own packages from. Where apt has never looked, or its lists were
/// thrown away as in some images, it looks now, with lists in `dir`.
fn mirror(dir: &Path) -> anyhow::Result<String> {
    if let Some(uri) = listed_mirror(&[])? {
        return Ok(uri);
    }
    let lists = dir.join("machine-lists");
    fs::create_dir_all(lists.join("partial"))?;
    let elsewhere = [
        format!("--option=Dir::State::lists={}", lists.display()),
        format!("--option=Dir::Cache={}", dir.join("cache").display()),
        "--option=APT::Sandbox::User=root".to_owned(),
    ];
    run(Command::new("apt-get").args(["--quiet=2", "update"]).args(&elsewhere).env("LC_ALL", "C"))?;
    listed_mirror(&elsewhere)?.context(
        "this machine's apt is not set up with Debian's archive; this part was tried on Debian 12 alone",
    )
}

fn listed_mirror(options: &[String]) -> anyhow::Result<Option<String>> {
    let wanted = ["Created-By: Packages", "Component: main", "Origin: Debian"];
    let mut command = Command::new("apt-get");
    let listed = run(command.args(options).args(["indextargets", "--format", "$(REPO_URI)"]).args(wanted))?;
    // the security archive has other suites
    let main = listed.lines().find(|line| !line.contains("security"));
    Ok(main.map(|uri| uri.trim_end_matches('/').to_owned()))
}

fn hint(text: &str) -> &'static str {
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if says(&["NO_PUBKEY", "no public key"]) {
        "this machine does not know the archive's newest key; upgrade the package debian-archive-keyring"
    } else if says(&["is expired"]) {
        "the mirror's index is past its date; wait for the mirror, or set up apt with another one"
    } else if says(&["does not have a Release file", "404"]) {
        "the mirror that apt is set up with does not carry this suite; set up apt with one that does"
    } else if says(&["Unable to locate package", "has no installation candidate"]) {
        "the suite no longer has this package"
    } else if says(&["No space left", "enough free space"]) {
        "the disk is full; free some space and run again"
    } else if says(&["Temporary failure", "Could not connect", "Failed to fetch", "unreachable"]) {
        "the mirror cannot be reached; check the network and run again"
    } else {
        "see apt's own words"
    }
}

/// Runs a command to its end; answers its output, or an error with its own words.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot start {name}"))?;
    if !output.status.success() {
        let text =
            String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        let words: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).take(12).collect();
        bail!("{name} ended with {}: {}", output.status, words.join("\n"));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_private_configuration_names_no_folder_of_the_machines_apt() -> anyhow::Result<()> {
        let text = configuration(Path::new("/somewhere/apt"))?;
        assert!(text.contains("Dir::State::lists \"/somewhere/apt/lists\";"), "{text}");
        assert!(!text.contains("/var/lib") && !text.contains("/etc/apt"), "{text}");
        Ok(())
    }

    #[test]
    fn an_index_past_its_date_is_named_as_such() {
        let words = "E: Release file for http://mirror/dists/sid/InRelease is expired (invalid since 16d).";
        assert!(hint(words).contains("past its date"));
    }
}
