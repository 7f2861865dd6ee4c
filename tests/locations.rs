//! Where panics were raised. The hook is the process's, so this is a process of its own.

use fanpool::{FanOut, JoinError, OnError, Pool, TaskError, TaskPanicked, Workers};
use std::sync::atomic::{AtomicUsize, Ordering};

static HOOKED: AtomicUsize = AtomicUsize::new(0);

fn joined(pool: &Pool, task: impl FnOnce() + Send + 'static) -> TaskPanicked {
    match pool.submit(task).join() {
        Err(JoinError::Panicked(panicked)) => panicked,
        other => panic!("{other:?}"),
    }
}

#[test]
fn b1_a_panic_tells_where_it_was_raised() {
    std::panic::set_hook(Box::new(|info| {
        HOOKED.fetch_add(1, Ordering::Relaxed);
        eprintln!("{info}");
    }));
    let pool = Pool::builder().workers(Workers::Fixed(1)).build().unwrap();
    assert_eq!(joined(&pool, || panic!("before")).location(), None);
    assert_eq!(HOOKED.swap(0, Ordering::Relaxed), 1);
    fanpool::capture_panic_locations();
    fanpool::capture_panic_locations();

    let at = |line: u32| format!("{}:{line}:", file!());
    let (text, line) = (joined(&pool, || panic!("text")), line!());
    let place = text.location().unwrap();
    assert!(place.starts_with(&at(line)) && place.len() > at(line).len(), "{place}");
    assert_eq!(text.to_string(), format!("the task panicked at {place}: text"));
    let n = 7;
    assert!(joined(&pool, move || panic!("number {n}")).location().is_some());
    assert!(joined(&pool, || std::panic::panic_any(7)).location().is_some());
    // The hook that was there before is called, once for each.
    assert_eq!(HOOKED.load(Ordering::Relaxed), 3);

    // What was thrown without the hook has no place, least of all that of a panic before.
    assert_eq!(joined(&pool, || std::panic::resume_unwind(Box::new("text"))).location(), None);
    let caught = joined(&pool, || {
        let _ = std::panic::catch_unwind(|| panic!("one"));
        std::panic::resume_unwind(Box::new("other"));
    });
    assert_eq!(caught.location(), None);
    // A payload that is thrown on keeps its own.
    let line = line!() + 1;
    let first = || std::panic::catch_unwind(|| panic!("on")).unwrap_err();
    let thrown_on = joined(&pool, move || std::panic::resume_unwind(first()));
    assert!(thrown_on.location().unwrap().starts_with(&at(line)));

    let errors = pool.try_scope::<(), _, _>(OnError::CollectAll, |s| s.spawn(|| panic!("task"))).unwrap_err();
    let Some((0, TaskError::Panicked(panicked))) = errors.first() else { panic!("{errors:?}") };
    assert!(panicked.location().is_some());
    let (input, mut output) = FanOut::builder(|_: u8| -> Result<(), ()> { panic!("item") }).start().unwrap();
    input.send(1).unwrap();
    let Err(TaskError::Panicked(panicked)) = output.recv().unwrap().result else { panic!("it panics") };
    assert!(panicked.location().is_some());
}
