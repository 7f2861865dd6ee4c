//! Servers of this machine for examples to talk to: what they answer, when and whether, is up to a function for each of them.

use fanpool::{Pool, Workers};
use socket2::{Domain, Socket, Type};
use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Connections that are served at once, of all servers.
const CONNECTIONS: usize = 128;
/// How long a request may take to come, and its longest head.
const REQUEST: Duration = Duration::from_secs(2);
const HEAD: usize = 8 * 1024;
/// How often one who waits for nothing asks whether it is over.
const LOOK: Duration = Duration::from_millis(50);

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reply {
    /// This status, after so long.
    Status(u16, Duration),
    /// No answer until the client hangs up.
    Nothing,
}

impl Reply {
    pub(crate) fn now(status: u16) -> Reply {
        Reply::Status(status, Duration::ZERO)
    }
}

/// Servers, each on a port of its own. They end when this is dropped.
pub(crate) struct Local {
    pool: Option<Arc<Pool>>,
    stopped: Arc<AtomicBool>,
    listening: Vec<(SocketAddr, JoinHandle<()>)>,
    refusing: Vec<Socket>,
}

impl Local {
    pub(crate) fn new() -> Result<Local, String> {
        let pool = Pool::builder().workers(Workers::Fixed(CONNECTIONS)).name("local").build();
        let pool = Some(Arc::new(pool.map_err(|error| error.to_string())?));
        Ok(Local { pool, stopped: Arc::default(), listening: Vec::new(), refusing: Vec::new() })
    }

    /// A server that asks `reply` about each request: its path, and how often that was asked for before.
    pub(crate) fn serve(
        &mut self,
        reply: impl Fn(&str, u32) -> Reply + Send + Sync + 'static,
    ) -> Result<SocketAddr, String> {
        let refused = |error| format!("cannot listen: {error}");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let Some(pool) = self.pool.clone() else { return Err("cannot listen: it has ended".into()) };
        let stopped = self.stopped.clone();
        let asked = Mutex::new(HashMap::<String, u32>::new());
        let server = Arc::new(move |path: &str| {
            let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
            let times = asked.entry(path.into()).or_default();
            let before = *times;
            *times += 1;
            drop(asked);
            reply(path, before)
        });
        let accept = move || {
            while !stopped.load(Ordering::Acquire) {
                match listener.accept() {
                    Ok((stream, _)) => {
                        let (server, stopped) = (server.clone(), stopped.clone());
                        // Refused by nobody: the pool is not closed before this thread has ended.
                        let _ = pool.spawn(move || answer(stream, &*server, &stopped));
                    }
                    // Of files, for instance, there will be more again.
                    Err(_) => thread::sleep(LOOK),
                }
            }
        };
        let thread = thread::Builder::new().name(format!("local-{}", address.port())).spawn(accept);
        self.listening.push((address, thread.map_err(|error| format!("cannot start a thread: {error}"))?));
        Ok(address)
    }

    /// An address where connections are refused: a port that is taken, and where nobody listens.
    pub(crate) fn refuse(&mut self) -> Result<SocketAddr, String> {
        let taken = || {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
            socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
            let address = socket.local_addr()?.as_socket();
            Ok((socket, address.ok_or(ErrorKind::AddrNotAvailable)?))
        };
        let (socket, address) = taken().map_err(|error: std::io::Error| format!("cannot take a port: {error}"))?;
        self.refusing.push(socket);
        Ok(address)
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Release);
        for (address, thread) in self.listening.drain(..) {
            // For `accept`, which waits for nothing else.
            let _ = TcpStream::connect_timeout(&address, Duration::from_secs(1));
            let _ = thread.join();
        }
        self.pool = None;
    }
}

/// Reads a request, answers it and hangs up.
fn answer(mut stream: TcpStream, reply: &dyn Fn(&str) -> Reply, stopped: &AtomicBool) {
    let Some(path) = request(&mut stream, stopped) else { return };
    match reply(&path) {
        Reply::Status(status, delay) => {
            thread::sleep(delay);
            let body = format!("{path}\n");
            let length = body.len();
            let head = format!("HTTP/1.1 {status} -\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
            // A client that has given up does not read it.
            let _ = stream.write_all((head + &body).as_bytes());
            let _ = stream.shutdown(Shutdown::Write);
        }
        Reply::Nothing => while read(&mut stream, &mut Vec::new(), stopped) {},
    }
}

/// The path of a request, once its head is there. None of them has a body.
fn request(stream: &mut TcpStream, stopped: &AtomicBool) -> Option<String> {
    let (mut head, deadline) = (Vec::new(), Instant::now() + REQUEST);
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if head.len() > HEAD || Instant::now() > deadline || !read(stream, &mut head, stopped) {
            return None;
        }
    }
    let line = String::from_utf8(head).ok()?;
    Some(line.split(' ').nth(1)?.to_owned())
}

/// Reads what there is, or waits for a moment; returns whether there may be more.
fn read(stream: &mut TcpStream, into: &mut Vec<u8>, stopped: &AtomicBool) -> bool {
    let mut some = [0; 1024];
    let waits = |kind| matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted);
    if stream.set_read_timeout(Some(LOOK)).is_err() {
        return false;
    }
    match stream.read(&mut some) {
        Ok(read) => {
            into.extend_from_slice(&some[..read]);
            read > 0
        }
        Err(error) => waits(error.kind()) && !stopped.load(Ordering::Acquire),
    }
}
