//! The broker that was chosen.

use crate::options::{Kind, Options};
use fanpool::connect::{Memory, Sink, Source};
#[cfg(feature = "redis")]
use std::time::Duration;

pub(crate) struct Engine {
    kind: Kind,
    memory: Memory,
    #[cfg_attr(not(any(feature = "redis", feature = "rabbitmq", feature = "kafka")), allow(dead_code))]
    addresses: Vec<String>,
    job: String,
}

impl Engine {
    pub(crate) fn new(options: &Options) -> Result<Engine, String> {
        let missing = match options.kind {
            Kind::Redis if !cfg!(feature = "redis") => Some("redis"),
            Kind::RabbitMq if !cfg!(feature = "rabbitmq") => Some("rabbitmq"),
            Kind::Kafka if !cfg!(feature = "kafka") => Some("kafka"),
            _ => None,
        };
        if let Some(feature) = missing {
            return Err(format!("built without {feature}: build it with --features {feature}"));
        }
        let (kind, addresses, job) = (options.kind, options.addresses.clone(), options.job.clone());
        Ok(Engine { kind, memory: Memory::new(), addresses, job })
    }

    fn queue(&self, name: &str) -> String {
        format!("{}-{name}", self.job)
    }

    #[cfg(feature = "redis")]
    fn redis(&self) -> fanpool::connect::Redis {
        fanpool::connect::Redis::new(self.addresses.clone())
    }

    #[cfg(feature = "rabbitmq")]
    fn rabbitmq(&self) -> fanpool::connect::RabbitMq {
        let mut addresses = self.addresses.iter();
        let first = addresses.next().map_or("", String::as_str);
        addresses.fold(fanpool::connect::RabbitMq::new(first), fanpool::connect::RabbitMq::address)
    }

    #[cfg(feature = "kafka")]
    fn kafka(&self) -> fanpool::connect::Kafka {
        fanpool::connect::Kafka::new(self.addresses.clone()).set("session.timeout.ms", "6000")
    }

    pub(crate) fn source(&self, name: &str) -> Result<Box<dyn Source>, String> {
        let queue = self.queue(name);
        match self.kind {
            Kind::Memory => Ok(Box::new(self.memory.source(queue))),
            #[cfg(feature = "redis")]
            // A block takes far less than two seconds.
            Kind::Redis => {
                let source = self.redis().source(queue, &self.job).create(true);
                Ok(Box::new(source.claim_after(Duration::from_secs(2))))
            }
            #[cfg(feature = "rabbitmq")]
            Kind::RabbitMq => Ok(Box::new(self.rabbitmq().source(queue))),
            #[cfg(feature = "kafka")]
            Kind::Kafka => Ok(Box::new(self.kafka().source([queue], &self.job))),
            #[allow(unreachable_patterns)]
            _ => Err("built without that engine".into()),
        }
    }

    pub(crate) fn sink(&self, name: &str) -> Result<Box<dyn Sink>, String> {
        let queue = self.queue(name);
        match self.kind {
            Kind::Memory => Ok(Box::new(self.memory.sink(queue))),
            #[cfg(feature = "redis")]
            Kind::Redis => Ok(Box::new(self.redis().sink(queue))),
            #[cfg(feature = "rabbitmq")]
            Kind::RabbitMq => Ok(Box::new(self.rabbitmq().sink_to_queue(queue))),
            #[cfg(feature = "kafka")]
            Kind::Kafka => Ok(Box::new(self.kafka().sink(queue))),
            #[allow(unreachable_patterns)]
            _ => Err("built without that engine".into()),
        }
    }
}
