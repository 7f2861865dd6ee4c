//! The Kafka engine against Tansu, held to what every engine is, but for the three cases in which a leading member may leave while another joins.
#![cfg(feature = "kafka")]

use brokers::kafka::{Cluster, Tansu, group};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

fn cluster() -> &'static Tansu {
    static CLUSTER: OnceLock<Tansu> = OnceLock::new();
    CLUSTER.get_or_init(Tansu::start)
}

brokers::conformance!(cluster());

/// Why three cases are left out ([`Broker::regroups`](brokers::Broker::regroups)): with the bare client, too, nobody gets a partition any more.
/// If this fails, Tansu has been mended, and those cases are due.
#[test]
fn a_group_stands_still_once_its_leader_leaves_while_another_joins() {
    let (cluster, topic) = (Tansu::start(), "left-behind");
    cluster.create_with(topic, 3);
    let join = || {
        let member: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", cluster.servers())
            .set("group.id", group(topic))
            .set("session.timeout.ms", "6000")
            .set("heartbeat.interval.ms", "200")
            .set("partition.assignment.strategy", "cooperative-sticky")
            .create()
            .unwrap();
        member.subscribe(&[topic]).unwrap();
        member
    };
    let has = |member: &BaseConsumer| member.assignment().unwrap().count() > 0;
    let wait = |members: &[&BaseConsumer], time| {
        let start = Instant::now();
        while !members.iter().all(|member| has(member)) && start.elapsed() < time {
            members.iter().for_each(|member| drop(member.poll(Duration::from_millis(20))));
        }
    };
    let stuck = (0..5).any(|_| {
        let (one, two) = (join(), join());
        wait(&[&one, &two], Duration::from_secs(30));
        let three = join();
        wait(&[&three, &one, &two], Duration::from_millis(500));
        drop((one, two));
        wait(&[&three], Duration::from_secs(20));
        !has(&three)
    });
    assert!(stuck, "the group went on five times");
}
