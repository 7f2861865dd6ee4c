//! The connector thread, and how it is talked to.
//!
//! Whoever sends a command rings the bell after it; the connector notes its waker before it looks for the last time. So it misses none,
//! nor that nobody will send any more.

use super::fault::refused;
use crate::connect::ConnectError;
use crate::error::BuildError;
use crate::sync::channel::{self, Receiver, Sender};
use crate::sync::{Arc, Mutex, thread};
use std::future::poll_fn;
use std::task::{Context, Poll, Waker};

#[derive(Default)]
struct Bell(Mutex<Option<Waker>>);

impl Bell {
    fn ring(&self) {
        let waker = self.0.lock().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// The sending end; the thread ends when it is dropped, which waits for that.
pub(super) struct Link<C> {
    commands: Option<Sender<C>>,
    bell: Arc<Bell>,
    thread: Mutex<Option<thread::JoinHandle>>,
}

impl<C: Send + 'static> Link<C> {
    pub(super) fn start(body: impl FnOnce(Inbox<C>) + Send + 'static) -> Result<Link<C>, ConnectError> {
        let (sender, receiver) = channel::unbounded();
        let bell = Arc::new(Bell::default());
        let inbox = Inbox { receiver, bell: bell.clone() };
        let thread = thread::start("fanpool-rabbit".into(), None, move || body(inbox))
            .map_err(|source| BuildError::Thread { wanted: 1, started: 0, source })?;
        Ok(Link { commands: Some(sender), bell, thread: Mutex::new(Some(thread)) })
    }

    /// Sends; an answer that is waited for is disconnected if the thread has ended.
    pub(super) fn send(&self, command: C) {
        if let Some(commands) = &self.commands {
            let _ = channel::send(commands, command);
        }
        self.bell.ring();
    }

    /// Sends what `command` makes of where the answer goes, and waits for the answer.
    pub(super) fn ask<T>(&self, command: impl FnOnce(Sender<Result<T, ConnectError>>) -> C) -> Result<T, ConnectError> {
        let (sender, receiver) = channel::bounded(1);
        self.send(command(sender));
        match channel::recv(&receiver) {
            Ok(answer) => answer,
            // As after a panic of the client: it would be no other next time.
            Err(_) => Err(refused("its connector has ended", "close it, and open it again")),
        }
    }

    pub(super) fn join(&self) {
        let thread = self.thread.lock().take();
        if let Some(thread) = thread {
            thread.join();
        }
    }
}

impl<C> Drop for Link<C> {
    fn drop(&mut self) {
        self.commands = None;
        self.bell.ring();
        if let Some(thread) = self.thread.lock().take() {
            thread.join();
        }
    }
}

/// The connector's end.
pub(super) struct Inbox<C> {
    receiver: Receiver<C>,
    bell: Arc<Bell>,
}

impl<C> Inbox<C> {
    /// The next command; `None` once nobody can send any more.
    pub(super) fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Option<C>> {
        for last in [false, true] {
            match channel::try_next(&self.receiver) {
                Ok(command) => return Poll::Ready(Some(command)),
                Err(true) => return Poll::Ready(None),
                Err(false) if last => {}
                Err(false) => *self.bell.0.lock() = Some(cx.waker().clone()),
            }
        }
        Poll::Pending
    }

    pub(super) async fn next(&self) -> Option<C> {
        poll_fn(|cx| self.poll_next(cx)).await
    }
}

#[cfg(all(test, not(fanpool_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_connector_that_has_ended_refuses_and_is_not_asked_for_ever() {
        let link = Link::start(|inbox: Inbox<Sender<Result<(), ConnectError>>>| drop(inbox)).unwrap();
        for _ in 0..2 {
            assert!(matches!(link.ask(|to| to), Err(ConnectError::Refused { .. })));
        }
    }
}
