//! Where the servers are, and how they are spoken to.

use super::ENGINE;
use super::sink::RedisSink;
use super::source::RedisSource;
use crate::connect::ConnectError;
use crate::error::BuildError;
use ::redis::io::tcp::TcpSettings;
use ::redis::{Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo};
use std::fmt;
use std::net::Ipv6Addr;
use std::time::Duration;

const PORT: u16 = 6379;
const HOUR: Duration = Duration::from_secs(3600);

/// A Redis server, version 6.2 or later, or one that speaks as it does: Valkey, for instance. Nothing is connected by this: it is what
/// sources and sinks know of it. Options are checked when one of them is opened.
///
/// # Messages
///
/// What travels is an entry of a stream. Its field `payload` is the payload, `key` the key; each other field is a
/// header of that name. A field whose name begins with `header:` is a header whose name is what follows: so are
/// those headers written whose name is one of these three. An entry without `payload` has an empty one. So `XADD
/// orders * payload 17` is a message, and so is any entry of any client. Names that are not UTF-8 are read with
/// U+FFFD in place of what is wrong in them; values are bytes.
///
/// A [`Position`](crate::connect::Position) is the entry's id: `offset` its milliseconds, `part` the number behind
/// them; `partition` is 0, and `session` another one for each opening of the source, and when it has found the group gone.
/// [`Delivery::attempt`](crate::connect::Delivery::attempt) is the server's count of deliveries.
///
/// # Durability
///
/// A stream is kept by as many copies and as safely as the server is told to: an entry that was confirmed, or an
/// acknowledgement, can be lost with the server's last moments unless it has `appendonly yes` and `appendfsync
/// always`; with `everysec`, the default of the append-only file, what is lost is the last second; and with a
/// replica that takes over, what had not reached it.
///
/// # Permissions
///
/// The user of the server needs these commands: a source XREADGROUP, XACK, XCLAIM, XPENDING, XINFO, with `create`
/// XGROUP, with `delete_acknowledged` XDEL; a sink XADD. If it may EVAL and XGROUP a source removes its consumer
/// from the group when it leaves; if a sink may TYPE and CONFIG it finds out before it sends that the key is not a
/// stream, or a message too large.
///
/// # Examples
///
/// ```no_run
/// use fanpool::connect::{Redis, Sink, Message};
/// use std::time::Duration;
///
/// let redis = Redis::new(["redis-0.example:6379", "redis-1.example:6379"])
///     .password("secret")
///     .response_timeout(Duration::from_secs(5));
/// let mut sink = redis.sink("orders");
/// sink.open()?;
/// sink.publish(&[Message::new("17")])?;
/// # Ok::<(), fanpool::connect::ConnectError>(())
/// ```
#[derive(Clone)]
pub struct Redis {
    addresses: Vec<String>,
    user: Option<String>,
    password: Option<String>,
    database: Option<u16>,
    tls: bool,
    authority: Option<Vec<u8>>,
    identity: Option<(Vec<u8>, Vec<u8>)>,
    connect_timeout: Duration,
    response_timeout: Duration,
}

/// One server to try.
pub(super) struct Target {
    /// Host and port, for errors.
    pub(super) name: String,
    pub(super) client: Client,
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    pub(super) database: i64,
}

impl Redis {
    /// The servers at these addresses, which are tried in turn; one that works is kept to while it does. They are to be one and the same
    /// data: a server and its replicas, of which only one can be written to at a time. Names are resolved anew each time.
    ///
    /// An address is `host`, `host:port` or `[v6]:port`; the port is 6379 unless given. Or it is a URL as the client reads it:
    /// `redis://[[user]:password@]host[:port][/database]`; with `rediss` for TLS; `unix:///path` for a socket on this machine.
    ///
    /// # Examples
    ///
    /// ```
    /// let redis = fanpool::connect::Redis::new(["localhost", "redis://:secret@[::1]:6380/2"]);
    /// assert!(!format!("{redis:?}").contains("secret"));
    /// ```
    #[must_use]
    pub fn new(addresses: impl IntoIterator<Item = impl Into<String>>) -> Redis {
        Redis {
            addresses: addresses.into_iter().map(Into::into).collect(),
            user: None,
            password: None,
            database: None,
            tls: false,
            authority: None,
            identity: None,
            connect_timeout: Duration::from_secs(5),
            response_timeout: Duration::from_secs(10),
        }
    }

    /// The user of the server's access lists. It goes before one in an address, and needs a password.
    ///
    /// # Default
    ///
    /// The server's default user.
    ///
    /// # Examples
    ///
    /// ```
    /// let redis = fanpool::connect::Redis::new(["localhost"]).user("worker").password("secret");
    /// assert!(!format!("{redis:?}").contains("worker"));
    /// ```
    #[must_use]
    pub fn user(mut self, user: impl Into<String>) -> Redis {
        self.user = Some(user.into());
        self
    }

    /// The password. It goes before one in an address.
    ///
    /// # Default
    ///
    /// None; then a server that wants one refuses.
    ///
    /// # Examples
    ///
    /// See [`user`](Redis::user).
    #[must_use]
    pub fn password(mut self, password: impl Into<String>) -> Redis {
        self.password = Some(password.into());
        self
    }

    /// The number of the database. It goes before one in an address.
    ///
    /// # Default
    ///
    /// 0.
    ///
    /// # Examples
    ///
    /// ```
    /// let redis = fanpool::connect::Redis::new(["localhost"]).database(2);
    /// ```
    #[must_use]
    pub fn database(mut self, database: u16) -> Redis {
        self.database = Some(database);
        self
    }

    /// Speaks TLS to the addresses that are not URLs. The server's certificate must be valid for the name in its address.
    ///
    /// # Default
    ///
    /// No TLS.
    ///
    /// # Examples
    ///
    /// ```
    /// let redis = fanpool::connect::Redis::new(["redis.example:6379"]).tls();
    /// ```
    #[cfg(feature = "redis-tls")]
    #[must_use]
    pub fn tls(mut self) -> Redis {
        self.tls = true;
        self
    }

    /// Who signs the server's certificate: certificates in PEM, instead of those that browsers trust.
    ///
    /// # Default
    ///
    /// The authorities of the crate `webpki-roots`.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// let redis = fanpool::connect::Redis::new(["redis.example"]).tls().authority(std::fs::read("ca.pem")?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[cfg(feature = "redis-tls")]
    #[must_use]
    pub fn authority(mut self, pem: impl Into<Vec<u8>>) -> Redis {
        self.authority = Some(pem.into());
        self
    }

    /// The client's certificate and its key, in PEM, for a server that asks for one.
    ///
    /// # Default
    ///
    /// None.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// let redis = fanpool::connect::Redis::new(["redis.example"])
    ///     .tls()
    ///     .identity(std::fs::read("client.pem")?, std::fs::read("client.key")?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[cfg(feature = "redis-tls")]
    #[must_use]
    pub fn identity(mut self, certificate: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Redis {
        self.identity = Some((certificate.into(), key.into()));
        self
    }

    /// How long connecting may take, to each of the numbers that a name stands for; more than 0 and at most an hour. Resolving the name is
    /// not in it: that takes as long as the system lets it.
    ///
    /// # Default
    ///
    /// 5 seconds.
    ///
    /// # Examples
    ///
    /// ```
    /// use fanpool::connect::{ConnectError, Redis, Sink};
    /// use std::time::Duration;
    ///
    /// let mut sink = Redis::new(["localhost"]).connect_timeout(Duration::ZERO).sink("sums");
    /// let error = sink.open().unwrap_err();
    /// assert!(matches!(error, ConnectError::Build(_)));
    /// assert_eq!(error.to_string(), "connect_timeout is 0; allowed is more than 0 and at most 3600 seconds");
    /// ```
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Redis {
        self.connect_timeout = timeout;
        self
    }

    /// How long the server may be silent when it owes an answer, before it counts as lost; more than 0 and at most an hour. What it was
    /// asked to wait is added.
    ///
    /// # Default
    ///
    /// 10 seconds.
    ///
    /// # Examples
    ///
    /// See [`Redis`].
    #[must_use]
    pub fn response_timeout(mut self, timeout: Duration) -> Redis {
        self.response_timeout = timeout;
        self
    }

    /// A source of the entries of a stream, as a consumer of that group.
    ///
    /// # Examples
    ///
    /// See [`RedisSource`].
    #[must_use]
    pub fn source(&self, stream: impl Into<String>, group: impl Into<String>) -> RedisSource {
        RedisSource::new(self.clone(), stream.into(), group.into())
    }

    /// A sink that appends to a stream.
    ///
    /// # Examples
    ///
    /// See [`RedisSink`].
    #[must_use]
    pub fn sink(&self, stream: impl Into<String>) -> RedisSink {
        RedisSink::new(self.clone(), stream.into())
    }

    pub(super) fn timeouts(&self) -> (Duration, Duration) {
        (self.connect_timeout, self.response_timeout)
    }

    /// Checks all options, and reads the addresses.
    pub(super) fn targets(&self) -> Result<Vec<Target>, ConnectError> {
        check("connect_timeout", self.connect_timeout, Duration::from_nanos(1))?;
        check("response_timeout", self.response_timeout, Duration::from_nanos(1))?;
        if self.addresses.is_empty() {
            return Err(BuildError::Missing { option: "address" }.into());
        }
        if self.user.is_some() && self.password.is_none() {
            return Err(BuildError::Missing { option: "password" }.into());
        }
        if !self.tls
            && (self.authority.is_some() || self.identity.is_some())
            && !self.addresses.iter().any(|a| is_tls(a))
        {
            return Err(BuildError::Missing { option: "tls" }.into());
        }
        (0..self.addresses.len()).map(|index| self.target(index)).collect()
    }

    fn target(&self, index: usize) -> Result<Target, ConnectError> {
        let address = &self.addresses[index];
        // What is wrong is not said in the client's words: those might repeat the address, and that may hold a password.
        let refused = |advice: &str| ConnectError::Refused {
            engine: ENGINE,
            what: format!("address {index} cannot be read"),
            advice: advice.into(),
        };
        if is_tls(address) && !cfg!(feature = "redis-tls") {
            return Err(refused("rediss:// needs the feature `redis-tls`"));
        }
        let given = if address.contains("://") {
            let advice =
                "write redis://[[user]:password@]host[:port][/database], with %xx for what has a meaning in a URL";
            address.as_str().into_connection_info().map_err(|_| refused(advice))?
        } else {
            let advice = "write host, host:port or [v6]:port";
            let (host, port) = host_and_port(address).ok_or_else(|| refused(advice))?;
            let to = match self.tls {
                true => ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None },
                false => ConnectionAddr::Tcp(host, port),
            };
            to.into_connection_info().map_err(|_| refused(advice))?
        };
        let settings = given.redis_settings();
        let own = |text: Option<&str>| text.map(str::to_owned);
        Ok(Target {
            name: given.addr().to_string(),
            user: self.user.clone().or_else(|| own(settings.username())),
            password: self.password.clone().or_else(|| own(settings.password())),
            database: self.database.map_or(settings.db(), i64::from),
            client: self.client(&given).map_err(|_| refused("the certificates or the key are not PEM"))?,
        })
    }

    /// Without credentials: what the client makes of a refusal says too little.
    fn client(&self, given: &ConnectionInfo) -> ::redis::RedisResult<Client> {
        let quiet = ::redis::RedisConnectionInfo::default().set_skip_set_lib_name();
        let info = given.addr().clone().into_connection_info()?.set_redis_settings(quiet);
        let info = info.set_tcp_settings(TcpSettings::default().set_nodelay(true));
        #[cfg(feature = "redis-tls")]
        if matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
            provide();
            let client_tls = self.identity.clone();
            let client_tls =
                client_tls.map(|(client_cert, client_key)| ::redis::ClientTlsConfig { client_cert, client_key });
            let certificates = ::redis::TlsCertificates { client_tls, root_cert: self.authority.clone() };
            return Client::build_with_tls(info, certificates);
        }
        Client::open(info)
    }
}

/// The TLS library takes its cryptography from a process-wide place, and panics if nobody put any there that it could choose.
#[cfg(feature = "redis-tls")]
fn provide() {
    use rustls::crypto::{CryptoProvider, aws_lc_rs};
    if CryptoProvider::get_default().is_none() {
        // If another thread was quicker, its one is used.
        let _ = aws_lc_rs::default_provider().install_default();
    }
}

fn is_tls(address: &str) -> bool {
    address.starts_with("rediss://") || address.starts_with("valkeys://")
}

fn host_and_port(address: &str) -> Option<(String, u16)> {
    if address.parse::<Ipv6Addr>().is_ok() {
        return Some((address.into(), PORT));
    }
    let (host, port) = match address.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            host.parse::<Ipv6Addr>().ok()?;
            (host, if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) })
        }
        None => match address.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (address, None),
        },
    };
    let wrong = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | '@');
    if host.is_empty() || host.contains(wrong) {
        return None;
    }
    // `parse` takes a sign, too.
    if port.is_some_and(|port| port.starts_with('+')) {
        return None;
    }
    let port = port.map_or(Ok(PORT), str::parse).ok().filter(|port| *port != 0)?;
    Some((host.into(), port))
}

pub(super) fn check(option: &'static str, time: Duration, least: Duration) -> Result<(), BuildError> {
    if (least..=HOUR).contains(&time) {
        return Ok(());
    }
    let allowed = match least.as_millis() {
        0 => "more than 0 and at most 3600 seconds",
        _ => "0.001 to 3600 seconds",
    };
    Err(BuildError::NotInRange { option, value: time.as_secs_f64(), allowed })
}

/// Hosts and ports; no credentials.
impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts: Vec<_> = (0..self.addresses.len())
            .map(|index| self.target(index).map_or_else(|_| "not readable".to_owned(), |target| target.name))
            .collect();
        f.debug_struct("Redis")
            .field("addresses", &hosts)
            .field("tls", &self.tls)
            .field("connect_timeout", &self.connect_timeout)
            .field("response_timeout", &self.response_timeout)
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, not(fanpool_loom)))]
mod tests {
    use super::{Redis, host_and_port};

    #[test]
    fn addresses_are_read() {
        let good = [
            ("a", "a", 6379),
            ("a.b:1", "a.b", 1),
            ("::1", "::1", 6379),
            ("[::1]:7", "::1", 7),
            ("[::1]", "::1", 6379),
            ("10.0.0.1:65535", "10.0.0.1", 65535),
        ];
        for (address, host, port) in good {
            assert_eq!(host_and_port(address), Some((host.to_owned(), port)), "{address}");
        }
        for address in
            ["", ":1", "a:", "a:0", "a:+1", "a:65536", "a:x", "[::1", "[::1]1", "[a]:1", "user:secret@a:1", "a b"]
        {
            assert_eq!(host_and_port(address), None, "{address}");
        }
    }

    #[test]
    fn i6_secrets_are_in_neither_debug_nor_errors() {
        let given = ["redis://zoe:s3cret@h:1/2", "redis://zoe:s3cret@h:1/x", "zoe:s3cret@h:1", "redis://zoe:s3cret@:x"];
        let redis = Redis::new(given).user("zoe").password("s3cret");
        let mut texts =
            vec![format!("{redis:?}"), format!("{:?}", redis.sink("a")), format!("{:?}", redis.source("a", "b"))];
        for index in 1..given.len() {
            let error = redis.target(index).err().unwrap();
            texts.extend([error.to_string(), format!("{error:?}")]);
        }
        assert!(texts[0].contains("h:1"), "{}", texts[0]);
        for text in texts {
            assert!(!text.contains("s3cret") && !text.contains("zoe"), "{text}");
        }
    }
}
