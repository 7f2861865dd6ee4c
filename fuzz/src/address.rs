//! Addresses of brokers, which may hold passwords.

use crate::input::Input;
use fanpool::connect::fuzzing;
use fanpool::connect::{RabbitMq, Redis};

/// As it is written in a URL.
fn encoded(text: &str) -> String {
    let byte =
        |byte: u8| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02x}") };
    text.bytes().map(byte).collect()
}

/// What no text of ours holds by chance.
fn secret(input: &mut Input<'_>) -> String {
    format!("hunter2{}", input.text())
}

fn shows(text: &str, secret: &str) -> bool {
    text.contains(secret) || text.contains(&encoded(secret)) || text.contains("hunter2")
}

fn name(input: &mut Input<'_>) -> String {
    let text = input.text();
    let name: String = text.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-')).collect();
    format!("h{name}")
}

pub(crate) fn redis(data: &[u8]) {
    // Whatever it is: read or refused, by a number and not by its text.
    let text = String::from_utf8_lossy(data);
    let any = Redis::new([text.as_ref()]);
    let debug = format!("{any:?}");
    match fuzzing::redis::address(&any) {
        Ok(read) => {
            assert!(read.len() == 1 && debug.contains(&format!("{:?}", read[0].0)), "{debug}");
            let (host, port) = read[0].0.rsplit_once(':').unwrap_or((&read[0].0, "1"));
            assert!(text.contains("://") || !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0));
            if !text.contains("://") {
                // Written as it is shown, or with the port that it has, it is the same.
                let again = fuzzing::redis::address(&Redis::new([bracketed(host, port)])).unwrap();
                assert_eq!(again, read);
            }
        }
        Err(error) => {
            let told = error.to_string();
            assert!(debug.contains("not readable") && told.contains("address 0 cannot be read"), "{told}");
        }
    }

    let mut input = Input::new(data);
    let (password, host) = (secret(&mut input), name(&mut input));
    let user = input.flag().then(|| format!("u{}", input.text()));
    let (port, database) = (1 + u16::from(input.byte()), u16::from(input.byte()));
    let name = user.as_deref().map(encoded).unwrap_or_default();
    let url = format!("redis://{name}:{}@{host}:{port}/{database}", encoded(&password));
    let redis = Redis::new([url.clone()]);
    let read = fuzzing::redis::address(&redis).unwrap();
    let place = format!("{}:{port}", host.to_ascii_lowercase());
    let shown = (read[0].0.to_ascii_lowercase(), read[0].1.clone(), read[0].2.clone(), read[0].3);
    assert_eq!(shown, (place, user, Some(password.clone()), i64::from(database)));
    // Spoilt somewhere.
    let mut spoilt = url.clone();
    let at = (0..=spoilt.len()).rev().find(|at| *at <= usize::from(input.byte()) && spoilt.is_char_boundary(*at));
    spoilt.insert_str(at.unwrap_or(0), &input.text());
    let spoilt = Redis::new([spoilt]);
    for redis in [redis, spoilt] {
        let sink = redis.sink("a");
        for text in [format!("{redis:?}"), format!("{sink:?}")] {
            assert!(!text.contains(&password) || fuzzing::redis::address(&redis).is_ok(), "{text}");
        }
        if let Err(error) = fuzzing::redis::address(&redis) {
            assert!(!shows(&error.to_string(), &password), "{error}");
        }
    }
}

fn bracketed(host: &str, port: &str) -> String {
    if host.contains(':') && !host.starts_with('[') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

pub(crate) fn amqp(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match fuzzing::rabbitmq::address(&text) {
        Ok(read) => {
            assert!(!read.host.is_empty() && read.vhost.as_deref() != Some(""));
            let debug = format!("{:?}", RabbitMq::new(&text));
            assert!(debug.contains(&format!("{:?}", read.place)), "{debug}");
            again(&read);
        }
        // Nothing of what was given is in it: it is one of a few texts.
        Err(wrong) => assert!(wrong.starts_with("it"), "{wrong}"),
    }

    let mut input = Input::new(data);
    let (password, host) = (secret(&mut input), input.text());
    let host = if host.is_empty() { "::1".to_owned() } else { host };
    let credentials = input.flag().then(|| (input.text(), password.clone()));
    let (tls, vhost) = (input.flag(), input.text());
    let port = [0, 1, 5672, u16::MAX][input.below(4)];
    let vhost = (!vhost.is_empty()).then_some(vhost);
    let address = fuzzing::rabbitmq::Address { tls, host, port, credentials, vhost, place: String::new() };
    again(&address);
    let debug = format!("{:?}", RabbitMq::new(written(&address)));
    assert!(
        !shows(&debug, &password) || address.host.contains("hunter2") || address.host.contains(&password),
        "{debug}"
    );
}

fn written(address: &fuzzing::rabbitmq::Address) -> String {
    let scheme = if address.tls { "amqps" } else { "amqp" };
    let credentials = address.credentials.as_ref();
    let credentials =
        credentials.map_or(String::new(), |(user, password)| format!("{}:{}@", encoded(user), encoded(password)));
    let vhost = address.vhost.as_ref().map_or(String::new(), |vhost| format!("/{}", encoded(vhost)));
    format!("{scheme}://{credentials}{}:{}{vhost}", encoded(&address.host), address.port)
}

/// An address that is written out is read as it was.
fn again(address: &fuzzing::rabbitmq::Address) {
    let read = fuzzing::rabbitmq::address(&written(address)).unwrap();
    assert_eq!(
        fuzzing::rabbitmq::Address { place: String::new(), ..read },
        fuzzing::rabbitmq::Address { place: String::new(), ..address.clone() }
    );
}
