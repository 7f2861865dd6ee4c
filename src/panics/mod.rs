//! The one place that catches, resumes or swallows a panic.

mod place;

pub use place::capture_panic_locations;
pub(crate) use place::place_of;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

pub(crate) type Payload = Box<dyn Any + Send>;

/// Calls user code and turns its panic into a value.
///
/// Asserting unwind safety is sound towards users: what the closure leaves half-done is theirs, and whoever sees it
/// learns of the panic through the scope, the handle or the counts.
pub(crate) fn catch<R>(user: impl FnOnce() -> R) -> Result<R, Payload> {
    catch_unwind(AssertUnwindSafe(user))
}

/// Goes on with a panic on this thread, without calling the panic hook again.
pub(crate) fn resume(payload: Payload) -> ! {
    resume_unwind(payload)
}

/// Drops a value of the user's; tells whether its `Drop` panicked.
pub(crate) fn drop_quietly<T>(value: T) -> Result<(), Payload> {
    catch(|| drop(value))
}

/// Drops a payload that nobody wants. If its `Drop` panics, what that threw is dropped in the same way, and so on; a chain
/// that has not ended after a few links would never end, and the rest of it is leaked.
pub(crate) fn discard(mut payload: Payload) {
    for _ in 0..16 {
        match drop_quietly(payload) {
            Ok(()) => return,
            Err(next) => payload = next,
        }
    }
    std::mem::forget(payload);
}

/// Drops values of the user's one by one, so that one whose `Drop` panics spoils nothing for the others.
pub(crate) fn drop_each<T>(values: impl IntoIterator<Item = T>) {
    for value in values {
        if let Err(payload) = drop_quietly(value) {
            discard(payload);
        }
    }
}

/// The text of a payload made by `panic!`, or a stand-in for any other type.
pub(crate) fn message(payload: &Payload) -> String {
    if let Some(text) = payload.downcast_ref::<&'static str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "a payload that is not text".to_owned()
    }
}

/// Aborts the process if it is dropped: held across code whose unwinding would free what other threads still use.
pub(crate) struct AbortOnUnwind;

impl Drop for AbortOnUnwind {
    fn drop(&mut self) {
        eprintln!("fanpool: a scope cannot wait for its tasks any more; aborting");
        std::process::abort();
    }
}

#[cfg(all(test, not(fanpool_loom)))]
mod tests {
    use super::*;

    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }

    #[test]
    fn b2_a_payload_that_panics_when_dropped_is_contained() {
        let payload = match catch(|| std::panic::panic_any(Bomb)) {
            Err(payload) => payload,
            Ok(()) => unreachable!("the closure panics"),
        };
        discard(payload);
        assert!(drop_quietly(Bomb).is_err());
    }

    #[test]
    fn b2_payloads_without_end_are_given_up() {
        struct Hydra;
        impl Drop for Hydra {
            fn drop(&mut self) {
                std::panic::resume_unwind(Box::new(Hydra));
            }
        }
        discard(Box::new(Hydra));
    }

    #[test]
    fn messages_of_text_payloads_are_found() {
        assert_eq!(message(&(Box::new("a") as Payload)), "a");
        assert_eq!(message(&(Box::new("b".to_owned()) as Payload)), "b");
        assert_eq!(message(&(Box::new(3_u8) as Payload)), "a payload that is not text");
    }
}
