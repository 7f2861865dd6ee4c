use super::*;

const LOOK: Duration = Duration::from_millis(10);

/// A pool whose tasks end at a rate that follows from its size.
struct Plant {
    climb: Climb,
    rate: Box<dyn Fn(usize) -> f64>,
    now: Instant,
    ended: f64,
    size: usize,
    max: usize,
    changes: usize,
}

impl Plant {
    fn new(size: usize, max: usize, rate: impl Fn(usize) -> f64 + 'static) -> Plant {
        let climb = Climb::new(1, 10 * LOOK);
        Plant { climb, rate: Box::new(rate), now: Instant::now(), ended: 0.0, size, max, changes: 0 }
    }

    fn look(&mut self, starved: bool) {
        self.now += LOOK;
        self.ended += (self.rate)(self.size) * LOOK.as_secs_f64();
        let sight = Sight {
            now: self.now,
            waited: starved.then_some(LOOK),
            needed: false,
            paused: false,
            workers: self.size,
            was_idle: !starved,
            always_idle: usize::from(!starved),
            ended: self.ended as usize,
        };
        let before = self.size;
        match self.climb.look(&sight, starved, self.max) {
            Order::Stay => {}
            Order::Start(more) => self.size += more,
            Order::Reduce(fewer) | Order::Retire(fewer) => self.size -= fewer,
        }
        self.changes += usize::from(self.size != before);
        assert!((1..=self.max).contains(&self.size), "{}", self.size);
    }

    fn intervals(&mut self, intervals: usize) {
        (0..10 * intervals).for_each(|_| self.look(true));
    }
}

/// The smallest size with which nearly all that can be had is had.
fn is_near(size: usize, best: usize) -> bool {
    // One more or fewer is the best that whole workers can do.
    size.abs_diff(best) <= (best as f64 * 0.2).max(1.0) as usize
}

/// Each task takes so many milliseconds of a core.
fn cpu_bound(cores: usize, task: f64) -> impl Fn(usize) -> f64 {
    move |size| size.min(cores) as f64 * 1000.0 / task
}

/// Each task waits for something that serves so many at a time and suffers when more come.
fn with_a_knee(knee: usize, task: f64, cost: f64) -> impl Fn(usize) -> f64 {
    move |size| {
        let over = size.saturating_sub(knee) as f64;
        size.min(knee) as f64 * 1000.0 / task / (1.0 + cost * over)
    }
}

#[test]
fn the_search_finds_the_cores() {
    for cores in 1..=24 {
        let mut plant = Plant::new(1, 64, cpu_bound(cores, 1.0));
        plant.intervals(12);
        assert!(is_near(plant.size, cores), "{} workers on {cores} cores", plant.size);
    }
}

#[test]
fn the_search_comes_down_to_the_cores() {
    for cores in 4..=32 {
        let mut plant = Plant::new(64, 64, cpu_bound(cores, 1.0));
        plant.intervals(12);
        assert!(is_near(plant.size, cores), "{} workers on {cores} cores", plant.size);
    }
}

#[test]
fn the_search_finds_the_knee() {
    for knee in [2, 5, 7, 10, 16, 22, 30] {
        for cost in [0.0, 0.02, 0.2] {
            let mut plant = Plant::new(1, 64, with_a_knee(knee, 5.0, cost));
            plant.intervals(12);
            assert!(is_near(plant.size, knee), "{} workers, knee {knee}, cost {cost}", plant.size);
        }
    }
}

#[test]
fn steady_load_is_no_reason_to_change() {
    for task in [0.1, 1.0, 20.0, 50.0, 300.0] {
        let mut plant = Plant::new(1, 64, cpu_bound(8, task));
        plant.intervals(200);
        let (size, changes) = (plant.size, plant.changes);
        (0..1000).for_each(|_| plant.look(true));
        assert_eq!((plant.size, plant.changes), (size, changes), "tasks of {task} ms");
        assert!(is_near(size, 8), "{size} workers, tasks of {task} ms");
    }
}

#[test]
fn chance_is_no_reason_to_change() {
    for seed in 1..=20_u32 {
        // Up to a quarter more or fewer end in each look.
        let state = std::cell::Cell::new(seed);
        let plant = cpu_bound(8, 1.0);
        let mut plant = Plant::new(1, 64, move |size| {
            state.set(state.get().wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
            plant(size) * (0.75 + f64::from(state.get() >> 8) / f64::from(1 << 25))
        });
        plant.intervals(50);
        let changes = plant.changes;
        (0..1000).for_each(|_| plant.look(true));
        assert_eq!(plant.changes, changes, "seed {seed}");
    }
}

#[test]
fn another_load_begins_another_search() {
    let mut plant = Plant::new(1, 64, cpu_bound(4, 1.0));
    plant.intervals(20);
    assert!(is_near(plant.size, 4), "{}", plant.size);
    // Ten times as much to be had.
    plant.rate = Box::new(with_a_knee(40, 10.0, 0.05));
    plant.intervals(20);
    assert!(is_near(plant.size, 40), "{}", plant.size);
    (0..1000).for_each(|_| plant.look(false));
    plant.rate = Box::new(cpu_bound(4, 1.0));
    plant.intervals(20);
    assert!(is_near(plant.size, 4), "{}", plant.size);
}

#[test]
fn tasks_that_wait_for_others_get_more_workers() {
    let mut plant = Plant::new(1, 16, |size| if size < 12 { 0.0 } else { 1000.0 });
    plant.intervals(200);
    assert!(plant.size >= 12, "{}", plant.size);
}

#[test]
fn all_workers_that_may_be_are_not_too_many() {
    let mut plant = Plant::new(1, 1, cpu_bound(8, 1.0));
    plant.intervals(100);
    assert_eq!((plant.size, plant.changes), (1, 0));
    let mut plant = Plant::new(1, 8, |size| size as f64 * 1000.0);
    plant.intervals(100);
    assert_eq!(plant.size, 8);
}
