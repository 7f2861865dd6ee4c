//! Debian's redis-server on a free port of the loopback, in a directory of its own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::missing_panics_doc, reason = "all of it is tests")]

use crate::{Broker, Promises};
use fanpool::connect::{Message, Redis, Sink, Source};
use redis::{Connection, Value, cmd};
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// After what time the sources of the [`Broker`] take over.
pub const CLAIM_AFTER: Duration = Duration::from_secs(2);
/// The group of the [`Broker`]'s sources.
pub const GROUP: &str = "group";

/// A server; ended when it is dropped, or when the thread that started it ends.
#[derive(Debug)]
pub struct Server {
    port: u16,
    directory: PathBuf,
    options: Vec<String>,
    process: Mutex<Option<Child>>,
}

impl Server {
    /// One that keeps all that it confirmed.
    pub fn start() -> Server {
        Server::with(&[])
    }

    /// With options more, such as `["--requirepass", "secret"]`.
    pub fn with(options: &[&str]) -> Server {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("fanpool-redis-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&directory).unwrap();
        let mut server = Server {
            port: 0,
            directory,
            options: options.iter().map(|option| (*option).to_owned()).collect(),
            process: Mutex::new(None),
        };
        // Somebody else may take the port before the server does.
        for _ in 0..5 {
            server.port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            if server.launch() {
                return server;
            }
        }
        panic!("redis-server did not start");
    }

    fn launch(&self) -> bool {
        let mut command = Command::new("redis-server");
        command.args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes"]);
        command.args(["--appendfsync", "always", "--daemonize", "no", "--logfile", "", "--dir"]).arg(&self.directory);
        command.args(&self.options).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let end_with_parent = || {
            // SAFETY: this is a system call that touches no memory of this process.
            match unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            }
        };
        // SAFETY: what is called between fork and exec is a system call; it takes no lock and allocates nothing.
        unsafe { command.pre_exec(end_with_parent) };
        let mut child = command.spawn().unwrap_or_else(|error| {
            panic!("redis-server cannot be started ({error}): install it with `apt-get install redis-server`")
        });
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = lines.any(|line| line.is_ok_and(|line| line.contains("Ready to accept connections")));
        if ready {
            // What it says must go somewhere, or it waits.
            std::thread::spawn(move || lines.for_each(drop));
            *self.process.lock().unwrap() = Some(child);
        } else {
            let _ = child.wait();
        }
        ready
    }

    /// Host and port.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// As a program would name it.
    pub fn redis(&self) -> Redis {
        Redis::new([self.address()])
    }

    /// A connection of the client, not of the engine.
    pub fn client(&self) -> Connection {
        redis::Client::open(format!("redis://{}", self.address())).unwrap().get_connection().unwrap()
    }

    /// What the server answers to these words.
    pub fn ask(&self, words: &[&str]) -> Value {
        let mut command = cmd(words[0]);
        command.arg(&words[1..]);
        command.query(&mut self.client()).unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: i32) {
        let process = self.process.lock().unwrap();
        let id = process.as_ref().expect("it runs").id();
        // SAFETY: kill touches no memory of this process; the child was not waited for yet, so the id is its.
        assert_eq!(unsafe { libc::kill(id as i32, signal) }, 0);
    }

    /// The path of `name` in its directory.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// The fields of an entry, as another program would see them.
pub fn decode(fields: &Value) -> Message {
    let Value::Array(fields) = fields else { panic!("{fields:?}") };
    let bytes = |value: &Value| if let Value::BulkString(bytes) = value { bytes.clone() } else { panic!("{value:?}") };
    fields.chunks_exact(2).fold(Message::new(""), |message, field| {
        let (name, value) = (String::from_utf8(bytes(&field[0])).unwrap(), bytes(&field[1]));
        match name.as_str() {
            "payload" => message.headers().fold(Message::new(value), |new, (name, value)| new.with_header(name, value)),
            "key" => message.with_key(value),
            name => message.with_header(name.strip_prefix("header:").unwrap_or(name), value),
        }
    })
}

/// The entries behind an id.
fn behind(server: &Server, queue: &str, id: &str) -> Vec<Value> {
    match server.ask(&["XRANGE", queue, id, "+"]) {
        Value::Array(entries) => entries,
        other => panic!("{other:?}"),
    }
}

impl Broker for Server {
    fn engine(&self) -> &'static str {
        "redis"
    }

    fn promises(&self) -> Promises {
        Promises {
            takeover: CLAIM_AFTER * 2 + Duration::from_secs(2),
            counts_attempts: true,
            returns_at_once: true,
            orders_keys: false,
            any_bytes: true,
            largest: None,
        }
    }

    fn create(&self, queue: &str) {
        self.ask(&["XGROUP", "CREATE", queue, GROUP, "0", "MKSTREAM"]);
    }

    fn spec(&self) -> String {
        format!("redis={}", self.address())
    }

    fn source(&self, queue: &str) -> Box<dyn Source> {
        Box::new(self.redis().source(queue, GROUP).claim_after(CLAIM_AFTER))
    }

    fn sink(&self, queue: &str) -> Box<dyn Sink> {
        Box::new(self.redis().sink(queue))
    }

    fn dump(&self, queue: &str) -> Vec<Message> {
        let entries = behind(self, queue, "-");
        entries.iter().map(|entry| if let Value::Array(parts) = entry { decode(&parts[1]) } else { panic!() }).collect()
    }

    fn put(&self, queue: &str, messages: &[Message]) {
        let mut adds = redis::pipe();
        for message in messages {
            adds.cmd("XADD").arg(queue).arg("*").arg("payload").arg(message.payload());
            message.key().iter().for_each(|key| {
                adds.arg("key").arg(key);
            });
            for (name, value) in message.headers() {
                adds.arg(format!("header:{name}")).arg(value);
            }
        }
        if !messages.is_empty() {
            adds.exec(&mut self.client()).unwrap();
        }
    }

    fn unacknowledged(&self, queue: &str) -> u64 {
        let Value::Array(groups) = self.ask(&["XINFO", "GROUPS", queue]) else { panic!() };
        let Some(Value::Array(group)) = groups.first() else { panic!("{queue} has no group") };
        let get = |name: &str| {
            let is = |value: &Value| matches!(value, Value::BulkString(bytes) if bytes == name.as_bytes());
            &group.chunks_exact(2).find(|pair| is(&pair[0])).unwrap()[1]
        };
        let (Value::Int(pending), Value::BulkString(last)) = (get("pending"), get("last-delivered-id")) else {
            panic!()
        };
        let waiting = behind(self, queue, &format!("({}", String::from_utf8_lossy(last))).len();
        *pending as u64 + waiting as u64
    }

    fn stops(&self) -> bool {
        true
    }

    fn stop(&self) -> bool {
        if let Some(mut process) = self.process.lock().unwrap().take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
        true
    }

    fn start(&self) {
        assert!(self.process.lock().unwrap().is_none(), "it runs");
        // The port is in use by nobody else but for a moment.
        assert!((0..5).any(|_| self.launch()), "redis-server did not start again");
    }
}
