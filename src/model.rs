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
