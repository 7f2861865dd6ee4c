//! Addresses of brokers.

/// Where a broker is, and who is to be there.
#[derive(Clone)]
pub(super) struct Address {
    pub(super) tls: bool,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) credentials: Option<Credentials>,
    pub(super) vhost: Option<String>,
}

#[derive(Clone)]
pub(super) struct Credentials {
    pub(super) user: String,
    pub(super) password: String,
}

impl Address {
    /// Reads `amqp://user:password@host:port/vhost`; all but the host may be missing. What is wrong is told without what was given: there
    /// may be a password in it.
    pub(super) fn parse(text: &str) -> Result<Address, &'static str> {
        let (tls, rest) = match text.split_once("://") {
            None => (false, text),
            Some(("amqp", rest)) => (false, rest),
            Some(("amqps", rest)) => (true, rest),
            Some(_) => return Err("its scheme is neither amqp nor amqps"),
        };
        if rest.contains(['?', '#']) {
            return Err("it has parameters, which are set by methods here");
        }
        let (authority, vhost) = match rest.split_once('/') {
            Some((authority, vhost)) => (authority, Some(decode(vhost)?)),
            None => (rest, None),
        };
        let (credentials, place) = match authority.rsplit_once('@') {
            Some((credentials, place)) => {
                let (user, password) = credentials.split_once(':').ok_or("it has a user without a password")?;
                (Some(Credentials { user: decode(user)?, password: decode(password)? }), place)
            }
            None => (None, authority),
        };
        if rest.split_once('/').is_some_and(|(_, vhost)| vhost.contains('@')) {
            return Err(
                "it has an @ behind a slash: write a slash in a password as %2F, and an @ in a virtual host as %40",
            );
        }
        let (host, port) = match place.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or("its host has no closing bracket")?;
                (host, port.strip_prefix(':').or(port.is_empty().then_some("")).ok_or("its port is not a number")?)
            }
            None => place.split_once(':').unwrap_or((place, "")),
        };
        if host.is_empty() {
            return Err("it has no host");
        }
        let port = match port {
            "" if tls => 5671,
            "" => 5672,
            // `parse` takes a sign, too.
            port if port.starts_with('+') => return Err("its port is not a number up to 65535"),
            port => port.parse().map_err(|_| "its port is not a number up to 65535")?,
        };
        Ok(Address { tls, host: decode(host)?, port, credentials, vhost: vhost.filter(|vhost| !vhost.is_empty()) })
    }

    /// Host and port.
    pub(super) fn place(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

fn decode(text: &str) -> Result<String, &'static str> {
    const BAD: &str = "it has a percent sign that no two hexadecimal digits follow";
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16)).ok_or(BAD);
        let (high, low) = (digit()?, digit()?);
        bytes.push((high * 16 + low) as u8);
    }
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8")
}

#[cfg(all(test, not(fanpool_loom)))]
#[allow(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;

    fn all(text: &str) -> (bool, String, Option<(String, String)>, Option<String>) {
        let address = Address::parse(text).unwrap();
        let place = address.place();
        (address.tls, place, address.credentials.map(|it| (it.user, it.password)), address.vhost)
    }

    #[test]
    fn addresses_are_read() {
        let pair = |user: &str, password: &str| Some((user.to_owned(), password.to_owned()));
        assert_eq!(all("localhost"), (false, "localhost:5672".into(), None, None));
        assert_eq!(all("amqps://b.example"), (true, "b.example:5671".into(), None, None));
        assert_eq!(all("amqp://[::1]:99"), (false, "[::1]:99".into(), None, None));
        assert_eq!(all("amqp://[::1]/"), (false, "[::1]:5672".into(), None, None));
        assert_eq!(
            all("amqp://a%40b:p%2Fq@10.0.0.1:1/%2f"),
            (false, "10.0.0.1:1".into(), pair("a@b", "p/q"), Some("/".into()))
        );
        assert_eq!(all("amqp://u:@h/jobs").2, pair("u", ""));
        assert_eq!(all("amqp://u:p@q@h/jobs").2, pair("u", "p@q"));
    }

    #[test]
    fn what_is_wrong_is_said_without_what_was_given() {
        for text in [
            "http://h",
            "amqp://",
            "amqp://secret@h",
            "amqp://u:secret@h:port",
            "amqp://u:secret@h:70000",
            "amqp://u:secret@h:+80",
            "amqp://u:secret@[::1",
            "amqp://u:secret@[::1]x",
            "amqp://u:secret%@h",
            "amqp://u:secret%zz@h",
            "amqp://u:secret%ff@h",
            "amqp://h?heartbeat=secret",
            // The password has a slash: what is behind it is no virtual host, and what is before it no port.
            "amqp://u:123/secret@h",
        ] {
            let wrong = Address::parse(text).err().unwrap();
            assert!(!wrong.contains("secret"), "{wrong}");
        }
    }
}
