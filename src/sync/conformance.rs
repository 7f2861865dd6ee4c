//! What both sides of `sync` must do. Unit tests run each case on real threads, `loom-tests` in the model.
#![allow(clippy::unwrap_used, reason = "these are tests")]

use super::channel::{
    Either, RecvError, SendError, TrySendError, bounded, recv, recv_either, recv_unless, send, send_unless, try_next,
    try_send, unbounded, wait_any,
};
use super::{Arc, Condvar, Mutex, thread};

/// Every case, by name.
pub(crate) const CASES: &[(&str, fn())] = &[
    ("fifo_and_emptiness", fifo_and_emptiness),
    ("bounded_refuses_and_blocks", bounded_refuses_and_blocks),
    ("disconnection_is_seen_after_the_last_message", disconnection_is_seen_after_the_last_message),
    ("send_without_receivers_returns_the_message", send_without_receivers_returns_the_message),
    ("unread_messages_are_dropped_with_the_last_receiver", unread_messages_are_dropped_with_the_last_receiver),
    ("two_receivers_share_the_messages", two_receivers_share_the_messages),
    ("either_side_wakes_a_double_receive", either_side_wakes_a_double_receive),
    ("a_double_receive_ends_when_both_sides_do", a_double_receive_ends_when_both_sides_do),
    ("a_send_ends_when_it_is_cut", a_send_ends_when_it_is_cut),
    ("a_receive_ends_when_it_is_cut", a_receive_ends_when_it_is_cut),
    ("any_of_several_ends_a_wait", any_of_several_ends_a_wait),
    ("a_condition_variable_loses_no_notice", a_condition_variable_loses_no_notice),
];

fn a_send_ends_when_it_is_cut() {
    let ((tx, rx), (cut, cuts)) = (bounded(1), bounded(1));
    assert_eq!(send_unless(&tx, 1, &cuts), Ok(()));
    let cutter = spawn(move || drop(cut));
    assert_eq!(send_unless(&tx, 2, &cuts), Err(2));
    cutter.join();
    assert_eq!(try_next(&rx), Ok(1));
    assert_eq!(try_next(&rx), Err(false));
    drop(rx);
    assert_eq!(send_unless(&tx, 3, &cuts), Err(3));
}

fn a_receive_ends_when_it_is_cut() {
    let ((tx, rx), (cut, cuts)) = (bounded(1), bounded(1));
    send(&tx, 1).unwrap();
    assert_eq!(recv_unless(&rx, &cuts), Ok(1));
    let cutter = spawn(move || drop(cut));
    assert_eq!(recv_unless(&rx, &cuts), Err(RecvError));
    cutter.join();
    drop(tx);
    assert_eq!(try_next(&rx), Err(true));
}

fn any_of_several_ends_a_wait() {
    let ((bell, rings), (tx, rx)) = (bounded(1), bounded(1));
    let sender = spawn(move || send(&tx, 1).unwrap());
    wait_any(&rings, &[&rx]);
    assert_eq!(recv(&rx), Ok(1));
    sender.join();
    let (other, others) = bounded::<()>(1);
    let ringer = spawn(move || send(&bell, ()).unwrap());
    wait_any(&rings, &[&others]);
    ringer.join();
    assert_eq!(try_next(&rings), Err(true), "the ring was taken");
    drop(other);
}

fn spawn(body: impl FnOnce() + Send + 'static) -> thread::JoinHandle {
    match thread::start("conformance".into(), None, body) {
        Ok(handle) => handle,
        Err(error) => panic!("no thread: {error}"),
    }
}

fn fifo_and_emptiness() {
    let (tx, rx) = unbounded();
    assert!(rx.is_empty());
    assert_eq!(try_next(&rx), Err(false));
    send(&tx, 1).unwrap();
    send(&tx, 2).unwrap();
    assert!(!rx.is_empty());
    assert_eq!((recv(&rx), try_next(&rx)), (Ok(1), Ok(2)));
}

fn bounded_refuses_and_blocks() {
    let (tx, rx) = bounded(1);
    try_send(&tx, 1).unwrap();
    assert_eq!(try_send(&tx, 2), Err(TrySendError::Full(2)));
    let sender = spawn(move || send(&tx, 3).unwrap());
    assert_eq!((recv(&rx), recv(&rx)), (Ok(1), Ok(3)));
    sender.join();
}

fn disconnection_is_seen_after_the_last_message() {
    let (tx, rx) = unbounded();
    let sender = spawn(move || send(&tx, 7).unwrap());
    assert_eq!(recv(&rx), Ok(7));
    assert_eq!(recv(&rx), Err(RecvError));
    assert_eq!(try_next(&rx), Err(true));
    sender.join();
}

fn send_without_receivers_returns_the_message() {
    let (tx, rx) = bounded(1);
    send(&tx, 1).unwrap();
    let receiver = spawn(move || drop(rx));
    assert_eq!(send(&tx, 2), Err(SendError(2)), "a blocked sender is told");
    assert_eq!(try_send(&tx, 3), Err(TrySendError::Disconnected(3)));
    receiver.join();
}

fn unread_messages_are_dropped_with_the_last_receiver() {
    let message = Arc::new(());
    let (tx, rx) = unbounded();
    let other = rx.clone();
    send(&tx, message.clone()).unwrap();
    drop(rx);
    assert_eq!(Arc::strong_count(&message), 2);
    drop(other);
    assert_eq!(Arc::strong_count(&message), 1);
}

fn two_receivers_share_the_messages() {
    let (tx, rx) = unbounded();
    let (seen, other) = (Arc::new(Mutex::new(Vec::new())), rx.clone());
    let sink = seen.clone();
    let receiver = spawn(move || {
        while let Ok(message) = recv(&other) {
            sink.lock().push(message);
        }
    });
    send(&tx, 1).unwrap();
    send(&tx, 2).unwrap();
    drop(tx);
    while let Ok(message) = recv(&rx) {
        seen.lock().push(message);
    }
    receiver.join();
    let mut seen = std::mem::take(&mut *seen.lock());
    seen.sort_unstable();
    assert_eq!(seen, [1, 2]);
}

fn either_side_wakes_a_double_receive() {
    let (a, on_a) = unbounded::<u8>();
    let (b, on_b) = unbounded::<u16>();
    let sender = spawn(move || {
        send(&b, 1).unwrap();
        send(&a, 2).unwrap();
    });
    let (mut first, mut second) = (None, None);
    while first.is_none() || second.is_none() {
        match recv_either(&on_a, &on_b) {
            Ok(Either::First(message)) => first = Some(message),
            Ok(Either::Second(message)) => second = Some(message),
            Err(RecvError) => panic!("a message was lost"),
        }
    }
    assert_eq!((first, second), (Some(2), Some(1)));
    sender.join();
}

fn a_double_receive_ends_when_both_sides_do() {
    let (a, on_a) = unbounded::<u8>();
    let (b, on_b) = unbounded::<u8>();
    let sender = spawn(move || {
        drop(a);
        send(&b, 1).unwrap();
    });
    assert!(matches!(recv_either(&on_a, &on_b), Ok(Either::Second(1))));
    assert!(recv_either(&on_a, &on_b).is_err());
    sender.join();
}

fn a_condition_variable_loses_no_notice() {
    let shared = Arc::new((Mutex::new(false), Condvar::new()));
    let other = shared.clone();
    let setter = spawn(move || {
        *other.0.lock() = true;
        other.1.notify_all();
    });
    let mut set = shared.0.lock();
    while !*set {
        shared.1.wait(&mut set);
    }
    drop(set);
    setter.join();
}

#[cfg(all(test, not(fanpool_loom)))]
mod tests {
    #[test]
    fn the_shipping_side_conforms() {
        for (name, case) in super::CASES {
            for _ in 0..200 {
                case();
            }
            println!("{name}: held");
        }
    }

    #[cfg(feature = "seeded")]
    #[test]
    fn the_replaying_side_conforms_in_a_run() {
        for (name, case) in super::CASES {
            for seed in 0..200 {
                crate::testing::seeded(seed, case);
            }
            println!("{name}: held");
        }
    }
}
