//! librdkafka's mock cluster: brokers in this process, on loopback ports of their own choice.

use super::Cluster;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use std::sync::mpsc;
use std::thread::JoinHandle;

type Inner = MockCluster<'static, DefaultProducerContext>;
type Call = Box<dyn FnOnce(&Inner) + Send>;

/// One broker. It keeps 5 MiB a partition; what was acknowledged survives [`down`](Mock::down), not the process.
#[derive(Debug)]
pub struct Mock {
    calls: Option<mpsc::Sender<Call>>,
    thread: Option<JoinHandle<()>>,
    servers: String,
}

impl Mock {
    /// Starts it.
    pub fn start() -> Mock {
        let (calls, todo) = mpsc::channel::<Call>();
        // The cluster's handle may not be sent to another thread, so one has it.
        let thread = std::thread::spawn(move || {
            let cluster = MockCluster::new(1).expect("a mock cluster");
            todo.into_iter().for_each(|call| call(&cluster));
        });
        let mut mock = Mock { calls: Some(calls), thread: Some(thread), servers: String::new() };
        mock.servers = mock.ask(|cluster| cluster.bootstrap_servers());
        mock
    }

    /// Calls the cluster.
    pub fn ask<R: Send + 'static>(&self, call: impl FnOnce(&Inner) -> R + Send + 'static) -> R {
        let (answer, wanted) = mpsc::channel();
        let call: Call = Box::new(move |cluster| {
            let _ = answer.send(call(cluster));
        });
        self.calls.as_ref().expect("it runs").send(call).expect("it runs");
        wanted.recv().expect("it answers")
    }

    /// Ends all connections and takes no new ones, or takes them again.
    pub fn down(&self, down: bool) {
        self.ask(move |cluster| if down { cluster.broker_down(-1) } else { cluster.broker_up(-1) })
            .expect("it is there");
    }
}

impl Cluster for Mock {
    fn servers(&self) -> String {
        self.servers.clone()
    }

    fn create_with(&self, topic: &str, partitions: i32) {
        let topic = topic.to_owned();
        self.ask(move |cluster| cluster.create_topic(&topic, partitions, 1)).expect("a topic");
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        drop(self.calls.take());
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
