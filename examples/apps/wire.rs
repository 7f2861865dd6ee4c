//! As much of HTTP/1.1 as a server needs whose requests are small: one request at a time off a connection that may be slow, broken or
//! hostile, in bounded memory and time.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

/// Bytes of a request's first line and headers, and of its body.
pub(crate) const HEAD: usize = 8 * 1024;
pub(crate) const BODY: usize = 64 * 1024;
const HEADERS: usize = 64;
/// What a client that is still sending may send in vain, so that it comes to read the answer.
const IN_VAIN: usize = 1024 * 1024;

/// How long a client may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// To begin a request.
    pub(crate) idle: Duration,
    /// To send one that it has begun; to take an answer; and to hang up after the last.
    pub(crate) request: Duration,
}

#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: Method,
    /// The path, with the query if there is one.
    pub(crate) target: String,
    pub(crate) body: Vec<u8>,
    /// The client sends another one on this connection, if it may.
    pub(crate) keep: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Head,
    Post,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Status(pub(crate) u16, pub(crate) &'static str);

pub(crate) const OK: Status = Status(200, "OK");
pub(crate) const NOT_FOUND: Status = Status(404, "Not Found");
pub(crate) const BROKEN: Status = Status(500, "Internal Server Error");
pub(crate) const BUSY: Status = Status(503, "Service Unavailable");

/// Why there is no request.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The client has hung up, or begun nothing for too long: there is nobody to answer.
    Gone,
    /// To be answered so, and then the connection is useless.
    Answer(Status),
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        Refusal::Answer(status)
    }
}

/// What a head says of the body.
struct Head {
    length: usize,
    body: usize,
    method: Method,
    target: String,
    keep: bool,
    expects: bool,
}

/// A connection with what has been read from it and not been used: the next requests of a client that does not wait for answers.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    patience: Patience,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream, patience: Patience) -> Connection {
        // Without it an answer may wait for the client's acknowledgement of the one before.
        let _ = stream.set_nodelay(true);
        Connection { stream, buffer: Vec::new(), patience }
    }

    /// The next request.
    pub(crate) fn request(&mut self) -> Result<Request, Refusal> {
        // A client may send an empty line after the request before.
        let mut deadline = None;
        let head = loop {
            let empty = self.buffer.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            self.buffer.drain(..empty);
            if !self.buffer.is_empty() {
                deadline = deadline.or(Some(Instant::now() + self.patience.request));
            }
            if let Some(head) = parse(&self.buffer)? {
                break head;
            }
            if self.buffer.len() >= HEAD {
                return Err(Status(431, "Request Header Fields Too Large").into());
            }
            match deadline {
                Some(deadline) => self.read(HEAD, deadline)?,
                None => self.read(HEAD, Instant::now() + self.patience.idle).map_err(|_| Refusal::Gone)?,
            }
        };
        let deadline = deadline.unwrap_or_else(Instant::now);
        let whole = head.length + head.body;
        if head.expects && self.buffer.len() < whole {
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n").map_err(|_| Refusal::Gone)?;
        }
        while self.buffer.len() < whole {
            self.read(whole, deadline)?;
        }
        let body = self.buffer[head.length..whole].to_vec();
        self.buffer.drain(..whole);
        Ok(Request { method: head.method, target: head.target, body, keep: head.keep })
    }

    /// Reads what is there, so that there are at most `most` bytes, or waits for some.
    fn read(&mut self, most: usize, deadline: Instant) -> Result<(), Refusal> {
        let have = self.buffer.len();
        self.buffer.resize(most, 0);
        let read = read_by(&mut self.stream, &mut self.buffer[have..], deadline);
        self.buffer.truncate(have + read.as_ref().copied().unwrap_or(0));
        match read {
            Ok(0) => Err(Refusal::Gone),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::TimedOut => Err(Status(408, "Request Timeout").into()),
            Err(_) => Err(Refusal::Gone),
        }
    }

    /// Answers; `keep` says whether the connection is of use afterwards.
    pub(crate) fn answer(&mut self, method: Method, status: Status, body: &str, keep: bool) -> io::Result<()> {
        let mut text = head(status, body.len(), keep);
        if method != Method::Head {
            text.push_str(body);
        }
        self.send(text.as_bytes())
    }

    fn send(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let deadline = Instant::now() + self.patience.request;
        while !bytes.is_empty() {
            self.stream.set_write_timeout(Some(left(deadline)?))?;
            match self.stream.write(bytes) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(sent) => bytes = &bytes[sent..],
                Err(error) if is_no_end(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Hangs up so that the client gets all that was sent: with anything unread, hanging up at once would be a reset, which may overtake
    /// the answer.
    pub(crate) fn hang_up(mut self) {
        let deadline = Instant::now() + self.patience.request;
        if self.stream.shutdown(Shutdown::Write).is_err() {
            return;
        }
        let (mut rest, mut left) = ([0; 4096], IN_VAIN);
        while left > 0 {
            match read_by(&mut self.stream, &mut rest, deadline) {
                Ok(read) if read > 0 => left = left.saturating_sub(read),
                _ => return,
            }
        }
    }
}

/// Tells a client for which there is no place, without waiting for anything. One that is still sending may miss it.
pub(crate) fn turn_away(mut stream: TcpStream) {
    if stream.set_nonblocking(true).is_ok() {
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write(head(BUSY, 0, false).as_bytes());
        let _ = stream.shutdown(Shutdown::Write);
        let _ = stream.read(&mut [0; 4096]);
    }
}

fn head(Status(code, reason): Status, length: usize, keep: bool) -> String {
    let close = if keep { "" } else { "Connection: close\r\n" };
    let more = match code {
        405 => "Allow: GET, HEAD, POST\r\n",
        503 => "Retry-After: 1\r\n",
        _ => "",
    };
    format!(
        "HTTP/1.1 {code} {reason}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {length}\r\n{close}{more}\r\n"
    )
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    // A time-out of zero would be none.
    if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
}

fn read_by(stream: &mut TcpStream, into: &mut [u8], deadline: Instant) -> io::Result<usize> {
    loop {
        stream.set_read_timeout(Some(left(deadline)?))?;
        match stream.read(into) {
            // The next look at the clock decides.
            Err(error) if is_no_end(&error) => {}
            ended => return ended,
        }
    }
}

fn is_no_end(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// The head that `bytes` begin with, if all of it is there.
fn parse(bytes: &[u8]) -> Result<Option<Head>, Status> {
    const BAD: Status = Status(400, "Bad Request");
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let length = match request.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(Status(431, "Request Header Fields Too Large")),
        Err(httparse::Error::Version) => return Err(Status(505, "HTTP Version Not Supported")),
        Err(_) => return Err(BAD),
    };
    let method = match request.method {
        Some("GET") => Method::Get,
        Some("HEAD") => Method::Head,
        Some("POST") => Method::Post,
        _ => return Err(Status(405, "Method Not Allowed")),
    };
    let newer = request.version == Some(1);
    let (mut body, mut keep, mut expects, mut hosts) = (None, newer, false, 0);
    for header in request.headers.iter() {
        let has = |word: &str| {
            header.value.split(|byte| *byte == b',').any(|part| part.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
        };
        match header.name.to_ascii_lowercase().as_str() {
            "host" => hosts += 1,
            "connection" if has("close") => keep = false,
            "expect" if has("100-continue") => expects = newer,
            "expect" => return Err(Status(417, "Expectation Failed")),
            // Bodies of unknown length are not taken; with a length as well, somebody on the way may have understood another one.
            "transfer-encoding" => return Err(Status(501, "Not Implemented")),
            "content-length" => {
                let value = std::str::from_utf8(header.value).map_err(|_| BAD)?.trim();
                if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_digit()) || body.is_some() {
                    return Err(BAD);
                }
                // One that is no number is too large for one.
                body = Some(value.parse().unwrap_or(usize::MAX));
            }
            _ => {}
        }
    }
    if newer && hosts != 1 {
        return Err(BAD);
    }
    let body = body.unwrap_or(0);
    if body > BODY {
        return Err(Status(413, "Content Too Large"));
    }
    let target = request.path.unwrap_or_default().to_owned();
    Ok(Some(Head { length, body, method, target, keep, expects }))
}
