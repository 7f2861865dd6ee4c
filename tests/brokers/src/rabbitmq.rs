//! RabbitMQ, as Debian packages it, on loopback: one node of its own, with its own port mapper, in a directory of its own.
//!
//! Everything ends with the process that started it, however that ends: beside each process a shell waits for the end of its input, and
//! kills then.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::missing_panics_doc, reason = "a test may fail")]

mod queues;

pub use queues::{Queues, queues};

use fanpool::connect::RabbitMq;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use std::fs;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

const SERVER: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";
/// Who may do everything.
pub const USER: &str = "fanny";
/// Their password.
pub const PASSWORD: &str = "s3cret-word";
/// The largest payload that is accepted.
pub const LARGEST: usize = 1 << 20;
/// How long a node may take to be ready.
const READY: Duration = Duration::from_secs(90);

/// A node that runs.
#[derive(Debug)]
pub struct Server {
    directory: PathBuf,
    port: u16,
    tls_port: u16,
    distribution: u16,
    mapper: u16,
    node: String,
    running: Mutex<Option<Running>>,
    evaluating: Mutex<()>,
    _mapper: Running,
    _directory: Child,
}

/// A process, and the shell that ends it with ours.
#[derive(Debug)]
struct Running {
    process: Child,
    watch: Child,
}

impl Running {
    fn start(command: &mut Command) -> Running {
        let process = command.stdin(Stdio::null()).process_group(0).spawn().unwrap();
        let group = process.id().to_string();
        Running { process, watch: at_the_end("kill -9 -\"$1\"", &group) }
    }

    fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        // A line instead of the end: there is nothing to do.
        self.watch.stdin.take().unwrap().write_all(b"\n").unwrap();
        self.watch.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Does that once this process has ended.
fn at_the_end(what: &str, argument: &str) -> Child {
    Command::new("sh")
        .args(["-c", &format!("read line || {{ {what}; }} 2>/dev/null"), "sh", argument])
        .stdin(Stdio::piped())
        .process_group(0)
        .spawn()
        .unwrap()
}

/// Ports that nobody listens on, all different.
fn free_ports<const N: usize>() -> [u16; N] {
    let listeners = [(); N].map(|()| TcpListener::bind(("127.0.0.1", 0)).unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

/// Makes an authority and a certificate of `localhost`.
fn certify(directory: &Path) {
    fs::write(directory.join("names"), "subjectAltName = DNS:localhost\n").unwrap();
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    for arguments in [
        format!("req -x509 {key} -keyout ca.key -out ca.pem -subj /CN=fanpool-tests -days 2"),
        format!("req {key} -keyout key.pem -out request.pem -subj /CN=localhost"),
        "x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -out cert.pem -days 2 -extfile names"
            .into(),
    ] {
        let mut openssl = Command::new("openssl");
        let done = openssl.args(arguments.split(' ')).current_dir(directory).output().expect("openssl is installed");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
}

impl Server {
    /// Starts a node, and waits until it is ready.
    ///
    /// # Panics
    ///
    /// If RabbitMQ is not installed, or is not ready in time.
    #[must_use]
    pub fn start() -> Server {
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        assert!(
            Path::new(SERVER).exists(),
            "NO RABBITMQ: {SERVER} is missing. These tests need it: apt-get install rabbitmq-server (3.8 or newer)."
        );
        let name = format!("fanpool-{}-{}", std::process::id(), STARTED.fetch_add(1, Ordering::Relaxed));
        let directory = std::env::temp_dir().join(&name);
        fs::create_dir_all(&directory).unwrap();
        let remove = at_the_end("sleep 1; rm -rf \"$1\"", directory.to_str().unwrap());
        let [port, tls_port, distribution, mapper] = free_ports();
        let write = |name: &str, text: &str| fs::write(directory.join(name), text).unwrap();
        write(
            "rabbitmq.conf",
            &format!(
                "listeners.tcp.local = 127.0.0.1:{port}\nnum_acceptors.tcp = 2\nlog.file.level = warning\nlog.console = false\n\
                 vm_memory_high_watermark.absolute = 1GiB\ndisk_free_limit.absolute = 10MB\ndefault_user = {USER}\n\
                 default_pass = {PASSWORD}\nmax_message_size = {LARGEST}\n"
            ),
        );
        if cfg!(feature = "rabbitmq-tls") {
            certify(&directory);
            let at = |name: &str| directory.join(name).display().to_string();
            let more = format!(
                "listeners.ssl.local = 127.0.0.1:{tls_port}\nssl_options.certfile = {}\nssl_options.keyfile = {}\n",
                at("cert.pem"),
                at("key.pem")
            );
            let mut file = fs::OpenOptions::new().append(true).open(directory.join("rabbitmq.conf")).unwrap();
            file.write_all(more.as_bytes()).unwrap();
        }
        write("advanced.config", "[].");
        write("enabled_plugins", "[].");
        write(".erlang.cookie", &format!("COOKIE{}", name.replace('-', "")));
        fs::set_permissions(directory.join(".erlang.cookie"), fs::Permissions::from_mode(0o400)).unwrap();
        let mut map = Command::new("epmd");
        map.args(["-port", &mapper.to_string(), "-address", "127.0.0.1"]).stdout(Stdio::null()).stderr(Stdio::null());
        let _mapper = Running::start(&mut map);
        let running = Mutex::new(None);
        let node = format!("{name}@localhost");
        let server = Server {
            directory,
            port,
            tls_port,
            distribution,
            mapper,
            node,
            running,
            evaluating: Mutex::default(),
            _mapper,
            _directory: remove,
        };
        server.boot();
        server
    }

    fn boot(&self) {
        let log = fs::File::create(self.directory.join("out")).unwrap();
        let mut command = Command::new(SERVER);
        let at = |name: &str| self.directory.join(name);
        command
            .arg("-noinput")
            .current_dir(&self.directory)
            .env("HOME", &self.directory)
            .env("RABBITMQ_ALLOW_INPUT", "1")
            .env("RABBITMQ_NODENAME", &self.node)
            .env("RABBITMQ_BASE", &self.directory)
            .env("RABBITMQ_MNESIA_BASE", at("mnesia"))
            .env("RABBITMQ_LOG_BASE", at("log"))
            .env("RABBITMQ_PID_FILE", at("pid"))
            .env("RABBITMQ_CONFIG_FILE", at("rabbitmq.conf"))
            .env("RABBITMQ_ADVANCED_CONFIG_FILE", at("advanced.config"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", at("enabled_plugins"))
            .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
            .env("RABBITMQ_DIST_PORT", self.distribution.to_string())
            .env("ERL_EPMD_PORT", self.mapper.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("ERL_CRASH_DUMP_SECONDS", "0")
            .env(
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                "-kernel inet_dist_use_interface {127,0,0,1} +S 1:1 +A 4 +sbwt none",
            )
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        let mut slot = self.running();
        assert!(slot.is_none(), "it runs");
        let running = slot.insert(Running::start(&mut command));
        let begun = Instant::now();
        // It listens once all else is done.
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let ended = running.process.try_wait().unwrap();
            if ended.is_some() || begun.elapsed() > READY {
                let out = fs::read_to_string(at("out")).unwrap_or_default();
                panic!("RABBITMQ IS NOT READY after {:?} ({ended:?}):\n{out}", begun.elapsed());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Kills it with SIGKILL.
    pub fn kill(&self) {
        self.running().take().expect("it runs").kill();
    }

    /// Starts it again, with what it had stored.
    pub fn restart(&self) {
        self.boot();
    }

    /// Has it stand still, or go on.
    pub fn freeze(&self, frozen: bool) {
        let id = self.running().as_ref().expect("it runs").process.id().to_string();
        let signal = if frozen { "-STOP" } else { "-CONT" };
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where it speaks TLS, as `localhost`, and the authority that says so, in PEM. With the feature `rabbitmq-tls`.
    #[must_use]
    pub fn tls(&self) -> (u16, String) {
        (self.tls_port, fs::read_to_string(self.directory.join("ca.pem")).unwrap())
    }

    /// How to connect as the user that may do everything.
    #[must_use]
    pub fn client(&self) -> RabbitMq {
        RabbitMq::new(format!("amqp://127.0.0.1:{}", self.port)).credentials(USER, PASSWORD)
    }

    /// Evaluates an Erlang expression in the node; returns its value as text.
    pub fn eval(&self, expression: &str) -> String {
        let began = Instant::now();
        // A node that is busy may let nobody in, and many at once still less; nothing was evaluated then.
        let _turn = self.evaluating.lock().unwrap_or_else(PoisonError::into_inner);
        let mut output = self.call(expression);
        while output.is_empty() && began.elapsed() < Duration::from_secs(30) {
            std::thread::sleep(Duration::from_millis(50));
            output = self.call(expression);
        }
        let value = output.strip_prefix("{ok, ").and_then(|rest| rest.strip_suffix('}'));
        value.unwrap_or_else(|| panic!("{expression}: {output}")).to_owned()
    }

    fn call(&self, expression: &str) -> String {
        let mut call = Command::new("erl_call")
            .args(["-e", "-c", &fs::read_to_string(self.directory.join(".erlang.cookie")).unwrap()])
            .args(["-address", &format!("localhost:{}", self.distribution)])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("erl_call of Debian's erlang-base");
        // It may have ended already.
        let _ = call.stdin.take().unwrap().write_all(format!("{expression}\n").as_bytes());
        String::from_utf8(call.wait_with_output().unwrap().stdout).unwrap()
    }

    /// Has it close the connections that call themselves so; returns how many there were. Others may be coming, without a name yet, or going.
    pub fn close_connections(&self, name: &str) -> usize {
        let closed = self.eval(&format!(
            "length([rabbit_networking:close_connection(P, <<\"test\">>) || P <- rabbit_networking:connections(), \
             [{{client_properties, C}}] <- [(catch rabbit_reader:info(P, [client_properties]))], is_list(C), \
             lists:member({{<<\"connection_name\">>, longstr, <<\"{name}\">>}}, C)])."
        ));
        closed.parse().unwrap()
    }

    /// Does something with a channel of the client itself.
    pub fn with<T>(&self, work: impl AsyncFnOnce(&Channel) -> lapin::Result<T>) -> T {
        let uri = format!("amqp://{USER}:{PASSWORD}@127.0.0.1:{}", self.port);
        async_io::block_on(async {
            let began = Instant::now();
            // A node that has just started may break a connection off.
            let connection = loop {
                match Connection::connect(&uri, ConnectionProperties::default()).await {
                    Ok(connection) => break connection,
                    Err(error) if began.elapsed() > Duration::from_secs(30) => return Err(error),
                    Err(_) => std::thread::sleep(Duration::from_millis(50)),
                }
            };
            let channel = connection.create_channel().await?;
            let value = work(&channel).await?;
            connection.close(200, "OK".into()).await?;
            Ok::<T, lapin::Error>(value)
        })
        .unwrap()
    }

    /// Makes a queue that is empty.
    pub fn create(&self, queue: &str, quorum: bool) {
        self.with(async |channel| {
            channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await?;
            let mut arguments = FieldTable::default();
            if quorum {
                arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
            }
            channel.queue_declare(queue.into(), QueueDeclareOptions::durable(), arguments).await
        });
        if quorum {
            // Which it does half a second later: killed before, the node would know of the queue and not how to start it.
            self.eval("[dets:sync(T) || T <- dets:all()].");
        }
    }

    /// Deletes a queue.
    pub fn delete(&self, queue: &str) {
        self.with(async |channel| channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await);
    }

    /// Puts messages into a queue, with properties of any kind.
    pub fn put(&self, queue: &str, messages: impl IntoIterator<Item = (Vec<u8>, BasicProperties)>) {
        self.with(async |channel| {
            channel.confirm_select(ConfirmSelectOptions::default()).await?;
            for (payload, properties) in messages {
                let options = BasicPublishOptions { mandatory: true, immediate: false };
                let sent = channel.basic_publish("".into(), queue.into(), options, &payload, properties).await?;
                let confirmation = sent.await?;
                assert!(confirmation.is_ack() && confirmation.take_message().is_none());
            }
            Ok(())
        });
    }

    /// How many messages of a queue wait, and how many there are with those in hand.
    pub fn counts(&self, queue: &str) -> (u64, u64) {
        // Of a quorum queue the node keeps a copy that is seconds old; its state machine knows.
        let counts = self.eval(&format!(
            "{{ok, Q}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<\"/\">>, queue, <<\"{queue}\">>)), \
             case amqqueue:get_type(Q) of rabbit_quorum_queue -> \
             {{ok, [R, T], _}} = ra:consistent_query(amqqueue:get_pid(Q), fun(S) -> \
             [rabbit_fifo:query_messages_ready(S), rabbit_fifo:query_messages_total(S)] end), \
             {{R, T}}; _ -> [{{_, R}}, {{_, T}}] = rabbit_amqqueue:info(Q, [messages_ready, messages]), {{R, T}} end."
        ));
        let (ready, total) = counts.trim_matches(['{', '}']).split_once(", ").unwrap();
        (ready.parse().unwrap(), total.parse().unwrap())
    }
}
