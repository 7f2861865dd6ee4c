//! The broker that was chosen.

use crate::options::{Kind, Options};
use fanpool::connect::{Memory, Sink, Source};

pub(crate) struct Engine {
    kind: Kind,
    memory: Memory,
    #[cfg_attr(not(any(feature = "redis", feature = "rabbitmq", feature = "kafka")), allow(dead_code))]
    urls: Vec<String>,
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
        let (kind, urls, job) = (options.kind, options.urls.clone(), options.job.clone());
        Ok(Engine { kind, memory: Memory::new(), urls, job })
    }

    fn queue(&self, name: &str) -> String {
        format!("{}-{name}", self.job)
    }

    pub(crate) fn source(&self, name: &str) -> Result<Box<dyn Source>, String> {
        let queue = self.queue(name);
        match self.kind {
            Kind::Memory => Ok(Box::new(self.memory.source(queue))),
            #[cfg(feature = "redis")]
            Kind::Redis => todo!(),
            #[cfg(feature = "rabbitmq")]
            Kind::RabbitMq => todo!(),
            #[cfg(feature = "kafka")]
            Kind::Kafka => todo!(),
            #[allow(unreachable_patterns)]
            _ => Err("built without that engine".into()),
        }
    }

    pub(crate) fn sink(&self, name: &str) -> Result<Box<dyn Sink>, String> {
        let queue = self.queue(name);
        match self.kind {
            Kind::Memory => Ok(Box::new(self.memory.sink(queue))),
            #[cfg(feature = "redis")]
            Kind::Redis => todo!(),
            #[cfg(feature = "rabbitmq")]
            Kind::RabbitMq => todo!(),
            #[cfg(feature = "kafka")]
            Kind::Kafka => todo!(),
            #[allow(unreachable_patterns)]
            _ => Err("built without that engine".into()),
        }
    }
}
