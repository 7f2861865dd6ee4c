//! A connection, and how it is ended for certain.
//!
//! The client has a thread for each connection, which ends when its socket does and not before: one that is only dropped while a broker
//! keeps silent would stay, with its buffers, for ever. So the client is given a socket of which a second handle is kept here. To cut a
//! line is to shut that down, before or after it is connected; that the thread has ended shows when what it owns is dropped.

use super::address::{Address, Credentials};
use super::fault::{Fault, lost, refused, within};
use super::settings::Settings;
use crate::connect::ConnectError;
use crate::sync::{Arc, Mutex};
use async_io::Timer;
use lapin::tcp::{AsyncTcpStream, OwnedTLSConfig};
use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};
use lapin::{Connection, ConnectionProperties};
use std::future::poll_fn;
use std::io;
use std::net::{Shutdown, TcpStream};
use std::task::{Poll, Waker};
use std::time::Duration;

/// For how long a thread of the client is waited for, whose socket is shut down. It needs no answer of anybody.
const ENDING: Duration = Duration::from_secs(5);

#[derive(Default)]
struct Line(Mutex<State>);

#[derive(Default)]
struct State {
    socket: Option<TcpStream>,
    is_cut: bool,
    has_ended: bool,
    /// Who connects.
    dialling: Option<Waker>,
    /// Who waits for the end.
    waiting: Option<Waker>,
}

impl Line {
    fn cut(&self) {
        let mut state = self.0.lock();
        state.is_cut = true;
        if let Some(socket) = state.socket.take() {
            let _ = socket.shutdown(Shutdown::Both);
        }
        let dialling = state.dialling.take();
        drop(state);
        if let Some(waker) = dialling {
            waker.wake();
        }
    }

    /// Notes the socket; fails if it was cut.
    fn connected(&self, socket: io::Result<TcpStream>) -> io::Result<()> {
        let mut state = self.0.lock();
        if state.is_cut {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        state.socket = Some(socket?);
        Ok(())
    }

    async fn is_cut(&self) {
        poll_fn(|cx| {
            let mut state = self.0.lock();
            if state.is_cut {
                return Poll::Ready(());
            }
            state.dialling = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    async fn has_ended(&self) {
        let ended = poll_fn(|cx| {
            let mut state = self.0.lock();
            if state.has_ended {
                return Poll::Ready(());
            }
            state.waiting = Some(cx.waker().clone());
            Poll::Pending
        });
        futures_lite::future::or(ended, async {
            Timer::after(ENDING).await;
        })
        .await;
    }
}

/// Owned by the client's thread.
struct Ending(Arc<Line>);

impl Drop for Ending {
    fn drop(&mut self) {
        let mut state = self.0.0.lock();
        state.has_ended = true;
        state.socket = None;
        let waiting = state.waiting.take();
        drop(state);
        if let Some(waker) = waiting {
            waker.wake();
        }
    }
}

/// Cuts the line when dropped.
struct Cutting(Arc<Line>);

impl Drop for Cutting {
    fn drop(&mut self) {
        self.0.cut();
    }
}

/// A connection that stands. Dropped, it is cut.
pub(super) struct Connected {
    pub(super) connection: Connection,
    /// Where to, and as whom, for errors.
    pub(super) place: String,
    pub(super) user: String,
    cutting: Cutting,
}

impl Connected {
    pub(super) fn error(&self, at: &str, fault: impl Into<Fault>) -> ConnectError {
        fault.into().into_error(&format!("{}: {at}", self.place), &self.user)
    }

    /// Says goodbye, which the broker has so long to answer; then the client's thread has ended.
    pub(super) async fn close(self, time: Duration) {
        if self.connection.status().connected() {
            let _ = within(time, self.connection.close(200, "OK".into())).await;
        }
        self.cut().await;
    }

    /// Shuts it down at once; then the client's thread has ended.
    pub(super) async fn cut(self) {
        let Connected { connection, cutting, .. } = self;
        cutting.0.cut();
        drop(connection);
        cutting.0.has_ended().await;
    }
}

/// Connects to the first address that lets it in. If but one of them may later, trying again may help.
pub(super) async fn connect(settings: &Settings) -> Result<Connected, ConnectError> {
    let mut errors = Vec::new();
    // Those that cannot be read were refused before.
    for address in settings.addresses.iter().flatten() {
        match dial(settings, address).await {
            Ok(connected) => return Ok(connected),
            Err(error) => errors.push(error),
        }
    }
    if errors.len() == 1 || !errors.iter().any(ConnectError::is_transient) {
        return Err(errors.into_iter().next().unwrap_or_else(|| lost("there is no address")));
    }
    let texts = errors.into_iter().map(|error| match error {
        ConnectError::Lost { what, .. } => what,
        ConnectError::Refused { what, advice, .. } => format!("{what}: {advice}"),
        other => other.to_string(),
    });
    Err(lost(texts.collect::<Vec<_>>().join("; ")))
}

async fn dial(settings: &Settings, address: &Address) -> Result<Connected, ConnectError> {
    let place = address.place();
    if address.tls && !cfg!(feature = "rabbitmq-tls") {
        return Err(refused(format!("{place}: there is no TLS in this build"), "enable the feature `rabbitmq-tls`"));
    }
    let guest = || Credentials { user: "guest".into(), password: "guest".into() };
    let credentials = settings.credentials.as_ref().or(address.credentials.as_ref()).cloned().unwrap_or_else(guest);
    let user = credentials.user.clone();
    let vhost = settings.vhost.as_ref().or(address.vhost.as_ref()).cloned().unwrap_or_else(|| "/".into());
    if [&vhost, &user].iter().any(|text| text.len() > 255) {
        return Err(refused("a name has more than 255 bytes", "check the user's and the virtual host's"));
    }
    let uri = AMQPUri {
        scheme: if address.tls { AMQPScheme::AMQPS } else { AMQPScheme::AMQP },
        authority: AMQPAuthority {
            userinfo: AMQPUserInfo { username: credentials.user, password: credentials.password },
            host: address.host.clone(),
            port: address.port,
        },
        vhost,
        query: AMQPQueryString {
            heartbeat: Some(u16::try_from(settings.heartbeat.as_secs()).unwrap_or(u16::MAX)),
            ..AMQPQueryString::default()
        },
    };
    let line = Arc::new(Line::default());
    let cutting = Cutting(line.clone());
    let fault = match within(settings.connect_timeout, open(settings, uri, line.clone())).await {
        Ok(connection) => return Ok(Connected { connection, place, user, cutting }),
        Err(fault) => fault,
    };
    line.cut();
    line.has_ended().await;
    Err(fault.into_error(&format!("{place}: connecting"), &user))
}

async fn open(settings: &Settings, uri: AMQPUri, line: Arc<Line>) -> lapin::Result<Connection> {
    let ending = Ending(line);
    let tls = OwnedTLSConfig { identity: None, cert_chain: settings.certificates.clone() };
    let properties = ConnectionProperties::default().with_connection_name(settings.name.as_str().into());
    let runtime = lapin::runtime::default_runtime()?;
    let own = runtime.clone();
    let dial = async move |uri: AMQPUri, _| {
        let line = &ending.0;
        let host = uri.authority.host.as_str();
        let dialled = async {
            let names = own.to_socket_addrs((host.to_owned(), uri.authority.port));
            let stream = AsyncTcpStream::connect(&own, names).await?;
            line.connected(match &stream {
                AsyncTcpStream::Plain(plain) => plain.get_ref().try_clone(),
                _ => Err(io::ErrorKind::Unsupported.into()),
            })?;
            match uri.scheme {
                AMQPScheme::AMQP => Ok(stream),
                AMQPScheme::AMQPS => stream.into_tls(host, tls.as_ref()).await.map_err(untrusted),
            }
        };
        let cut = async {
            line.is_cut().await;
            Err(io::ErrorKind::ConnectionAborted.into())
        };
        futures_lite::future::or(dialled, cut).await.map_err(lapin::Error::from)
    };
    Connection::connector(uri, runtime, dial, properties).await
}

/// Tells a certificate that is not trusted from a connection that breaks.
fn untrusted(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::Other => {
            io::Error::new(io::ErrorKind::PermissionDenied, format!("TLS: {error}"))
        }
        _ => error,
    }
}
