//! Accepting connections until somebody says stop, without losing one that has been made.

#[cfg(target_os = "linux")]
use socket2::SockFilter;
use socket2::SockRef;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

/// When no connection has come for so long, none is being made: more than it takes until a lost segment is sent again.
const QUIET: Duration = Duration::from_millis(300);

/// Accepts connections until `stopped`, and then those that have been made by then.
pub(crate) fn accept(
    listener: TcpListener,
    stopped: impl Fn() -> bool,
    admit: impl Fn(TcpStream),
    complain: impl Fn(io::Error),
) {
    while !stopped() {
        match listener.accept() {
            Ok((stream, _)) => admit(stream),
            Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted) => {}
            Err(error) => {
                complain(error);
                // Of files, for instance, there will be more again.
                thread::sleep(Duration::from_millis(100));
            }
        }
    }
    // A listener that is closed resets whatever was made and not accepted: even a connection that came after a look that found none.
    let quiet = SockRef::from(&listener).set_read_timeout(Some(QUIET)).is_ok();
    let deadline = (!shut(&listener)).then(|| Instant::now() + QUIET);
    while quiet && deadline.is_none_or(|deadline| Instant::now() < deadline) {
        match listener.accept() {
            Ok((stream, _)) => admit(stream),
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
            Err(_) => break,
        }
    }
}

/// For [`accept`], which waits for nothing else than connections. If this fails there are others to be accepted.
pub(crate) fn wake(address: SocketAddr) {
    let _ = TcpStream::connect_timeout(&address, Duration::from_secs(1));
}

/// Refuses new connections, and lets those come to an end that are being made; whether that can be done here.
///
/// The listener drops every segment that asks for a connection (SYN without ACK), so a client asks again a second later, when there is
/// no listener any more.
#[cfg(target_os = "linux")]
fn shut(listener: &TcpListener) -> bool {
    let filter = [
        // The flags of the segment; those two of them; if there is only SYN, nothing of the segment, otherwise all.
        SockFilter::new(0x30, 0, 0, 13),
        SockFilter::new(0x54, 0, 0, 0x12),
        SockFilter::new(0x15, 0, 1, 0x02),
        SockFilter::new(0x06, 0, 0, 0),
        SockFilter::new(0x06, 0, 0, u32::MAX),
    ];
    SockRef::from(listener).attach_filter(&filter).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn shut(_: &TcpListener) -> bool {
    false
}
