//! How to start a program, and the command line that keeps it from outliving us.

use super::paths::{is_root, required_program};
use anyhow::bail;
use std::ffi::OsString;
use std::fmt;
use std::fs::OpenOptions;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// What ends with whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// Killed by the kernel when this process ends, and on drop.
    WithParent,
    /// Stays when this process ends; whoever reads its pid file stops it.
    Detached,
}

/// How to start a program. `Debug` leaves the environment out: it carries secrets.
#[derive(Clone)]
pub struct Launch {
    pub(super) name: String,
    pub(super) program: PathBuf,
    args: Vec<OsString>,
    env: Vec<(String, OsString)>,
    pub(super) dir: PathBuf,
    pub(super) lifetime: Lifetime,
    as_plain_user: bool,
}

impl Launch {
    /// `program` in working directory `dir`, which also gets `<name>.log` (stdout and stderr) and `<name>.pid`.
    pub fn new(name: &str, program: impl Into<PathBuf>, dir: impl Into<PathBuf>) -> Self {
        Self {
            name: name.to_owned(),
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            dir: dir.into(),
            lifetime: Lifetime::WithParent,
            as_plain_user: false,
        }
    }

    /// Adds one argument.
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets an environment variable; the rest of the environment is inherited.
    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.env.push((name.to_owned(), value.into()));
        self
    }

    /// Whether the program stays when this process ends.
    pub fn lifetime(mut self, lifetime: Lifetime) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// For programs that refuse uid 0: see [`Disguise`].
    pub fn as_plain_user(mut self) -> Self {
        self.as_plain_user = true;
        self
    }

    pub(super) fn log(&self) -> PathBuf {
        self.dir.join(format!("{}.log", self.name))
    }

    pub(super) fn pid_file(&self) -> PathBuf {
        self.dir.join(format!("{}.pid", self.name))
    }

    pub(super) fn command(&self) -> anyhow::Result<Command> {
        let mut line: Vec<OsString> = Vec::new();
        if self.as_plain_user {
            line.extend(Disguise::here()?.prefix()?);
        }
        if self.lifetime == Lifetime::WithParent {
            line.push(required_program("setpriv")?.into());
            line.extend(["--pdeathsig", "KILL", "--"].map(OsString::from));
        }
        line.push(self.program.clone().into());
        line.extend(self.args.iter().cloned());
        let mut words = line.into_iter();
        let Some(first) = words.next() else { bail!("nothing to start for {}", self.name) };
        let log = OpenOptions::new().create(true).append(true).open(self.log())?;
        let mut command = Command::new(first);
        command
            .args(words)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.dir)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0);
        Ok(command)
    }
}

impl fmt::Debug for Launch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Launch")
            .field("program", &self.program)
            .field("args", &self.args)
            .finish_non_exhaustive()
    }
}

/// How a program that refuses uid 0 is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disguise {
    /// We are not root: as we are.
    None,
    /// As uid 1000 of a user namespace, with root's rights on the files outside of it.
    Namespace,
    /// Really as the user nobody, where namespaces are forbidden (some containers): its files must be nobody's, and
    /// all folders above them open to it.
    Nobody,
}

/// The id of the user and the group "nobody".
pub const NOBODY: u32 = 65_534;

const NAMESPACE: [&str; 4] = ["--user", "--map-user=1000", "--map-group=1000", "--"];

impl Disguise {
    /// What works here.
    pub fn here() -> anyhow::Result<Self> {
        if !is_root() {
            return Ok(Self::None);
        }
        let trial = Command::new(required_program("unshare")?).args(NAMESPACE).arg("true").output()?;
        Ok(if trial.status.success() { Self::Namespace } else { Self::Nobody })
    }

    fn prefix(self) -> anyhow::Result<Vec<OsString>> {
        let (program, args) = match self {
            Self::None => return Ok(Vec::new()),
            Self::Namespace => ("unshare", NAMESPACE.map(str::to_owned).to_vec()),
            Self::Nobody => {
                let ids = [format!("--reuid={NOBODY}"), format!("--regid={NOBODY}")];
                ("setpriv", [&ids[..], &["--clear-groups".to_owned(), "--".to_owned()]].concat())
            }
        };
        let program = required_program(program)?.into_os_string();
        Ok(std::iter::once(program).chain(args.into_iter().map(OsString::from)).collect())
    }
}
