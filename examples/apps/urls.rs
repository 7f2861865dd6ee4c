//! What `fetch` fetches: from a list, or from servers of its own.

use crate::local::{Local, Reply};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use ureq::http::Uri;

/// Bytes of a URL.
const LONGEST: usize = 8 * 1024;

/// When `/recovers` does.
const RECOVERY: Duration = Duration::from_secs(1);

/// What is to be fetched.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) url: Arc<str>,
    /// With its port: what a breaker is for.
    pub(crate) host: Arc<str>,
    /// What it is counted with.
    pub(crate) kind: Arc<str>,
}

impl Target {
    fn parse(text: &[u8]) -> Result<Target, String> {
        let wrong = |what: &str| {
            let shown = String::from_utf8_lossy(&text[..text.len().min(80)]).escape_debug().to_string();
            format!("{shown}: {what}")
        };
        let url = std::str::from_utf8(text).map_err(|_| wrong("not text"))?;
        if url.len() > LONGEST {
            return Err(wrong("too long"));
        }
        let parsed: Uri = url.parse().map_err(|error: ureq::http::uri::InvalidUri| wrong(&error.to_string()))?;
        match parsed.scheme_str() {
            Some("http") => {}
            Some("https") => return Err(wrong("made without TLS")),
            _ => return Err(wrong("does not begin with http://")),
        }
        let Some(host) = parsed.host().filter(|host| !host.is_empty()) else { return Err(wrong("without a host")) };
        // A port that is no number, or too large for one, would be taken for none.
        let rest = url.split_once("://").and_then(|(_, rest)| rest.split(['/', '?', '#']).next());
        let port = rest.and_then(|rest| rest.rsplit_once(host)).map_or("", |(_, port)| port.trim_start_matches(':'));
        if !port.is_empty() && parsed.port_u16().is_none() {
            return Err(wrong("no such port"));
        }
        let host: Arc<str> = format!("{}:{}", host.to_ascii_lowercase(), parsed.port_u16().unwrap_or(80)).into();
        Ok(Target { url: url.into(), kind: host.clone(), host })
    }
}

/// Those that were given, and those of a list. What is none goes to `complaints`.
pub(crate) fn read(
    given: &[OsString],
    list: Option<&OsStr>,
    complaints: &mut Vec<String>,
) -> Result<Vec<Target>, String> {
    let mut targets = Vec::new();
    for text in given {
        match Target::parse(text.as_encoded_bytes()) {
            Ok(target) => targets.push(target),
            Err(complaint) => complaints.push(complaint),
        }
    }
    let Some(list) = list else { return Ok(targets) };
    let name = list.to_string_lossy().escape_debug().to_string();
    let refused = |error: io::Error| format!("{name}: {error}");
    let lines: Box<dyn BufRead> = if list == "-" {
        Box::new(io::stdin().lock())
    } else {
        Box::new(BufReader::new(File::open(list).map_err(refused)?))
    };
    for (line, text) in (1..).zip(lines.split(b'\n')) {
        let text = text.map_err(refused)?;
        let text = text.trim_ascii();
        if text.is_empty() || text[0] == b'#' {
            continue;
        }
        match Target::parse(text) {
            Ok(target) => targets.push(target),
            Err(complaint) => complaints.push(format!("{name}, line {line}: {complaint}")),
        }
    }
    Ok(targets)
}

/// The servers of its own.
pub(crate) struct Site {
    seed: u64,
    /// Of each kind.
    hosts: [(&'static str, SocketAddr); 7],
    _servers: Local,
}

impl Site {
    pub(crate) fn start(seed: u64) -> Result<Site, String> {
        let mut servers = Local::new()?;
        let main = servers.serve(move |path, before| match kind(path) {
            "/slow" => Reply::Status(200, Duration::from_millis(20 + random(seed, path) % 100)),
            "/flaky" if before < 2 => Reply::now(503),
            "/ok" | "/flaky" => Reply::now(200),
            _ => Reply::now(404),
        })?;
        let began = Instant::now();
        let hosts = [
            ("/ok", main),
            ("/slow", main),
            ("/flaky", main),
            ("/down", servers.serve(|_, _| Reply::now(503))?),
            ("/refused", servers.refuse()?),
            ("/stall", servers.serve(|_, _| Reply::Nothing)?),
            ("/recovers", servers.serve(move |_, _| Reply::now(if began.elapsed() < RECOVERY { 503 } else { 200 }))?),
        ];
        Ok(Site { seed, hosts, _servers: servers })
    }

    /// So many URLs, in an order that the seed decides.
    pub(crate) fn targets(&self, count: usize) -> Vec<Target> {
        // Of 25: 10 /ok, 4 /slow, 4 /flaky, 2 /down, 1 /refused, 1 /stall, 3 /recovers.
        const MIX: [usize; 25] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 4, 5, 6, 6, 6];
        let target = |number: usize| {
            let (kind, address) = self.hosts[MIX[number % MIX.len()]];
            let host = address.to_string();
            let url = format!("http://{host}{kind}/{number}");
            Target { url: url.into(), host: host.into(), kind: kind.into() }
        };
        let mut targets: Vec<_> = (0..count).map(target).collect();
        targets.sort_by_cached_key(|target| random(self.seed, target.url.rsplit('/').next().unwrap_or_default()));
        targets
    }
}

fn kind(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(kind, _)| kind)
}

/// A number that a seed and a text decide: FNV-1a, and then the end of splitmix64, which makes all bits depend on all.
fn random(seed: u64, text: &str) -> u64 {
    let hash = text
        .bytes()
        .fold(0xCBF2_9CE4_8422_2325 ^ seed, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3));
    let mixed = (hash ^ (hash >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}
