//! Messages of a broker, taken, handled by an empty handler and acknowledged, with a window of 1,000: beside the client alone, in a loop that
//! does the same.
//!
//! `cargo bench -p benches --bench connect --features brokers -- [memory|redis|rabbitmq|kafka]... [ROUNDS]`. Starts the brokers on loopback, and needs what
//! `.ci/servers` installs. Each round is a queue of its own; the time is that from the first message to the last acknowledgement.

#![allow(clippy::expect_used, clippy::type_complexity, reason = "it ends with whatever goes wrong")]

use benches::median;
use brokers::Broker;
use fanpool::FanOut;
use fanpool::connect::{Message, Raw, Sink, Source};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

const WINDOW: usize = 1_000;
const PAYLOAD: [u8; 100] = [b'x'; 100];

/// A way to consume a queue of so many messages; returns how long it took.
type Way = fn(&str, &str, usize) -> Duration;

/// Kafka's topics have so many partitions, since the mock cluster keeps 5 MiB of each.
const PARTITIONS: i32 = 8;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if arguments.first().is_some_and(|first| first == "serve-kafka") {
        return serve_kafka(&arguments[1..]);
    }
    let rounds = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(5);
    let asked = |engine: &str| {
        arguments.iter().all(|one| one.parse::<usize>().is_ok()) || arguments.iter().any(|one| one == engine)
    };
    let ways: [(&str, usize, &[(&str, Way)]); 4] = [
        ("memory", 500_000, &[("fanpool", ours), ("poll and ack alone", memory_alone)]),
        ("redis", 200_000, &[("fanpool", ours), ("redis", redis_alone)]),
        ("rabbitmq", 50_000, &[("fanpool", ours), ("lapin", lapin_alone), ("lapin, each ack awaited", lapin_awaited)]),
        (
            "kafka",
            240_000,
            &[
                ("fanpool", ours),
                ("rdkafka", rdkafka_alone),
                ("rdkafka, a window behind", rdkafka_window),
                ("rdkafka, handed over", rdkafka_handed),
            ],
        ),
    ];
    for (engine, messages, ways) in ways.into_iter().filter(|(engine, ..)| asked(engine)) {
        let queues = (0..=rounds).flat_map(|round| (0..ways.len()).map(move |at| name(round, at)));
        let broker = Running::start(engine, &queues.collect::<Vec<_>>());
        let mut times = vec![Vec::new(); ways.len()];
        for round in 0..=rounds {
            for (at, (_, way)) in ways.iter().enumerate() {
                let queue = name(round, at);
                broker.fill(&queue, messages);
                let took = way(&broker.spec, &queue, messages);
                if round > 0 {
                    times[at].push(took.as_secs_f64() * 1e9 / messages as f64);
                }
            }
        }
        println!("\n{engine}: ns per message, {messages} messages, {rounds} rounds");
        println!("  {:<26}{:>10}{:>10}{:>10}{:>26}", "", "min", "median", "max", "throughput of fanpool to it");
        let medians: Vec<f64> = times.iter_mut().map(|times| median(times)).collect();
        for (((name, _), times), its) in ways.iter().zip(&times).zip(&medians) {
            let (min, max) = (times[0], times[times.len() - 1]);
            println!("  {name:<26}{min:>10.0}{its:>10.0}{max:>10.0}{:>26.2}", its / medians[0]);
        }
    }
}

fn name(round: usize, way: usize) -> String {
    format!("bench-{round}-{way}")
}

/// A broker in a process of its own, but for the one in memory.
struct Running {
    spec: String,
    own: Option<Box<dyn Broker>>,
    _process: Option<Process>,
}

struct Process(std::process::Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    fn start(engine: &str, queues: &[String]) -> Running {
        if engine != "kafka" {
            let own = brokers::start(engine);
            queues.iter().for_each(|queue| own.create(queue));
            return Running { spec: own.spec(), own: Some(own), _process: None };
        }
        let mut process = std::process::Command::new(std::env::current_exe().expect("a program"))
            .arg("serve-kafka")
            .args(queues)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut spec = String::new();
        let output = process.stdout.take().expect("it is piped");
        std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut spec).expect("it says where");
        Running { spec: spec.trim().to_owned(), own: None, _process: Some(Process(process)) }
    }

    fn fill(&self, queue: &str, messages: usize) {
        let mut sink: Box<dyn Sink> = match &self.own {
            Some(own) => own.sink(queue),
            None => Box::new(brokers::kafka::reach(self.spec.trim_start_matches("kafka=")).sink(queue)),
        };
        sink.open().expect("the broker runs");
        let batch: Vec<Message> = (0..1_000).map(|n: u32| Message::new(PAYLOAD).with_key(n.to_string())).collect();
        (0..messages / batch.len()).for_each(|_| sink.publish(&batch).expect("the broker takes them"));
        sink.close().expect("it is closed");
    }
}

/// A mock cluster with these topics, until its input is closed.
fn serve_kafka(topics: &[String]) {
    use brokers::kafka::Cluster;
    let mock = brokers::kafka::Mock::start();
    topics.iter().for_each(|topic| mock.create_with(topic, PARTITIONS));
    println!("{}", mock.spec());
    let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
}

fn ours(spec: &str, queue: &str, messages: usize) -> Duration {
    let (source, _): (Box<dyn Source>, _) = brokers::open(spec, queue);
    let first = Arc::new(OnceLock::new());
    let began = first.clone();
    let handle = move |_: Message| {
        began.get_or_init(Instant::now);
        Ok::<(), String>(())
    };
    let consumer = FanOut::builder(handle)
        .window(WINDOW)
        .workers(1)
        .consume(source, Raw)
        .discard_failed()
        .start()
        .expect("it starts");
    while consumer.counts().acknowledged < messages as u64 {
        std::thread::sleep(Duration::from_millis(1));
    }
    let took = first.get().map_or(Duration::ZERO, Instant::elapsed);
    drop(consumer);
    took
}

/// `XREADGROUP` and one `XACK` for what it brought.
fn redis_alone(spec: &str, queue: &str, messages: usize) -> Duration {
    use redis::streams::StreamReadReply;
    let address = spec.trim_start_matches("redis=");
    let client = redis::Client::open(format!("redis://{address}")).expect("an address");
    let mut connection = client.get_connection().expect("a connection");
    let (mut began, mut done) = (None, 0);
    while done < messages {
        let mut read = redis::cmd("XREADGROUP");
        read.arg("GROUP").arg(brokers::redis::GROUP).arg("alone").arg("COUNT").arg(WINDOW);
        let reply: StreamReadReply = read.arg("STREAMS").arg(queue).arg(">").query(&mut connection).expect("an answer");
        let began = began.get_or_insert_with(Instant::now);
        let _ = began;
        let ids: Vec<String> = reply.keys.into_iter().flat_map(|key| key.ids).map(|entry| entry.id).collect();
        let acked: usize = redis::cmd("XACK")
            .arg(queue)
            .arg(brokers::redis::GROUP)
            .arg(&ids)
            .query(&mut connection)
            .expect("an answer");
        done += acked;
    }
    began.map_or(Duration::ZERO, |began| began.elapsed())
}

fn memory_alone(spec: &str, queue: &str, messages: usize) -> Duration {
    let (mut source, _) = brokers::open(spec, queue);
    let (mut reader, mut settler) = source.open(WINDOW).expect("it opens");
    let began = Instant::now();
    let (mut taken, mut done) = (Vec::new(), 0);
    while done < messages {
        reader.poll(WINDOW, Duration::from_secs(1), &mut taken).expect("it goes on");
        let positions: Vec<_> = taken.drain(..).map(|delivery: fanpool::connect::Delivery| delivery.position).collect();
        done += settler.ack(&positions).expect("it goes on");
    }
    began.elapsed()
}

fn lapin_loop(spec: &str, queue: &str, messages: usize, awaits: bool) -> Duration {
    use async_io::block_on;
    use lapin::message::Delivery;
    use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
    use std::future::Future;
    use std::pin::{Pin, pin};
    let uri = spec.trim_start_matches("rabbitmq=");
    block_on(async {
        let connection = lapin::Connection::connect(uri, lapin::ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        channel.basic_qos(WINDOW as u16, BasicQosOptions::default()).await?;
        let options = BasicConsumeOptions::default();
        let consumer = channel.basic_consume(queue.into(), "alone".into(), options, Default::default()).await?;
        let mut consumer = pin!(consumer);
        let mut began = None;
        let mut acks: Vec<Pin<Box<dyn Future<Output = lapin::Result<bool>>>>> = Vec::new();
        for at in 0..messages {
            let next = std::future::poll_fn(|context| lapin_next(consumer.as_mut(), context)).await;
            let delivery: Delivery = next.expect("there are more")?;
            began.get_or_insert_with(Instant::now);
            if awaits {
                delivery.ack(BasicAckOptions::default()).await?;
            } else {
                let ack = async move { delivery.ack(BasicAckOptions::default()).await };
                acks.push(Box::pin(ack));
                // Awaited together, a quarter of the window at a time.
                if acks.len() == WINDOW / 4 || at + 1 == messages {
                    std::future::poll_fn(|context| {
                        acks.retain_mut(|ack| ack.as_mut().poll(context).is_pending());
                        if acks.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
                    })
                    .await;
                }
            }
        }
        // What was acknowledged is known once this is answered.
        channel.basic_qos(WINDOW as u16, BasicQosOptions::default()).await?;
        let took = began.map_or(Duration::ZERO, |began| began.elapsed());
        connection.close(200, "OK".into()).await?;
        Ok::<_, lapin::Error>(took)
    })
    .expect("the broker goes on")
}

fn lapin_next(
    consumer: std::pin::Pin<&mut lapin::Consumer>,
    context: &mut std::task::Context<'_>,
) -> std::task::Poll<Option<lapin::Result<lapin::message::Delivery>>> {
    futures_lite::Stream::poll_next(consumer, context)
}

/// Acknowledgements awaited by the hundred.
fn lapin_alone(spec: &str, queue: &str, messages: usize) -> Duration {
    lapin_loop(spec, queue, messages, false)
}

fn lapin_awaited(spec: &str, queue: &str, messages: usize) -> Duration {
    lapin_loop(spec, queue, messages, true)
}

/// Polls, and commits what was taken every 100 ms and at the end.
fn rdkafka_alone(spec: &str, queue: &str, messages: usize) -> Duration {
    rdkafka_loop(spec, queue, messages, |last, _| last.elapsed() > Duration::from_millis(100), |_| {})
}

/// Each message is taken out of the client's buffer, with its headers, and goes to another thread.
fn rdkafka_handed(spec: &str, queue: &str, messages: usize) -> Duration {
    let (sender, receiver) = crossbeam_channel::bounded(WINDOW);
    std::thread::scope(|scope| {
        scope.spawn(move || receiver.into_iter().for_each(drop::<rdkafka::message::OwnedMessage>));
        let due = |last: Instant, _| last.elapsed() > Duration::from_millis(100);
        rdkafka_loop(spec, queue, messages, due, move |message| sender.send(message.detach()).expect("it is received"))
    })
}

/// Polls, and commits so often that no more than a window is behind.
fn rdkafka_window(spec: &str, queue: &str, messages: usize) -> Duration {
    rdkafka_loop(spec, queue, messages, |_, since| since >= WINDOW / 4, |_| {})
}

fn rdkafka_loop(
    spec: &str,
    queue: &str,
    messages: usize,
    due: fn(Instant, usize) -> bool,
    handle: impl Fn(&rdkafka::message::BorrowedMessage<'_>),
) -> Duration {
    use rdkafka::ClientConfig;
    use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", spec.trim_start_matches("kafka="))
        .set("group.id", brokers::kafka::group(queue))
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "earliest")
        .create()
        .expect("a client");
    consumer.subscribe(&[queue]).expect("a topic");
    let (mut began, mut committed, mut since) = (None, Instant::now(), 0);
    for _ in 0..messages {
        let message = loop {
            if let Some(message) = consumer.poll(Duration::from_secs(1)) {
                break message.expect("the broker goes on");
            }
        };
        began.get_or_insert_with(Instant::now);
        handle(&message);
        consumer.store_offset_from_message(&message).expect("it is assigned");
        since += 1;
        if due(committed, since) {
            consumer.commit_consumer_state(CommitMode::Async).expect("it is assigned");
            (committed, since) = (Instant::now(), 0);
        }
    }
    if since > 0 {
        consumer.commit_consumer_state(CommitMode::Sync).expect("it is assigned");
    }
    began.map_or(Duration::ZERO, |began| began.elapsed())
}
