//! Attacks on services and maps: hands that are robbed, batches that are left, ends within ends.

use crate::{quiet_panic, within};
use fanpool::{FanOut, Pool, Workers};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Barrier, Mutex, mpsc};

/// A value whose `Drop` panics, whatever else goes on.
struct Stubborn;

impl Drop for Stubborn {
    fn drop(&mut self) {
        quiet_panic("dropped");
    }
}

/// Tells on which thread it was dropped.
struct Telltale(mpsc::Sender<String>);

impl Drop for Telltale {
    fn drop(&mut self) {
        let name = std::thread::current().name().unwrap_or_default().to_owned();
        let _ = self.0.send(name);
    }
}

#[test]
fn outcomes_that_nobody_wants_are_not_dropped_by_the_timer() {
    within(|| {
        for _ in 0..20 {
            let pool = Arc::new(Pool::builder().workers(Workers::Fixed(1)).name("told").build().unwrap());
            let (told, tells) = mpsc::channel();
            let (open, gate) = mpsc::channel::<()>();
            let gate = Mutex::new(gate);
            let held = Arc::new(Mutex::new(None));
            let mine = held.clone();
            let last = 4000;
            let work = move |n: u64| {
                if n == last {
                    // What is in this thread's hand is wanted by nobody from here on.
                    drop(mine.lock().unwrap().take());
                    let _ = gate.lock().unwrap().recv();
                }
                Ok::<_, ()>(Telltale(told.clone()))
            };
            let (input, output) = FanOut::builder(work).pool(pool.clone()).window(8192).start().unwrap();
            let control = output.control();
            *held.lock().unwrap() = Some(output);
            (0..=last).for_each(|n| drop(input.send(n)));
            while control.counts().finished < last {
                std::thread::yield_now();
            }
            drop(open);
            assert_eq!(control.wait().unwrap().finished, last + 1);
            drop((input, control, held));
            drop(pool);
            let timers = tells.iter().filter(|name| name.ends_with("-timer")).count();
            assert_eq!(timers, 0);
        }
    });
}

#[test]
fn a_feeder_that_a_handler_joins_is_not_waited_for() {
    within(|| {
        let (sender, receiver) = crossbeam_channel::unbounded();
        (0..3).for_each(|n| sender.send(n).unwrap());
        let held = Arc::new(Mutex::new(None));
        let mine = held.clone();
        let (put, is_put) = mpsc::channel::<()>();
        let is_put = Mutex::new(is_put);
        let work = move |n: u64| {
            let _ = is_put.lock().unwrap().recv();
            let feeder: Option<fanpool::Feeder<u64>> = mine.lock().unwrap().take();
            if let Some(feeder) = feeder {
                // It waits for the room that this item's outcome makes.
                assert!(feeder.join().is_ok());
            }
            Ok::<_, ()>(n)
        };
        let (feeder, output) = FanOut::builder(work).workers(1).window(1).start_from(receiver).unwrap();
        *held.lock().unwrap() = Some(feeder);
        drop((put, sender));
        assert_eq!(output.results().flatten().count(), 3);
    });
}

#[test]
fn states_of_a_map_whose_drops_all_panic_do_not_abort() {
    within(|| {
        let pool = Pool::builder().workers(Workers::Fixed(3)).build().unwrap();
        let barrier = Barrier::new(3);
        let map = pool.map_init(
            0..3,
            || Stubborn,
            |_, n| {
                barrier.wait();
                n
            },
        );
        assert_eq!(map.batch(1).collect::<Vec<_>>(), [0, 1, 2]);
    });
}

#[test]
fn a_state_of_a_map_whose_drop_panics_as_its_item_has() {
    within(|| {
        let pool = Pool::builder().workers(Workers::Fixed(1)).build().unwrap();
        for at in [0, 10, 100_000, 1_000_000] {
            let work = |_: &mut Stubborn, n: u64| if n == at { quiet_panic("item") } else { n };
            let map = pool.map_init(0..2_000_000_u64, || Stubborn, work);
            let caught = catch_unwind(AssertUnwindSafe(|| map.count()));
            assert_eq!(caught.unwrap_err().downcast_ref(), Some(&"item"));
        }
        assert_eq!(pool.map(0..3, |n| n).count(), 3);
    });
}
