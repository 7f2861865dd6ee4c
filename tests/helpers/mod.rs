//! What several test programs need.

use fanpool::{Pool, Workers};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::time::Duration;

pub(crate) fn pool(workers: usize) -> Pool {
    Pool::builder().workers(Workers::Fixed(workers)).build().unwrap()
}

/// Runs a test that would hang if it failed, and fails it after three minutes instead: on a machine that is busy with other work, tests that take
/// half a second have taken one.
pub(crate) fn within(body: impl FnOnce() + Send + 'static) {
    let (done, ended) = mpsc::channel();
    let runner = std::thread::spawn(move || {
        let result = catch_unwind(AssertUnwindSafe(body));
        let _ = done.send(());
        if let Err(payload) = result {
            std::panic::resume_unwind(payload);
        }
    });
    assert!(ended.recv_timeout(Duration::from_secs(180)).is_ok(), "hangs");
    if let Err(payload) = runner.join() {
        std::panic::resume_unwind(payload);
    }
}

/// Panics without the hook, which would print for each.
pub(crate) fn quiet_panic(payload: impl Send + 'static) -> ! {
    std::panic::resume_unwind(Box::new(payload))
}
