//! What `loom-tests` needs to see of the inside.

/// The conformance cases of the model's primitives, by name.
pub fn conformance() -> &'static [(&'static str, fn())] {
    crate::sync::conformance::CASES
}

/// Makes `join` promote on [`tick`] alone and no longer at every fork.
pub fn promote_on_ticks_only(pool: &crate::Pool) {
    pool.forks().promote_on_ticks_only();
}

/// What the timer thread does every 100 microseconds.
pub fn tick(pool: &crate::Pool) {
    pool.forks().tick();
}

/// Has alarms of this pool rung by [`ring`] alone; without this there are none.
pub fn ring_by_hand(pool: &crate::Pool) {
    pool.timer().ring_by_hand();
}

/// Rings all alarms that are set; returns whether any is set again.
pub fn ring(pool: &crate::Pool) -> bool {
    pool.timer().ring()
}

/// Makes a service take its items for cheap, whatever they cost.
pub fn believe_cheap(control: &crate::Control<'_>) {
    control.believe_cheap();
}

/// Which offsets may be committed.
#[allow(missing_debug_implementations)]
pub struct Tracker(crate::connect::Tracker);

impl Tracker {
    /// With partition 0 assigned under session 1, and these offsets delivered.
    pub fn with(offsets: &[u64]) -> Tracker {
        let tracker = Tracker(crate::connect::Tracker::new());
        tracker.assign(1, offsets);
        tracker
    }

    /// Assigns partition 0 and delivers.
    pub fn assign(&self, session: u64, offsets: &[u64]) {
        self.0.assign(0, session, 0);
        let mut list = offsets.to_vec();
        self.0.deliver((0, session), &mut list, 0, |offset| *offset);
        assert_eq!(list, offsets);
    }

    /// Finishes an offset of partition 0.
    pub fn finish(&self, session: u64, offset: u64) -> bool {
        self.0.finish(&[crate::connect::Position { partition: 0, offset, part: 0, session }]).0 == 1
    }

    /// What can be committed: the session, and the next offset.
    pub fn committable(&self) -> Option<(u64, u64)> {
        self.0.committable(0).map(|commit| (commit.session, commit.next))
    }

    /// What was committed.
    pub fn committed(&self, (session, next): (u64, u64)) {
        self.0.committed(0, session, next);
    }

    /// Revokes the partition.
    pub fn revoke(&self) -> Option<u64> {
        self.0.revoke(0).map(|commit| commit.next)
    }

    /// Delivered and not committed.
    pub fn outstanding(&self) -> usize {
        self.0.outstanding(0)
    }
}
