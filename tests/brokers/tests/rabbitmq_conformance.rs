//! The engine for RabbitMQ, held to what every engine is.
#![cfg(feature = "rabbitmq")]

brokers::conformance!(brokers::rabbitmq::queues());
