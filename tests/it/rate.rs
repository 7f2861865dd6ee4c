//! How often a rate limit gives permits, and to whom.

use crate::{until_put_off, within};
use fanpool::testing::ManualClock;
use fanpool::{BuildError, FanOut, RateLimit, RateLimitBuilder, RateLimited, RateLimits};
use std::error::Error;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::thread;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const NANO: Duration = Duration::from_nanos(1);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// How many permits there are at once.
fn ready(limit: &RateLimit, at_most: usize) -> usize {
    (0..=at_most).take_while(|_| limit.try_acquire().is_ok()).count()
}

fn wait(limit: &RateLimit) -> Duration {
    limit.try_acquire().unwrap_err().retry_after
}

#[test]
fn a1_options_out_of_range_are_refused_with_their_value() {
    let most = u32::MAX as usize;
    // With the largest value that is allowed.
    let counts = [
        ("permits", 0, most, RateLimit::builder(0, 5 * SECOND)),
        ("permits", 0, 1, RateLimit::builder(0, NANO)),
        ("burst", 0, most, RateLimit::builder(1, SECOND).burst(0)),
    ];
    for (name, given, last, builder) in counts {
        let refused = [builder.clone().build().err(), builder.build_keyed(1).err()];
        for error in refused {
            match error {
                Some(BuildError::OutOfRange { option, value, allowed }) => {
                    assert_eq!((option, value, allowed), (name, given, 1..=last));
                }
                other => panic!("{name} {given}: {other:?}"),
            }
        }
    }
    let timeless = RateLimit::builder(1, Duration::ZERO);
    for error in [timeless.clone().build().unwrap_err(), timeless.build_keyed(1).unwrap_err()] {
        assert_eq!(error.to_string(), "per is 0; allowed is more than 0 seconds");
        assert!(matches!(error, BuildError::NotInRange { option: "per", .. }));
    }
    let family = RateLimit::builder(1, SECOND).build_keyed(0).unwrap_err();
    assert_eq!(family.to_string(), "max is 0; allowed is 1 and more");
}

#[test]
fn a2_more_than_a_permit_in_a_nanosecond_is_refused_and_no_size_is_reserved() {
    for (permits, per, most) in [(2, NANO, 1), (u32::MAX, SECOND, 1_000_000_000), (11, 10 * NANO, 10)] {
        match RateLimit::builder(permits, per).build().unwrap_err() {
            BuildError::OutOfRange { option: "permits", value, allowed } => {
                assert_eq!((value, allowed), (permits as usize, 1..=most));
            }
            other => panic!("{other}"),
        }
        assert!(RateLimit::builder(most as u32, per).build().is_ok());
    }
    assert!(RateLimit::builder(u32::MAX, 5 * SECOND).burst(u32::MAX).build().is_ok());
    assert!(RateLimit::builder(1, Duration::MAX).burst(u32::MAX).build().is_ok());
    let family = RateLimit::builder(1, SECOND).build_keyed(usize::MAX).unwrap();
    assert!(family.is_empty());
    assert!(family.get(u64::MAX).try_acquire().is_ok());
    assert_eq!(family.len(), 1);
}

#[test]
fn g1_a_clock_that_stands_still_gives_a_burst_and_no_more() {
    let clock = ManualClock::new();
    let limit = RateLimit::builder(7, SECOND).burst(5).clock(&clock).build().unwrap();
    assert_eq!(ready(&limit, 1000), 5);
    // Those who are refused do not push the next permit away.
    let first = wait(&limit);
    (0..1000).for_each(|_| assert_eq!(wait(&limit), first));
    clock.advance(Duration::ZERO);
    assert_eq!(wait(&limit), first);
}

#[test]
fn g1_a_year_at_once_gives_a_burst_and_no_more() {
    let clock = ManualClock::new();
    let limit = RateLimit::builder(1000, SECOND).burst(3).clock(&clock).build().unwrap();
    for _ in 0..3 {
        assert_eq!(ready(&limit, 1000), 3);
        assert_eq!(wait(&limit), SECOND / 1000);
        clock.advance(YEAR);
    }
    // Nor where it jumps in the middle of an interval.
    assert_eq!(ready(&limit, 1000), 3);
    clock.advance(SECOND / 2000);
    assert_eq!(wait(&limit), SECOND / 2000);
    clock.advance(YEAR);
    assert_eq!(ready(&limit, 1000), 3);
}

#[test]
fn g1_times_that_no_clock_can_count_give_a_burst_and_no_more() {
    for (permits, burst) in [(1, 1), (1, 2), (1, 3), (3, 40), (u32::MAX, 40)] {
        let clock = ManualClock::new();
        let limit = RateLimit::builder(permits, Duration::MAX).burst(burst).clock(&clock).build().unwrap();
        assert_eq!(ready(&limit, 1000), burst as usize, "{permits} in all time");
        assert!(wait(&limit) > YEAR);
        clock.advance(YEAR);
        assert!(limit.try_acquire().is_err(), "{permits} in all time, a year later");
    }
    // Nor do bursts that are longer than all time before now.
    let clock = ManualClock::new();
    let limit = RateLimit::builder(1, YEAR).burst(u32::MAX).clock(&clock).build().unwrap();
    assert_eq!(ready(&limit, 1000), 1001);
    // Where all time ends, it stands still.
    clock.advance(Duration::MAX);
    let limit = RateLimit::builder(1, SECOND).burst(2).clock(&clock).build().unwrap();
    assert_eq!(ready(&limit, 1000), 2);
    assert_eq!(wait(&limit), SECOND);
}

#[test]
fn intervals_that_are_no_whole_number_of_nanoseconds_are_rounded_up() {
    let clock = ManualClock::new();
    let limit = RateLimit::builder(3, SECOND).clock(&clock).build().unwrap();
    let interval = Duration::from_nanos(333_333_334);
    for _ in 0..3 {
        assert!(limit.try_acquire().is_ok());
        assert_eq!(wait(&limit), interval);
        clock.advance(interval - NANO);
        assert_eq!(wait(&limit), NANO);
        clock.advance(NANO);
    }
}

#[test]
fn clones_are_one_limit_and_built_twice_are_two() {
    let clock = ManualClock::new();
    let builder: RateLimitBuilder = RateLimit::builder(1, SECOND).burst(2).clock(&clock);
    let (one, other) = (builder.clone().build().unwrap(), builder.build().unwrap());
    let clone = one.clone();
    assert!(one.try_acquire().is_ok() && clone.try_acquire().is_ok());
    assert!(one.try_acquire().is_err() && clone.try_acquire().is_err());
    assert_eq!(ready(&other, 1000), 2);
}

#[test]
fn what_is_refused_says_when_to_come_back() {
    let limit = RateLimit::builder(2, 3 * SECOND).clock(ManualClock::new()).build().unwrap();
    limit.acquire();
    let refused: RateLimited = limit.try_acquire().unwrap_err();
    assert_eq!(refused.to_string(), "more than the rate allows; try again in 1.5s");
    assert!(refused.source().is_none());
}

/// The thread that waits has its permit, which those who ask next can tell. Then the clock is moved, perhaps before it
/// sleeps.
#[test]
fn a_thread_waits_for_its_permit_and_not_longer() {
    within(|| {
        let clock = ManualClock::new();
        let limit = RateLimit::builder(1, SECOND).clock(&clock).build().unwrap();
        let (go, turns) = mpsc::channel::<()>();
        let (done, ends) = mpsc::channel();
        thread::scope(|s| {
            let (clock, limit) = (&clock, &limit);
            s.spawn(move || {
                for () in turns {
                    limit.acquire();
                    done.send(clock.now()).unwrap();
                }
            });
            for _ in 0..5000 {
                assert!(limit.try_acquire().is_ok());
                let begun = clock.now();
                go.send(()).unwrap();
                while wait(limit) != 2 * SECOND {
                    thread::yield_now();
                }
                clock.advance(SECOND - NANO);
                assert!(ends.try_recv().is_err(), "too early");
                clock.advance(NANO);
                assert_eq!(ends.recv().unwrap(), begun + SECOND);
                clock.advance(SECOND);
            }
            drop(go);
        });
    });
}

#[test]
fn threads_that_wait_get_one_permit_each_and_one_after_the_other() {
    within(|| {
        let clock = ManualClock::new();
        let limit = RateLimit::builder(1, SECOND).burst(2).clock(&clock).build().unwrap();
        assert_eq!(ready(&limit, 1000), 2);
        let (done, ends) = mpsc::channel();
        thread::scope(|s| {
            for _ in 0..6 {
                let (limit, done) = (&limit, done.clone());
                s.spawn(move || {
                    limit.acquire();
                    done.send(()).unwrap();
                });
            }
            while wait(&limit) != 7 * SECOND {
                thread::yield_now();
            }
            for _ in 0..6 {
                assert!(ends.try_recv().is_err());
                clock.advance(SECOND - NANO);
                assert!(ends.try_recv().is_err());
                clock.advance(NANO);
                ends.recv().unwrap();
            }
            assert_eq!(wait(&limit), SECOND);
        });
        clock.advance(SECOND);
        assert!(limit.try_acquire().is_ok());
    });
}

#[test]
fn a_permit_that_is_there_is_not_waited_for() {
    let limit = RateLimit::builder(1, YEAR).burst(1000).clock(ManualClock::new()).build().unwrap();
    within(move || (0..1000).for_each(|_| limit.acquire()));
}

#[test]
fn eight_threads_get_a_burst_together_and_no_more() {
    for (burst, keyed) in [(1, false), (7, true), (1000, false), (1000, true)] {
        let clock = ManualClock::new();
        let builder = RateLimit::builder(1, SECOND).burst(burst).clock(&clock);
        let family = builder.clone().build_keyed(1).unwrap();
        let alone = builder.build().unwrap();
        let start = Barrier::new(8);
        let got: usize = thread::scope(|s| {
            let ask = || {
                start.wait();
                (0..500)
                    .filter(|_| if keyed { family.get(0).try_acquire() } else { alone.try_acquire() }.is_ok())
                    .count()
            };
            let threads: Vec<_> = (0..8).map(|_| s.spawn(ask)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(got, burst as usize);
    }
}

fn family(clock: &ManualClock, max: usize) -> RateLimits {
    RateLimit::builder(1, SECOND).clock(clock).build_keyed(max).unwrap()
}

#[test]
fn keys_are_limited_alone_and_all_who_ask_share_them() {
    let clock = ManualClock::new();
    let family = family(&clock, 10);
    assert!(family.is_empty());
    let held = family.get(7);
    assert!(family.clone().get(7).try_acquire().is_ok());
    assert!(held.try_acquire().is_err());
    assert!(family.get(8).try_acquire().is_ok());
    // Keys that are no numbers are as equal as their hashes.
    assert!(family.of("a").try_acquire().is_ok());
    assert!(family.of(&String::from("a")).try_acquire().is_err());
    assert!(family.of(&("a", 1)).try_acquire().is_ok());
    assert_eq!(family.len(), 4);
}

#[test]
fn keys_with_all_their_permits_are_forgotten_first() {
    let clock = ManualClock::new();
    let family = family(&clock, 3);
    let is_used = |key| family.get(key).try_acquire().is_err();
    assert!(family.get(0).try_acquire().is_ok());
    drop(family.get(1));
    assert!(family.get(2).try_acquire().is_ok());
    // 1 makes room, although 0 was asked for before it: of 1 nothing is lost.
    assert!(family.get(3).try_acquire().is_ok());
    assert_eq!(family.len(), 3);
    assert!(is_used(0) && is_used(2) && is_used(3));
    // All are used; 0 was not asked for for the longest time.
    assert!(family.get(4).try_acquire().is_ok());
    assert!(is_used(2) && is_used(3) && is_used(4));
    assert!(!is_used(0));
    // Of those whose permit came back, each is as good as a new one.
    clock.advance(SECOND);
    (10..100).for_each(|key| assert!(family.get(key).try_acquire().is_ok()));
    assert_eq!(family.len(), 3);
}

#[test]
fn a_family_that_is_full_forgets_an_eighth() {
    let clock = ManualClock::new();
    let family = family(&clock, 80);
    (0..80).for_each(|key| drop(family.get(key)));
    assert_eq!(family.len(), 80);
    drop(family.get(80));
    assert_eq!(family.len(), 71);
    (10..81).for_each(|key| drop(family.get(key)));
    assert_eq!(family.len(), 71);
}

#[test]
fn ten_thousand_keys_take_no_more_room_than_allowed() {
    let family = family(&ManualClock::new(), 100);
    for key in 0..10_000 {
        let limit = family.get(key);
        assert!(key % 2 == 0 || limit.try_acquire().is_ok());
        assert!(family.len() <= 100);
    }
    // The newest are those that are left.
    assert!(family.get(9999).try_acquire().is_err());
    assert!(family.get(9997).try_acquire().is_err());
}

#[test]
fn a_limit_of_a_forgotten_key_still_limits_those_who_hold_it() {
    let clock = ManualClock::new();
    let family = family(&clock, 1);
    let held = family.get(0);
    assert!(held.try_acquire().is_ok());
    drop(family.get(1));
    assert!(held.try_acquire().is_err());
    clock.advance(SECOND);
    assert!(held.try_acquire().is_ok());
}

#[test]
fn threads_that_ask_for_many_keys_find_one_limit_each() {
    let clock = ManualClock::new();
    let family = family(&clock, 64);
    let (start, twice) = (Barrier::new(8), AtomicBool::new(false));
    let got: usize = thread::scope(|s| {
        let ask = || {
            start.wait();
            let own = (0..64).filter(|key| family.get(*key).try_acquire().is_ok()).count();
            twice.fetch_or(family.get(0).try_acquire().is_ok(), Ordering::Relaxed);
            own
        };
        let threads: Vec<_> = (0..8).map(|_| s.spawn(ask)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!((got, family.len(), twice.into_inner()), (64, 64, false));
}

/// Items wait for their turns when the clock jumps: the turns of that time are over for all of them.
#[test]
fn g1_a_clock_that_jumps_lets_no_more_begin_than_the_rate_allows() {
    within(|| {
        let clock = ManualClock::new();
        let begun = Arc::new(AtomicUsize::new(0));
        let counter = begun.clone();
        let work = move |_: u64| {
            counter.fetch_add(1, Ordering::Relaxed);
            Ok::<_, ()>(())
        };
        let limit = RateLimit::builder(10, SECOND).burst(3).clock(&clock).build().unwrap();
        let (input, mut output) = FanOut::builder(work).workers(2).rate(limit).clock(&clock).start().unwrap();
        let control = input.control();
        (0..20).for_each(|n| _ = input.send(n).unwrap());
        until_put_off(&control, 17);
        clock.advance(365 * 24 * 3600 * SECOND);
        (0..6).for_each(|_| _ = output.recv().unwrap());
        until_put_off(&control, 14);
        assert_eq!(begun.load(Ordering::Relaxed), 6);
        // The others have turns of the new time.
        for left in (0..14).rev() {
            clock.advance(SECOND / 10);
            assert!(output.recv().unwrap().result.is_ok());
            until_put_off(&control, left);
        }
    });
}
