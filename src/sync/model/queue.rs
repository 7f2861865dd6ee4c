//! An MPMC channel on a mutex and a condition variable, with crossbeam's surface and names.

use super::{Condvar, Mutex};
use crate::sync::Arc;
use std::collections::VecDeque;

pub(crate) use crossbeam_channel::{RecvError, SendError, TryRecvError, TrySendError};

#[derive(Debug)]
struct State<T> {
    queue: VecDeque<T>,
    senders: usize,
    receivers: usize,
    /// Wakes those who wait on two channels at once; see [`recv_either`].
    watchers: Vec<Arc<Watcher>>,
}

#[derive(Debug)]
struct Channel<T> {
    state: Mutex<State<T>>,
    capacity: usize,
    /// Notified whenever a message, a free place or a disconnection appears.
    changed: Condvar,
}

#[derive(Debug, Default)]
pub struct Watcher {
    rung: Mutex<bool>,
    bell: Condvar,
}

#[derive(Debug)]
pub struct Sender<T>(Arc<Channel<T>>);

#[derive(Debug)]
pub struct Receiver<T>(Arc<Channel<T>>);

#[derive(Debug)]
pub(crate) enum Either<A, B> {
    First(A),
    Second(B),
}

pub(crate) fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    bounded(usize::MAX)
}

/// A channel that holds `capacity` messages. Unlike crossbeam's, it knows no rendezvous of capacity zero.
pub(crate) fn bounded<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    assert!(capacity > 0, "the model has no rendezvous channel");
    let state = State { queue: VecDeque::new(), senders: 1, receivers: 1, watchers: Vec::new() };
    let channel = Arc::new(Channel { state: Mutex::new(state), capacity, changed: Condvar::new() });
    (Sender(channel.clone()), Receiver(channel))
}

impl<T> Channel<T> {
    /// Tells everybody who may be waiting. Called with the state's lock held, so that nobody is between looking and
    /// waiting.
    fn announce(&self, state: &State<T>) {
        self.changed.notify_all();
        for watcher in &state.watchers {
            *watcher.rung.lock() = true;
            watcher.bell.notify_all();
        }
    }

    fn watch(&self, watcher: &Arc<Watcher>) {
        self.state.lock().watchers.push(watcher.clone());
    }

    fn unwatch(&self, watcher: &Arc<Watcher>) {
        self.state.lock().watchers.retain(|other| !Arc::ptr_eq(other, watcher));
    }
}

impl<T> Sender<T> {
    pub(crate) fn send(&self, message: T) -> Result<(), SendError<T>> {
        let mut state = self.0.state.lock();
        while state.receivers > 0 && state.queue.len() >= self.0.capacity {
            self.0.changed.wait(&mut state);
        }
        if state.receivers == 0 {
            return Err(SendError(message));
        }
        state.queue.push_back(message);
        self.0.announce(&state);
        Ok(())
    }

    pub(crate) fn try_send(&self, message: T) -> Result<(), TrySendError<T>> {
        let mut state = self.0.state.lock();
        if state.receivers == 0 {
            return Err(TrySendError::Disconnected(message));
        }
        if state.queue.len() >= self.0.capacity {
            return Err(TrySendError::Full(message));
        }
        state.queue.push_back(message);
        self.0.announce(&state);
        Ok(())
    }
}

impl<T> Receiver<T> {
    pub(crate) fn recv(&self) -> Result<T, RecvError> {
        let mut state = self.0.state.lock();
        loop {
            if let Some(message) = state.queue.pop_front() {
                self.0.announce(&state);
                return Ok(message);
            }
            if state.senders == 0 {
                return Err(RecvError);
            }
            self.0.changed.wait(&mut state);
        }
    }

    pub(crate) fn try_recv(&self) -> Result<T, TryRecvError> {
        let mut state = self.0.state.lock();
        match state.queue.pop_front() {
            Some(message) => {
                self.0.announce(&state);
                Ok(message)
            }
            None if state.senders == 0 => Err(TryRecvError::Disconnected),
            None => Err(TryRecvError::Empty),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.state.lock().queue.is_empty()
    }
}

/// Blocks until there is a message; fails if there will be none.
pub(crate) fn recv<T>(receiver: &Receiver<T>) -> Result<T, RecvError> {
    receiver.recv()
}

/// Sends, waiting for room; fails if nobody receives.
pub(crate) fn send<T>(sender: &Sender<T>, message: T) -> Result<(), SendError<T>> {
    sender.send(message)
}

/// Sends if there is room and somebody receives.
pub(crate) fn try_send<T>(sender: &Sender<T>, message: T) -> Result<(), TrySendError<T>> {
    sender.try_send(message)
}

/// Waits for a message; with a deadline, every other thread gets a turn and then the time is over.
pub(crate) fn wait_for<T>(receiver: &Receiver<T>, deadline: Option<std::time::Instant>) -> bool {
    if deadline.is_some() {
        loom::thread::yield_now();
        return receiver.try_recv().is_ok();
    }
    let _ = receiver.recv();
    true
}

/// The next message if there is one; else whether there will be none.
pub(crate) fn try_next<T>(receiver: &Receiver<T>) -> Result<T, bool> {
    receiver.try_recv().map_err(|error| error == TryRecvError::Disconnected)
}

impl Watcher {
    /// Waits until one of the channels that were told has changed since the last wait.
    fn wait(&self) {
        let mut rung = self.rung.lock();
        while !*rung {
            self.bell.wait(&mut rung);
        }
        *rung = false;
    }
}

/// Whether the channel has a message or is disconnected.
fn is_ready<T>(channel: &Channel<T>) -> bool {
    let state = channel.state.lock();
    !state.queue.is_empty() || state.senders == 0
}

/// Sends, waiting for room, unless nobody receives or `cut` has a message or is disconnected; then the message comes back.
pub(crate) fn send_unless<T>(sender: &Sender<T>, mut message: T, cut: &Receiver<()>) -> Result<(), T> {
    let watcher = Arc::new(Watcher::default());
    sender.0.watch(&watcher);
    cut.0.watch(&watcher);
    let sent = loop {
        match sender.try_send(message) {
            Ok(()) => break Ok(()),
            Err(TrySendError::Disconnected(back)) => break Err(back),
            Err(TrySendError::Full(back)) if is_ready(&cut.0) => break Err(back),
            Err(TrySendError::Full(back)) => message = back,
        }
        watcher.wait();
    };
    sender.0.unwatch(&watcher);
    cut.0.unwatch(&watcher);
    sent
}

/// Receives, waiting, unless all senders are gone or `cut` has a message or is disconnected.
pub(crate) fn recv_unless<T>(receiver: &Receiver<T>, cut: &Receiver<()>) -> Result<T, RecvError> {
    let watcher = Arc::new(Watcher::default());
    receiver.0.watch(&watcher);
    cut.0.watch(&watcher);
    let received = loop {
        match receiver.try_recv() {
            Ok(message) => break Ok(message),
            Err(TryRecvError::Disconnected) => break Err(RecvError),
            Err(TryRecvError::Empty) if is_ready(&cut.0) => break Err(RecvError),
            Err(TryRecvError::Empty) => watcher.wait(),
        }
    };
    receiver.0.unwatch(&watcher);
    cut.0.unwatch(&watcher);
    received
}

/// A channel, whatever its messages.
pub trait Watched {
    #[doc(hidden)]
    fn watch(&self, watcher: &Arc<Watcher>);
    #[doc(hidden)]
    fn unwatch(&self, watcher: &Arc<Watcher>);
    #[doc(hidden)]
    fn is_ready(&self) -> bool;
}

impl<T> Watched for Receiver<T> {
    fn watch(&self, watcher: &Arc<Watcher>) {
        self.0.watch(watcher);
    }
    fn unwatch(&self, watcher: &Arc<Watcher>) {
        self.0.unwatch(watcher);
    }
    fn is_ready(&self) -> bool {
        is_ready(&self.0)
    }
}

/// Waits until the bell, whose ring is taken, or one of the others has a message or is disconnected.
pub(crate) fn wait_any(bell: &Receiver<()>, others: &[&dyn Watched]) {
    let watcher = Arc::new(Watcher::default());
    bell.0.watch(&watcher);
    others.iter().for_each(|other| other.watch(&watcher));
    while bell.try_recv().is_err() && !others.iter().any(|other| other.is_ready()) {
        watcher.wait();
    }
    bell.0.unwatch(&watcher);
    others.iter().for_each(|other| other.unwatch(&watcher));
}

/// Registers with both channels, looks at both, and waits for either to ring. Registering first means that whatever
/// arrives after the look rings.
pub(crate) fn recv_either<A, B>(a: &Receiver<A>, b: &Receiver<B>) -> Result<Either<A, B>, RecvError> {
    let watcher = Arc::new(Watcher::default());
    a.0.watch(&watcher);
    b.0.watch(&watcher);
    let received = loop {
        let mut ended = false;
        match a.try_recv() {
            Ok(message) => break Ok(Either::First(message)),
            Err(TryRecvError::Disconnected) => ended = true,
            Err(TryRecvError::Empty) => {}
        }
        match b.try_recv() {
            Ok(message) => break Ok(Either::Second(message)),
            Err(TryRecvError::Disconnected) if ended => break Err(RecvError),
            Err(_) => {}
        }
        let mut rung = watcher.rung.lock();
        while !*rung {
            watcher.bell.wait(&mut rung);
        }
        *rung = false;
    };
    a.0.unwatch(&watcher);
    b.0.unwatch(&watcher);
    received
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.state.lock().senders += 1;
        Sender(self.0.clone())
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        self.0.state.lock().receivers += 1;
        Receiver(self.0.clone())
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.senders -= 1;
        if state.senders == 0 {
            self.0.announce(&state);
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.receivers -= 1;
        if state.receivers == 0 {
            self.0.announce(&state);
            // As crossbeam does: with nobody left to read them, messages are dropped, outside the lock.
            let unread = std::mem::take(&mut state.queue);
            drop(state);
            drop(unread);
        }
    }
}
