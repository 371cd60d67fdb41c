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
        let disguise = if self.as_plain_user { Disguise::here()? } else { Disguise::None };
        if disguise == Disguise::Nobody {
            // before the next step, because a change of user takes its effect back
            line.push(required_program("setpriv")?.into());
            line.extend(AS_NOBODY.map(OsString::from));
        }
        if self.lifetime == Lifetime::WithParent {
            line.push(required_program("setpriv")?.into());
            line.extend(["--pdeathsig", "KILL", "--"].map(OsString::from));
        }
        if disguise == Disguise::Namespace {
            line.push(required_program("unshare")?.into());
            line.extend(IN_NAMESPACE.map(OsString::from));
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

/// How a program is started that refuses uid 0 and that starts programs of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disguise {
    /// As we are: not root, and namespaces are forbidden. What it starts ends only when it notices.
    None,
    /// As uid 1000 of a user namespace, with our rights on the files outside of it, and in a pid namespace, so that
    /// the kernel ends all that it started together with it.
    Namespace,
    /// Really as the user nobody: we are root, and namespaces are forbidden, as in some containers. Its files must
    /// be nobody's, and all folders above them open to it. What it starts ends only when it notices.
    Nobody,
}

/// The id of the user and the group "nobody".
pub const NOBODY: u32 = 65_534;

const AS_NOBODY: [&str; 4] = ["--reuid=65534", "--regid=65534", "--clear-groups", "--"];
const IN_NAMESPACE: [&str; 7] =
    ["--user", "--map-user=1000", "--map-group=1000", "--pid", "--fork", "--kill-child=SIGKILL", "--"];

impl Disguise {
    /// What works here.
    pub fn here() -> anyhow::Result<Self> {
        let trial = Command::new(required_program("unshare")?).args(IN_NAMESPACE).arg("true").output()?;
        Ok(match (trial.status.success(), is_root()) {
            (true, _) => Self::Namespace,
            (false, true) => Self::Nobody,
            (false, false) => Self::None,
        })
    }
}
