//! Names with several addresses each, of which those that failed are passed over for a while.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// For how long an address that failed is passed over, if there is another.
const REST: Duration = Duration::from_secs(1);

/// A name in the table: where its addresses come from, and what is known of them.
pub(crate) struct Name {
    pub(crate) name: String,
    /// Each a host and a port, which may mean several addresses.
    sources: Vec<String>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    addresses: Vec<Address>,
    lookups: u32,
}

struct Address {
    at: SocketAddr,
    /// For the server to know by which name it is called.
    source: usize,
    /// Calls under way.
    busy: usize,
    failed: Option<Instant>,
}

impl Name {
    pub(crate) fn new(name: impl Into<String>, sources: Vec<String>) -> Name {
        Name { name: name.into(), sources, known: Mutex::default() }
    }

    /// `NAME=HOST:PORT[,HOST:PORT]...`
    pub(crate) fn parse(text: &str) -> Result<Name, String> {
        let wrong = || format!("{}: not of the form NAME=HOST:PORT[,HOST:PORT]...", text.escape_debug());
        let (name, sources) = text.split_once('=').ok_or_else(wrong)?;
        let sources: Vec<_> = sources.split(',').map(String::from).collect();
        let good = |source: &String| {
            let parts = source.rsplit_once(':');
            parts.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
        };
        let named = !name.is_empty() && name.chars().all(|char| char.is_alphanumeric() || "-_.".contains(char));
        if named && sources.iter().all(good) { Ok(Name::new(name, sources)) } else { Err(wrong()) }
    }

    /// Calls the address that is best for now, and hears how that went: one that has not failed lately rather than one that has, and of
    /// those the one that does the least. So a second call beside one that takes long goes elsewhere, if there is an elsewhere. After
    /// a failure the name is looked up again. `None`: it has no address.
    pub(crate) fn call<R>(&self, call: impl FnOnce(SocketAddr, &str) -> R, failed: impl Fn(&R) -> bool) -> Option<R> {
        if self.with(|known| known.addresses.is_empty()) {
            self.look_up();
        }
        let (at, source) = self.with(|known| {
            let order = |address: &&mut Address| (address.failed.is_some_and(|at| at.elapsed() < REST), address.busy);
            let best = known.addresses.iter_mut().min_by_key(order)?;
            best.busy += 1;
            Some((best.at, best.source))
        })?;
        let result = call(at, &self.sources[source]);
        let failed = failed(&result);
        self.with(|known| {
            // It may have gone from the table meanwhile.
            if let Some(address) = known.addresses.iter_mut().find(|address| address.at == at) {
                address.busy = address.busy.saturating_sub(1);
                address.failed = failed.then(Instant::now);
            }
        });
        if failed {
            self.look_up();
        }
        Some(result)
    }

    /// Takes in which addresses there are now; what is known of those that were there stays.
    fn look_up(&self) {
        let mut found = Vec::<Address>::new();
        for (source, text) in self.sources.iter().enumerate() {
            // What cannot be looked up has no address for now.
            for at in text.to_socket_addrs().into_iter().flatten() {
                if found.iter().all(|address| address.at != at) {
                    found.push(Address { at, source, busy: 0, failed: None });
                }
            }
        }
        self.with(|known| {
            known.lookups += 1;
            for address in &mut found {
                if let Some(before) = known.addresses.iter().find(|before| before.at == address.at) {
                    (address.busy, address.failed) = (before.busy, before.failed);
                }
            }
            known.addresses = found;
        });
    }

    /// How many addresses it has, how many of them failed when they were called last, and how often it was looked up.
    pub(crate) fn counts(&self) -> (usize, usize, u32) {
        self.with(|known| {
            let failed = known.addresses.iter().filter(|address| address.failed.is_some()).count();
            (known.addresses.len(), failed, known.lookups)
        })
    }

    fn with<R>(&self, change: impl FnOnce(&mut Known) -> R) -> R {
        change(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
