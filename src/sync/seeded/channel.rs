//! crossbeam's channels: the same types, and waiting under the baton.
//!
//! A channel of capacity zero passes a message only between two threads that wait at the same time, which members never do.

use super::member;
use super::scheduler::Woken;
use crate::sync::real::channel::{self as real, try_next as try_real};
use crossbeam_channel::Select;
use std::time::Instant;

pub(crate) use real::{Either, Receiver, RecvError, SendError, Sender, TrySendError, Watched, bounded, unbounded};

const MESSAGE: &str = "a message";
const ROOM: &str = "room in a channel";

/// Whether there is a message, or there will be none.
fn is_ready(receiver: &dyn Watched) -> bool {
    let mut select = Select::new();
    receiver.add(&mut select);
    select.try_ready().is_ok()
}

/// An attempt to receive: `None` if it is to be repeated.
fn attempt<T>(receiver: &Receiver<T>) -> Option<Result<T, RecvError>> {
    match try_real(receiver) {
        Ok(message) => Some(Ok(message)),
        Err(true) => Some(Err(RecvError)),
        Err(false) => None,
    }
}

pub(crate) fn recv<T>(receiver: &Receiver<T>) -> Result<T, RecvError> {
    let polled = member::current().map(|member| member.poll(MESSAGE, None, || attempt(receiver)));
    match polled {
        Some(Ok(received)) => received,
        None | Some(Err(_)) => real::recv(receiver),
    }
}

pub(crate) fn send<T>(sender: &Sender<T>, message: T) -> Result<(), SendError<T>> {
    let mut message = Some(message);
    if let Some(member) = member::current() {
        let polled = member.poll(ROOM, None, || {
            match sender.try_send(message.take()?) {
                Ok(()) => return Some(Ok(())),
                Err(TrySendError::Disconnected(back)) => return Some(Err(SendError(back))),
                Err(TrySendError::Full(back)) => message = Some(back),
            }
            None
        });
        if let Ok(sent) = polled {
            return sent;
        }
    }
    match message {
        Some(message) => real::send(sender, message),
        None => unreachable!("what was not sent came back"),
    }
}

pub(crate) fn try_send<T>(sender: &Sender<T>, message: T) -> Result<(), TrySendError<T>> {
    let member = member::current();
    member.iter().for_each(|member| member.switch());
    let sent = real::try_send(sender, message);
    if let (Some(member), Ok(())) = (member, &sent) {
        member.change();
    }
    sent
}

/// Blocks until there is a message, which it takes, or until `deadline`; `None` never runs out. Returns false if the time
/// ran out.
pub(crate) fn wait_for<T>(receiver: &Receiver<T>, deadline: Option<Instant>) -> bool {
    let polled = member::current().map(|member| member.poll(MESSAGE, deadline, || attempt(receiver)));
    match polled {
        Some(Ok(_)) => true,
        Some(Err(Woken::Late)) => false,
        None | Some(Err(_)) => real::wait_for(receiver, deadline),
    }
}

/// The next message if there is one; else whether there will be none.
pub(crate) fn try_next<T>(receiver: &Receiver<T>) -> Result<T, bool> {
    let member = member::current();
    member.iter().for_each(|member| member.switch());
    let received = try_real(receiver);
    if let (Some(member), Ok(_)) = (member, &received) {
        member.change();
    }
    received
}

/// Sends, waiting for room, unless nobody receives or `cut` has a message or is disconnected; then the message comes back.
pub(crate) fn send_unless<T>(sender: &Sender<T>, message: T, cut: &Receiver<()>) -> Result<(), T> {
    let mut message = Some(message);
    if let Some(member) = member::current() {
        let polled = member.poll(ROOM, None, || match sender.try_send(message.take()?) {
            Ok(()) => Some(Ok(())),
            Err(TrySendError::Full(back)) if try_real(cut) == Err(false) => {
                message = Some(back);
                None
            }
            Err(refused) => Some(Err(refused.into_inner())),
        });
        if let Ok(sent) = polled {
            return sent;
        }
    }
    match message {
        Some(message) => real::send_unless(sender, message, cut),
        None => unreachable!("what was not sent came back"),
    }
}

/// Receives, waiting, unless all senders are gone or `cut` has a message or is disconnected.
pub(crate) fn recv_unless<T>(receiver: &Receiver<T>, cut: &Receiver<()>) -> Result<T, RecvError> {
    let Some(member) = member::current() else { return real::recv_unless(receiver, cut) };
    // Of two that are ready either may be seen first.
    let cut_first = member.scheduler.random() & 1 == 0;
    let is_cut = || try_real(cut) != Err(false);
    let polled = member.poll(MESSAGE, None, || {
        if cut_first && is_cut() {
            return Some(Err(RecvError));
        }
        attempt(receiver).or_else(|| (!cut_first && is_cut()).then_some(Err(RecvError)))
    });
    polled.unwrap_or_else(|_| real::recv_unless(receiver, cut))
}

/// Waits until the bell, whose ring is taken, or one of the others has a message or is disconnected.
pub(crate) fn wait_any(bell: &Receiver<()>, others: &[&dyn Watched]) {
    let Some(member) = member::current() else { return real::wait_any(bell, others) };
    let bell_first = member.scheduler.random() & 1 == 0;
    let rung = || try_real(bell) != Err(false);
    let polled = member.poll("one of several messages", None, || {
        let ready = bell_first && rung() || others.iter().any(|other| is_ready(*other)) || !bell_first && rung();
        ready.then_some(())
    });
    polled.unwrap_or_else(|_| real::wait_any(bell, others));
}

/// Blocks until one of the two has a message; fails once both are disconnected and empty.
pub(crate) fn recv_either<A, B>(a: &Receiver<A>, b: &Receiver<B>) -> Result<Either<A, B>, RecvError> {
    let Some(member) = member::current() else { return real::recv_either(a, b) };
    let b_first = member.scheduler.random() & 1 == 0;
    let from_b = || attempt(b).map(|received| received.map(Either::Second));
    let polled = member.poll(MESSAGE, None, || {
        let early = if b_first { from_b() } else { None };
        if let Some(Ok(_)) = early {
            return early;
        }
        let first = attempt(a).map(|received| received.map(Either::First));
        if let Some(Ok(_)) = first {
            return first;
        }
        match (first, from_b()) {
            (_, received @ Some(Ok(_))) => received,
            (Some(Err(RecvError)), Some(Err(RecvError))) => Some(Err(RecvError)),
            _ => None,
        }
    });
    polled.unwrap_or_else(|_| real::recv_either(a, b))
}
