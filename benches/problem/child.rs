//! This test binary as a child, which runs one test in one of its ways.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

const WAY: &str = "PROBLEM_WAY";

/// For what should come. It is long because other tests may have all the cores.
const PATIENCE: Duration = Duration::from_secs(60);

/// For what should not.
const HANGS: Duration = Duration::from_secs(2);

/// The way in which a test is to run, in a child.
pub(crate) fn way() -> Option<String> {
    std::env::var(WAY).ok()
}

/// A line for the parent.
pub(crate) fn tell(line: &str) {
    println!("\ntold: {line}");
}

/// The test `name` in a process of its own.
pub(crate) struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Running {
    pub(crate) fn start(name: &str, way: &str) -> Running {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([name, "--exact", "--nocapture", "--test-threads=1"]).env(WAY, way);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let (told, lines) = channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        // Ends with the child.
        thread::spawn(move || {
            let lines = out.lines().map_while(Result::ok);
            lines.filter_map(|line| Some(line.strip_prefix("told: ")?.to_owned())).try_for_each(|line| told.send(line))
        });
        Running { child, lines }
    }

    /// The next line that the child tells.
    pub(crate) fn told(&self) -> String {
        self.lines.recv_timeout(PATIENCE).unwrap()
    }

    pub(crate) fn number(&self) -> usize {
        self.told().parse().unwrap()
    }

    /// It ends, and well.
    pub(crate) fn ends(mut self) {
        assert_eq!(self.lines.recv_timeout(PATIENCE), Err(RecvTimeoutError::Disconnected));
        assert!(self.child.wait().unwrap().success());
    }

    /// It tells nothing more and does not end. Ends it.
    pub(crate) fn hangs(self) {
        assert_eq!(self.lines.recv_timeout(HANGS), Err(RecvTimeoutError::Timeout));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
