//! Starting workers that are needed and letting go of those that are not; the page above says why no ticket is left.

use super::Elastic;
use super::policy::{Order, Policy, Sight};
use crate::group::TaskGroup;
use crate::pool::shared::Shared;
use crate::pool::station::Station;
use crate::pool::timer::{Alarm, Timer};
use crate::resilience::{Clock, Sleeper};
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::estimate::{self, AtomicUsize};
use crate::sync::{Arc, CachePadded, Mutex, OnceLock, Weak, broken};
use std::io;
use std::time::{Duration, Instant};

/// What an elastic pool has besides workers.
pub(in crate::pool) struct Staff {
    pub(in crate::pool) options: Elastic,
    pub(in crate::pool) clock: Clock,
    pool: Weak<Shared>,
    timer: OnceLock<Weak<Timer>>,
    policy: Mutex<Policy>,
    idle: CachePadded<Idle>,
    refusals: Mutex<Refusals>,
    /// The alarm could not be set when it last had to be.
    deaf: AtomicBool,
}

/// Estimates, for the policy.
#[derive(Debug, Default)]
struct Idle {
    now: AtomicUsize,
    /// The fewest since the policy forgot.
    fewest: AtomicUsize,
    /// 1 if there was one since the last look.
    any: AtomicUsize,
}

/// Threads that were asked for and did not come.
#[derive(Debug, Default, Clone)]
pub(in crate::pool) struct Refusals {
    pub(in crate::pool) count: usize,
    /// The last one, unless a thread was started since.
    pub(in crate::pool) last: Option<Arc<str>>,
}

/// When a worker is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum If {
    /// A ticket waits and nobody is ready.
    Lacking,
    /// A ticket waits and nobody is idle.
    Waiting,
    /// The policy says so.
    Ordered,
}

impl Staff {
    pub(in crate::pool) fn new(options: Elastic, clock: Clock, pool: Weak<Shared>) -> Staff {
        Staff {
            options,
            clock,
            pool,
            timer: OnceLock::new(),
            policy: Mutex::new(Policy::new(options)),
            idle: CachePadded::default(),
            refusals: Mutex::new(Refusals::default()),
            deaf: AtomicBool::new(false),
        }
    }

    pub(in crate::pool) fn set_timer(&self, timer: &Arc<Timer>) {
        let _ = self.timer.set(Arc::downgrade(timer));
    }

    pub(in crate::pool) fn refusals(&self) -> Refusals {
        self.refusals.lock().clone()
    }

    /// A worker is about to block.
    pub(in crate::pool) fn rest(&self) {
        self.idle.now.fetch_add(1, Ordering::Relaxed);
        self.idle.any.store(1, Ordering::Relaxed);
    }

    /// It has something to do again.
    pub(in crate::pool) fn stir(&self) {
        let left = self.idle.now.fetch_sub(1, Ordering::Relaxed).saturating_sub(1);
        self.idle.fewest.fetch_min(left, estimate::Ordering::Relaxed);
    }

    /// A ticket was posted.
    pub(in crate::pool) fn posted(&self, ticket: &TaskGroup, lacking: bool, unwatched: bool) {
        if lacking && !broken!("push_hires_nobody") {
            self.hire(If::Lacking);
        }
        if unwatched {
            // What waits is timed from now on.
            ticket.waited(self.clock.now());
            self.idle.any.store(0, Ordering::Relaxed);
            self.watch();
        }
    }

    /// A worker may have become unavailable: starts another if nobody else will come for the tickets.
    pub(in crate::pool) fn replace(&self) {
        self.hire(If::Lacking);
    }

    /// The size was set.
    pub(in crate::pool) fn resized(&self, pool: &Shared) {
        self.replace();
        if pool.lanes.watch() {
            self.watch();
        }
    }

    /// A worker is going to block in its task.
    pub(in crate::pool) fn compensate(&self) {
        self.hire(If::Waiting);
    }

    /// Has the alarm set; somebody has marked the lanes as watched.
    fn watch(&self) {
        let Some(pool) = self.pool.upgrade() else { return };
        if !self.set_alarm(self.options.target_wait) {
            pool.lanes.unwatch();
        }
    }

    /// Has the alarm called after that time. If it cannot be, whoever comes next with a task tries again.
    fn set_alarm(&self, after: Duration) -> bool {
        let set = self.try_set_alarm(after);
        self.deaf.store(!set && !broken!("deaf_stays_deaf"), Ordering::Relaxed);
        set
    }

    fn try_set_alarm(&self, after: Duration) -> bool {
        let sleeper: Weak<dyn Sleeper> = self.pool.clone();
        // A time that the clock does not reach never comes.
        while let Some(at) = self.clock.now().checked_add(after) {
            match self.clock.call_at(at, &sleeper) {
                Some(true) => return true,
                // The clock was moved past it meanwhile.
                Some(false) if !broken!("alarm_passed_is_lost") => {}
                Some(false) => return false,
                None => {
                    let alarm: Weak<dyn Alarm> = self.pool.clone();
                    return self.timer.get().and_then(Weak::upgrade).is_some_and(|timer| timer.set(at, &alarm));
                }
            }
        }
        false
    }

    /// Does again what could not be done because threads were refused, that of the alarm too: nobody else will.
    pub(in crate::pool) fn nudge(&self) {
        if !self.deaf.load(Ordering::Relaxed) {
            return;
        }
        let Some(pool) = self.pool.upgrade() else { return };
        self.hire(If::Lacking);
        if pool.lanes.watch() {
            self.watch();
        }
    }

    fn hire(&self, condition: If) {
        let Some(pool) = self.pool.upgrade() else { return };
        if pool.is_forked() {
            // Somebody may have held the policy's lock when the process was forked.
            return;
        }
        let lacks = match condition {
            If::Lacking => pool.lanes.lacks_workers(),
            If::Waiting | If::Ordered => pool.lanes.has_tickets(),
        };
        if !lacks {
            return;
        }
        let mut policy = self.policy.lock();
        if policy.may_start(self.clock.now()) {
            self.start(&pool, &mut policy, condition);
        }
        drop(policy);
        if pool.lanes.watch() {
            self.watch();
        }
    }

    /// Starts a worker; returns whether it did. A refusal is noted, and then the alarm is set.
    fn start(&self, pool: &Arc<Shared>, policy: &mut Policy, condition: If) -> bool {
        match pool.start_one(|| match condition {
            If::Lacking => pool.lanes.lacks_workers(),
            If::Waiting => pool.lanes.has_tickets() && self.idle.now.load(Ordering::Relaxed) == 0,
            If::Ordered => true,
        }) {
            Ok(started) => {
                if started && pool.config.on_start.is_none() {
                    self.admit(policy);
                }
                started
            }
            Err(error) => {
                self.note_refusal(policy, &error.to_string());
                false
            }
        }
    }

    fn admit(&self, policy: &mut Policy) {
        policy.started();
        self.refusals.lock().last = None;
    }

    /// The start hook of a worker that nobody waits for has returned.
    pub(in crate::pool) fn hook_passed(&self) {
        self.admit(&mut self.policy.lock());
    }

    fn note_refusal(&self, policy: &mut Policy, why: &str) {
        {
            let mut refusals = self.refusals.lock();
            refusals.count += 1;
            refusals.last = Some(why.into());
        }
        let pause = policy.refused(self.clock.now());
        let _ = self.set_alarm(pause);
    }

    /// The start hook of a worker that nobody waits for has panicked; the worker is retired.
    pub(in crate::pool) fn hook_failed(&self, worker: usize, why: &str) {
        let mut policy = self.policy.lock();
        self.note_refusal(&mut policy, &format!("the start hook of worker {worker} panicked: {why}"));
    }

    /// Looks at the queue and the workers, does what is to be done, and says when to look again.
    fn look(&self, pool: &Arc<Shared>) -> Option<Instant> {
        let mut policy = self.policy.lock();
        let now = self.clock.now();
        let (waiting, needed) = pool.lanes.look();
        let waited = waiting.iter().map(|group| group.waited(now)).max();
        drop(waiting);
        let was_idle = self.idle.any.swap(0, Ordering::Relaxed) == 1 || self.idle.now.load(Ordering::Relaxed) > 0;
        let sight = Sight {
            now,
            waited,
            needed,
            paused: pool.gate.is_paused() && !broken!("paused_pools_grow"),
            workers: pool.workers.load(Ordering::Relaxed),
            was_idle: was_idle || pool.roster.lock().idle().is_some(),
            always_idle: self.idle.fewest.load(Ordering::Relaxed),
            ended: if self.options.climbs { pool.counts().total() } else { 0 },
        };
        let verdict = policy.look(&sight);
        if verdict.forget {
            self.idle.fewest.store(self.idle.now.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        match verdict.order {
            Order::Stay => {}
            Order::Start(workers) => {
                for _ in 0..workers {
                    if !self.start(pool, &mut policy, If::Ordered) {
                        break;
                    }
                }
            }
            Order::Retire(workers) => pool.retire_idle(workers),
            Order::Reduce(workers) => pool.retire_some(workers),
        }
        drop(policy);
        if matches!(verdict.order, Order::Reduce(_)) {
            self.replace();
        }
        verdict.next
    }
}

impl Shared {
    fn look(&self) -> Option<Instant> {
        let staff = self.staff.as_ref()?;
        let pool = staff.pool.upgrade()?;
        if pool.is_forked() { None } else { staff.look(&pool) }
    }

    /// Starts one worker if `needed` still says so, there is room, and the pool is not ending.
    fn start_one(self: &Arc<Self>, needed: impl FnOnce() -> bool) -> io::Result<bool> {
        let Some(staff) = &self.staff else { return Ok(false) };
        let mut roster = self.roster.lock();
        let ends = roster.is_over() || roster.ending && !self.live.is_busy();
        if ends || self.is_forked() || roster.alive >= staff.options.max || !needed() {
            return Ok(false);
        }
        self.start_in(&mut roster, None)?;
        Ok(true)
    }

    /// Lets go of so many idle workers, as long as no ticket waits.
    fn retire_idle(&self, workers: usize) {
        let mut roster = self.roster.lock();
        if roster.ending {
            return;
        }
        let min = self.staff.as_ref().filter(|_| !broken!("retires_below_min")).map_or(0, |staff| staff.options.min);
        // A smaller size may have been set since the policy looked.
        for _ in 0..workers.min(roster.len().saturating_sub(min)) {
            let Some(at) = roster.idle() else { break };
            if !self.lanes.part_if_calm(roster.station(at)) {
                break;
            }
            self.retire_at(&mut roster, at);
        }
        self.publish(&roster);
    }

    /// Lets go of so many workers, idle ones first.
    fn retire_some(&self, workers: usize) {
        let mut roster = self.roster.lock();
        if roster.ending {
            return;
        }
        for _ in 0..workers.min(roster.len().saturating_sub(1)) {
            let at = roster.idle().unwrap_or(roster.len() - 1);
            self.retire_at(&mut roster, at);
        }
        self.publish(&roster);
    }

    /// A worker goes into `blocking`, or comes back.
    pub(in crate::pool) fn set_away(&self, station: &Arc<Station>, away: bool) {
        let Some(staff) = &self.staff else { return };
        if !away {
            return self.lanes.join_again(station);
        }
        self.lanes.part(station);
        if !broken!("blocking_hires_nobody") {
            staff.compensate();
        }
    }
}

impl Alarm for Shared {
    fn due(&self) -> Option<Instant> {
        self.look()
    }
}

impl Sleeper for Shared {
    fn wake(&self) -> Option<Instant> {
        self.look()
    }
}
