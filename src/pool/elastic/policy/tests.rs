use super::*;

const WAIT: Duration = Duration::from_millis(10);
const KEEP: Duration = Duration::from_secs(10);

/// A policy with a clock, and a pool that does at once what is ordered.
struct Pool {
    policy: Policy,
    now: Instant,
    workers: usize,
    starts: usize,
    leaves: usize,
    next: Option<Instant>,
    /// Somebody is idle now and then.
    flickers: bool,
}

impl Pool {
    fn new(min: usize, max: usize) -> Pool {
        let options = Elastic::new(min, max).target_wait(WAIT).keep_alive(KEEP);
        let (policy, now) = (Policy::new(options), Instant::now());
        Pool { policy, now, workers: min, starts: 0, leaves: 0, next: None, flickers: false }
    }

    /// A look `after` some time at a pool where tickets wait for so long and so many workers are idle.
    fn look(&mut self, after: Duration, waited: Option<Duration>, idle: usize) -> Order {
        self.now += after;
        let sight = Sight {
            now: self.now,
            waited,
            needed: waited.is_some() && self.workers == 0,
            paused: false,
            workers: self.workers,
            was_idle: idle > 0 || self.flickers,
            always_idle: idle,
            ended: 0,
        };
        let verdict = self.policy.look(&sight);
        assert!(verdict.next.is_none_or(|next| next > self.now), "a look at once is a loop");
        self.next = verdict.next;
        match verdict.order {
            Order::Stay => {}
            Order::Start(more) => (self.workers, self.starts) = (self.workers + more, self.starts + more),
            Order::Retire(fewer) | Order::Reduce(fewer) => {
                (self.workers, self.leaves) = (self.workers - fewer, self.leaves + fewer);
            }
        }
        verdict.order
    }
}

#[test]
fn what_is_seen_and_what_is_ordered() {
    // Workers, how long a task has waited, how many are idle, and the order of the second of two such looks.
    for (workers, waited, idle, order) in [
        (2, None, 0, Order::Stay),
        (2, None, 2, Order::Stay),
        (2, Some(0), 0, Order::Stay),
        (2, Some(50), 0, Order::Start(1)),
        (2, Some(50), 1, Order::Stay),
        (4, Some(50), 0, Order::Stay),
        (0, Some(0), 0, Order::Start(1)),
        (0, None, 0, Order::Start(1)),
    ] {
        let (mut pool, mut last) = (Pool::new(1, 4), Order::Stay);
        for _ in 0..2 {
            pool.workers = workers;
            last = pool.look(WAIT, waited.map(Duration::from_millis), idle);
        }
        assert_eq!(last, order, "{workers} {waited:?} {idle}");
    }
}

#[test]
fn a_step_of_load_up_and_down_is_followed() {
    let mut pool = Pool::new(1, 10);
    for _ in 0..1000 {
        pool.look(WAIT, None, 1);
    }
    assert_eq!((pool.workers, pool.starts), (1, 0));
    for look in 1..=1000 {
        pool.look(WAIT, Some(WAIT), 0);
        assert!(pool.starts <= look, "one at a time");
    }
    assert_eq!((pool.workers, pool.starts, pool.leaves), (10, 9, 0), "to the maximum, and no further");
    // All were idle, and have been for less than the time that they are kept for; then for as long.
    let idle_since = pool.now;
    while pool.workers > 1 {
        let (workers, next) = (pool.workers, pool.next.unwrap());
        pool.look(next - pool.now, None, workers);
        assert!(pool.now < idle_since + 4 * KEEP, "never comes back");
    }
    assert_eq!(pool.leaves, 9);
    pool.look(KEEP, None, 1);
    assert_eq!(pool.next, None, "nothing to look at");
}

#[test]
fn h2_a_load_that_flips_every_few_milliseconds_starts_few() {
    let mut pool = Pool::new(1, 100);
    for look in 0..10_000 {
        // Tickets wait in every other look, and somebody was idle in between.
        let waits = look % 2 == 0;
        pool.look(WAIT, waits.then_some(Duration::from_millis(3)), usize::from(!waits));
    }
    assert_eq!((pool.starts, pool.leaves), (0, 0));
}

#[test]
fn a_steady_load_is_no_reason_to_start_and_to_stop() {
    let mut pool = Pool::new(1, 10);
    (pool.workers, pool.flickers) = (6, true);
    // Five have something to do nearly all of the time.
    for _ in 0..100_000 {
        pool.look(WAIT, Some(Duration::from_millis(1)), pool.workers - 5);
    }
    assert_eq!((pool.starts, pool.leaves, pool.workers), (0, 1, 5), "the sixth leaves once");
}

#[test]
fn refused_threads_are_asked_for_ever_more_rarely() {
    let mut policy = Policy::new(Elastic::new(0, 4));
    let mut now = Instant::now();
    let mut pauses = Vec::new();
    for _ in 0..100 {
        assert!(policy.may_start(now));
        let pause = policy.refused(now);
        assert!(!policy.may_start(now + pause - Duration::from_nanos(1)));
        now += pause;
        pauses.push(pause.as_millis());
    }
    assert_eq!(pauses[..8], [100, 200, 400, 800, 1600, 3200, 6400, 10_000]);
    assert!(pauses[8..].iter().all(|pause| *pause == 10_000));
    policy.started();
    assert_eq!(policy.refused(now), FIRST_RETRY);
}

#[test]
fn a_refused_thread_is_not_forgotten_by_an_earlier_look() {
    // Below the minimum without a ticket, and with one whose next look is in an hour.
    for (wait, waited) in [(WAIT, None), (Duration::from_secs(3600), Some(Duration::ZERO))] {
        let mut policy = Policy::new(Elastic::new(1, 4).target_wait(wait).keep_alive(wait));
        let now = Instant::now();
        let until = now + policy.refused(now);
        let sight = Sight {
            now,
            waited,
            needed: waited.is_some(),
            paused: false,
            workers: 0,
            was_idle: false,
            always_idle: 0,
            ended: 0,
        };
        let verdict = policy.look(&sight);
        assert_eq!((verdict.order, verdict.next), (Order::Stay, Some(until)));
        let verdict = policy.look(&Sight { now: until, ..sight });
        assert_eq!(verdict.order, Order::Start(1));
    }
}

#[test]
fn a2_huge_times_are_no_overflow() {
    let mut policy = Policy::new(Elastic::new(1, 4).keep_alive(Duration::MAX));
    let end = later(Instant::now(), Duration::MAX);
    for (now, waited) in [(Instant::now(), None), (end, None), (end, Some(Duration::MAX))] {
        let sight =
            Sight { now, waited, needed: false, paused: false, workers: 4, was_idle: true, always_idle: 4, ended: 0 };
        assert_eq!(policy.look(&sight).next, None);
        let _ = policy.refused(now);
    }
}
