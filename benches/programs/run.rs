//! Running a program: where, how long, in how much memory.

use crate::digest::Same;
use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;
use wait4::Wait4;

/// The two CPUs that everything runs on, so that tools which take all they find take as many as the others.
pub(crate) struct Cores {
    list: String,
    pinned: bool,
}

impl Cores {
    pub(crate) fn two() -> Result<Cores, String> {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap_or_default();
        let mut cpus = Vec::new();
        for part in allowed.trim().split(',') {
            let (from, to) = part.split_once('-').unwrap_or((part, part));
            if let (Ok(from), Ok(to)) = (from.parse::<usize>(), to.parse::<usize>()) {
                cpus.extend(from..=to);
            }
        }
        let list: Vec<String> = cpus.iter().take(2).map(usize::to_string).collect();
        let pinned = cpus.len() > 2;
        if pinned && !is_there("taskset", &["--version"], "taskset") {
            return Err("there are more than two CPUs, and no taskset (util-linux) to use two of them".into());
        }
        Ok(Cores { list: list.join(","), pinned })
    }

    /// A command on these CPUs.
    pub(crate) fn command(&self, program: impl Into<OsString>) -> Command {
        if !self.pinned {
            return Command::new(program.into());
        }
        let mut command = Command::new("taskset");
        command.arg("-c").arg(&self.list).arg(program.into());
        command
    }
}

impl fmt::Display for Cores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "two threads on CPUs {}", self.list)
    }
}

/// Whether a program can be run, and says that it is the one that is meant.
fn is_there(program: &str, arguments: &[&str], says: &str) -> bool {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    output.is_ok_and(|output| output.status.success() && String::from_utf8_lossy(&output.stdout).contains(says))
}

/// What one run took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ran {
    pub(crate) seconds: f64,
    /// CPU time of all its processes.
    pub(crate) cpu: f64,
    /// Of the largest process, where there are several.
    pub(crate) peak_mib: f64,
}

/// A program or a tool, and how it is called.
pub(crate) struct Contender {
    pub(crate) peer: &'static str,
    program: OsString,
    arguments: Vec<OsString>,
    input: Option<PathBuf>,
    code: i32,
    /// A program, and what it calls itself.
    needs: Option<(&'static str, &'static str)>,
    /// What it writes must be that of this program's, which ran before.
    same: Same,
    out: &'static str,
}

impl Contender {
    pub(crate) fn program(path: PathBuf, out: &'static str) -> Contender {
        Contender {
            peer: "fanpool",
            program: path.into(),
            arguments: Vec::new(),
            input: None,
            code: 0,
            needs: None,
            same: Same::First,
            out,
        }
    }

    /// A line for the shell. `$0` is the folder of the data, `$OUT` what may be written into.
    pub(crate) fn tool(peer: &'static str, line: &str, data: &Path, out: &'static str) -> Contender {
        let mut contender = Contender::program("sh".into(), out).with(["-c", line]).with([data]);
        contender.peer = peer;
        contender
    }

    pub(crate) fn named(mut self, peer: &'static str) -> Contender {
        self.peer = peer;
        self
    }

    pub(crate) fn with(mut self, arguments: impl IntoIterator<Item = impl Into<OsString>>) -> Contender {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    pub(crate) fn input(mut self, path: PathBuf) -> Contender {
        self.input = Some(path);
        self
    }

    pub(crate) fn code(mut self, code: i32) -> Contender {
        self.code = code;
        self
    }

    pub(crate) fn needs(mut self, program: &'static str, says: &'static str) -> Contender {
        self.needs = Some((program, says));
        self
    }

    pub(crate) fn same(mut self, same: Same) -> Contender {
        self.same = same;
        self
    }

    pub(crate) fn is_installed(&self) -> bool {
        self.needs.is_none_or(|(program, says)| is_there(program, &["--version"], says))
    }

    /// Runs it once. What it writes is in the folder `out`, as a file or a folder of its name there.
    pub(crate) fn run(&self, cores: &Cores, out: &Path) -> Result<Ran, String> {
        let failed = |what: &str, error: &dyn fmt::Display| format!("{}: {what}: {error}", self.peer);
        let folder = out.join(format!("{}-files", self.out));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).map_err(|error| failed("output", &error))?;
        let stdout = File::create(out.join(self.out)).map_err(|error| failed("output", &error))?;
        let stdin = match &self.input {
            Some(path) => Stdio::from(File::open(path).map_err(|error| failed("input", &error))?),
            None => Stdio::null(),
        };
        let mut command = cores.command(&self.program);
        command.args(&self.arguments).env("OUT", &folder).env("MAGICK_THREAD_LIMIT", "1").env("LC_ALL", "C");
        command.stdin(stdin).stdout(stdout).stderr(Stdio::null());
        let began = Instant::now();
        let mut child = command.spawn().map_err(|error| failed("cannot start", &error))?;
        let used = child.wait4().map_err(|error| failed("cannot wait", &error))?;
        let seconds = began.elapsed().as_secs_f64();
        if used.status.code() != Some(self.code) {
            return Err(failed("unexpected end", &used.status));
        }
        let cpu = (used.rusage.utime + used.rusage.stime).as_secs_f64();
        Ok(Ran { seconds, cpu, peak_mib: used.rusage.maxrss as f64 / 1024.0 / 1024.0 })
    }

    pub(crate) fn check(&self, out: &Path) -> Result<(), String> {
        self.same.check(out, self.out)
    }
}
